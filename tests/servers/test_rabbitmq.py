"""The test RabbitMQ passes messages, gives each test an empty virtual host, and restarts where it was."""

from __future__ import annotations

from kombu.connection import Connection

from tests.servers import RabbitMQServer, find_program
from tests.servers.rabbitmq import _SCRIPTS


def test_a_message_comes_back(rabbitmq_url: str) -> None:
    with Connection(rabbitmq_url) as connection, connection.SimpleQueue("letters") as queue:
        queue.put("hello")
        message = queue.get(timeout=5)
        assert message.payload == "hello"
        message.ack()


def test_each_test_has_a_virtual_host_of_its_own(rabbitmq_server: RabbitMQServer) -> None:
    mine, other = (rabbitmq_server.host_url(rabbitmq_server.new_virtual_host()) for _ in range(2))
    with Connection(mine) as here, here.SimpleQueue("letters") as queue:
        queue.put("hello")
        with Connection(other) as there, there.SimpleQueue("letters") as empty:
            assert empty.qsize() == 0
            assert queue.qsize() == 1


def test_durable_messages_outlive_a_stop_and_a_kill(
    rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    with Connection(rabbitmq_url) as connection, connection.SimpleQueue("letters") as queue:
        queue.put("hello")
    rabbitmq_server.stop()
    assert not rabbitmq_server.answers()
    rabbitmq_server.start()
    with Connection(rabbitmq_url) as connection, connection.SimpleQueue("letters") as queue:
        assert queue.get(timeout=5).payload == "hello"
    rabbitmq_server.kill()
    assert not rabbitmq_server.answers()


def test_the_script_that_runs_without_a_change_of_user_is_preferred(rabbitmq_server: RabbitMQServer) -> None:
    assert rabbitmq_server.process.command == [find_program("rabbitmq-server", _SCRIPTS)]
