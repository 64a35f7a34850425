"""The test Redis answers, restarts where it was, and keeps its data when it is asked to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from tests.servers import RedisServer


def test_a_value_comes_back(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("key", "value")
        assert client.get("key") == b"value"


@pytest.mark.parametrize("_turn", [1, 2])
def test_each_test_finds_the_shared_server_empty(
    redis_url: str, redis_server: RedisServer, _turn: int
) -> None:
    with redis.Redis.from_url(redis_server.database_url(3)) as client:
        assert client.dbsize() == 0
        client.set("left behind", 1)


@pytest.mark.parametrize("end", [RedisServer.stop, RedisServer.kill])
def test_a_durable_server_keeps_its_data_over_a_restart(
    start_redis: Callable[..., RedisServer], end: Callable[[RedisServer], None]
) -> None:
    server = start_redis(durable=True)
    url = server.url
    server.client.set("key", "value")
    end(server)
    assert not server.answers()
    server.start()
    assert server.url == url
    assert server.client.get("key") == b"value"


def test_a_plain_server_forgets_over_a_restart(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    server.client.set("key", "value")
    server.stop()
    server.start()
    assert server.client.dbsize() == 0


def test_closing_removes_the_folder_and_ends_the_process() -> None:
    with RedisServer() as server:
        assert server.directory.exists()
    assert not server.directory.exists()
    assert not server.is_running
