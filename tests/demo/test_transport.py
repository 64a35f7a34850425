"""The folder transport: nothing lost, torn or doubled, whoever publishes, consumes or dies."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.queues import Queue as ResultQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.exceptions import ChannelError

from qbeat.beat.demo.folder import MessageFolder

processes = multiprocessing.get_context("spawn")
PUBLISHERS, MESSAGES = 4, 150


def connection(folder: Path) -> Connection:
    return Connection(
        "filesystem://localhost",
        transport="qbeat.beat.demo.transport:Transport",
        transport_options={"folder": str(folder), "polling_interval": 0.005},
    )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Connection]:
    with connection(tmp_path / "broker") as conn:
        yield conn


def publish_numbers(folder: Path, publisher: int) -> None:
    with connection(folder) as conn, conn.SimpleQueue("numbers") as queue:
        for number in range(MESSAGES):
            # Long bodies are what a reader without care meets half written.
            queue.put({"from": publisher, "number": number, "padding": "x" * (number * 97 % 20_000)})


def consume_numbers(folder: Path, published: Event, results: ResultQueue[list[tuple[int, int]]]) -> None:
    received = []
    with connection(folder) as conn, conn.SimpleQueue("numbers") as queue:
        while True:
            try:
                message = queue.get(timeout=0.1)
            except Empty:
                if published.is_set():
                    break
            else:
                received.append((message.payload["from"], message.payload["number"]))
                message.ack()
    results.put(received)


def exchange_numbers(folder: Path, consumers: int) -> list[list[tuple[int, int]]]:
    """Run publishers and consumers at once; what each consumer received, in its order."""
    published = processes.Event()
    results: ResultQueue[list[tuple[int, int]]] = processes.Queue()
    readers = [
        processes.Process(target=consume_numbers, args=(folder, published, results)) for _ in range(consumers)
    ]
    writers = [
        processes.Process(target=publish_numbers, args=(folder, number)) for number in range(PUBLISHERS)
    ]
    for process in [*readers, *writers]:
        process.start()
    for process in writers:
        process.join(60)
    published.set()
    received = [results.get(timeout=60) for _ in readers]
    for process in readers:
        process.join(10)
    assert [process.exitcode for process in [*readers, *writers]] == [0] * (consumers + PUBLISHERS)
    return received


def test_concurrent_publishers_and_consumers_lose_tear_and_double_nothing(tmp_path: Path) -> None:
    received = [item for one in exchange_numbers(tmp_path / "broker", consumers=3) for item in one]
    assert sorted(received) == [(p, n) for p in range(PUBLISHERS) for n in range(MESSAGES)]


def test_one_consumer_gets_each_publishers_messages_in_order(tmp_path: Path) -> None:
    [received] = exchange_numbers(tmp_path / "broker", consumers=1)
    for publisher in range(PUBLISHERS):
        assert [n for p, n in received if p == publisher] == list(range(MESSAGES))


def test_a_listing_that_misses_an_older_message_does_not_let_a_newer_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, listdir = MessageFolder(tmp_path), os.listdir
    folder.create_queue("work")
    folder.put("work", b"older")
    folder.put("work", b"newer")
    older, newer = folder.names("work")
    # What listings find while the two come, in turn.
    turns = [[], [newer], [newer], [older, newer], [older], [older, newer]]
    monkeypatch.setattr(os, "listdir", lambda path: turns.pop(0) if path.name == "=work" else listdir(path))
    assert [folder.names("work") for _ in range(3)] == [[], [older, newer], [older]]


def test_a_message_that_is_not_acknowledged_comes_back_when_the_connection_closes(tmp_path: Path) -> None:
    with connection(tmp_path) as conn, conn.SimpleQueue("work") as queue:
        queue.put("one")
        assert queue.get(timeout=5).payload == "one"
    with connection(tmp_path) as conn, conn.SimpleQueue("work") as queue:
        again = queue.get(timeout=5)
        assert again.payload == "one"
        again.ack()
        assert queue.qsize() == 0
    with connection(tmp_path) as conn, conn.SimpleQueue("work") as queue, pytest.raises(Empty):
        queue.get(timeout=0.05)


def test_a_rejected_message_is_gone_and_a_requeued_one_comes_first_again(broker: Connection) -> None:
    with broker.SimpleQueue("work") as queue:
        for body in "abc":
            queue.put(body)
        queue.get(timeout=5).reject()
        queue.get(timeout=5).requeue()
        # A listing made before the requeue may still serve; the requeued one is not lost behind it.
        bodies = {queue.get(timeout=5).payload for _ in range(2)}
        assert bodies == {"b", "c"}


def take_and_wait(folder: Path, taken: Event) -> None:
    with connection(folder) as conn, conn.SimpleQueue("work") as queue:
        queue.get(timeout=10)
        taken.set()
        processes.Event().wait()


def test_what_a_killed_process_had_taken_comes_back(tmp_path: Path) -> None:
    with connection(tmp_path) as conn, conn.SimpleQueue("work") as queue:
        queue.put("precious")
        taken = processes.Event()
        taker = processes.Process(target=take_and_wait, args=(tmp_path, taken), daemon=True)
        taker.start()
        assert taken.wait(30)
        assert queue.qsize() == 0
        taker.kill()
        taker.join(10)
        assert queue.get(timeout=10).payload == "precious"


def test_what_a_living_process_has_taken_stays_taken(tmp_path: Path) -> None:
    with connection(tmp_path) as conn, conn.SimpleQueue("work") as queue:
        queue.put("precious")
        taken = processes.Event()
        taker = processes.Process(target=take_and_wait, args=(tmp_path, taken), daemon=True)
        taker.start()
        try:
            assert taken.wait(30)
            assert conn.default_channel.folder.recover() == 0
            assert queue.qsize() == 0
        finally:
            taker.kill()
            taker.join(10)


def bind_and_wait(folder: Path, name: str, ready: Event) -> None:
    with connection(folder) as conn:
        queue = Queue(name, Exchange("news", "fanout"), auto_delete=True, exclusive=True)
        with conn.Consumer([queue], callbacks=[print], no_ack=True):
            ready.set()
            processes.Event().wait()


def test_a_fanout_reaches_every_process_and_the_queues_of_a_killed_one_go(tmp_path: Path) -> None:
    news = Exchange("news", "fanout")
    ready = processes.Event()
    other = processes.Process(target=bind_and_wait, args=(tmp_path, "theirs", ready), daemon=True)
    other.start()
    assert ready.wait(30)
    with connection(tmp_path) as conn:
        folder = conn.default_channel.folder
        received: list[Any] = []
        ours = Queue("ours", news, auto_delete=True)
        with conn.Consumer([ours], callbacks=[lambda body, _: received.append(body)], no_ack=True):
            assert {binding.queue for binding in folder.bindings("news")} == {"ours", "theirs"}
            other.kill()
            other.join(10)
            folder.recover()
            assert {binding.queue for binding in folder.bindings("news")} == {"ours"}
            assert not folder.has_queue("theirs")
            conn.Producer().publish("hello", exchange=news, declare=[news])
            conn.drain_events(timeout=5)
            assert received == ["hello"]


def test_a_queue_that_a_new_process_has_declared_again_survives_the_end_of_the_old_one(
    tmp_path: Path,
) -> None:
    ready = processes.Event()
    old = processes.Process(target=bind_and_wait, args=(tmp_path, "control", ready), daemon=True)
    old.start()
    assert ready.wait(30)
    with connection(tmp_path) as conn:
        Queue("control", Exchange("news", "fanout"), auto_delete=True)(conn.default_channel).declare()
        old.kill()
        old.join(10)
        folder = conn.default_channel.folder
        folder.recover()
        assert folder.has_queue("control")
        assert [binding.queue for binding in folder.bindings("news")] == ["control"]


def test_topics_are_routed_by_pattern(broker: Connection) -> None:
    events = Exchange("events", "topic")
    received: list[Any] = []
    queue = Queue("watcher", events, routing_key="task.#")
    with broker.Consumer([queue], callbacks=[lambda body, _: received.append(body)], no_ack=True):
        producer = broker.Producer()
        producer.publish("no", exchange=events, routing_key="worker.online")
        producer.publish("yes", exchange=events, routing_key="task.sent")
        broker.drain_events(timeout=5)
    assert received == ["yes"]


@pytest.mark.parametrize("name", ["plain", "with space", "a/b", "..", ".hidden", "ümläut", "a,b", "a%2Cb"])
def test_a_queue_may_have_any_name(broker: Connection, name: str) -> None:
    with broker.SimpleQueue(name) as queue:
        queue.put(name)
        assert queue.qsize() == 1
        message = queue.get(timeout=5)
        assert message.payload == name
        message.requeue()
        assert queue.clear() == 1


def test_without_a_folder_the_error_says_what_to_set() -> None:
    conn = Connection("filesystem://localhost", transport="qbeat.beat.demo.transport:Transport")
    with pytest.raises(ChannelError, match="broker_transport_options"):
        conn.connect()
