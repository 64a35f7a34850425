"""The proxy passes bytes on, and takes connections away in each of its ways."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.servers import RedisServer, TcpProxy, eventually


@pytest.fixture
def proxy(redis_server: RedisServer, redis_url: str, start_proxy: Callable[[int], TcpProxy]) -> TcpProxy:
    assert redis_url
    return start_proxy(redis_server.port)


@pytest.fixture
def client(proxy: TcpProxy, redis_url: str) -> Iterator[redis.Redis]:
    without_retries = redis.Redis.from_url(proxy.url(redis_url), socket_timeout=0.2, retry=None)
    with without_retries as client:
        client.ping()
        yield client


def test_bytes_pass_both_ways(client: redis.Redis) -> None:
    long = b"x" * 1_000_000
    client.set("key", long)
    assert client.get("key") == long


def test_a_cut_resets_what_is_open_and_refuses_what_is_new_until_restored(
    proxy: TcpProxy, client: redis.Redis
) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port)) as open_one:
        eventually(lambda: proxy.connections == 2)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            open_one.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))
    with pytest.raises(redis.ConnectionError):
        client.ping()
    proxy.restore()
    assert client.ping()


def test_refusing_leaves_open_connections_alone(proxy: TcpProxy, client: redis.Redis) -> None:
    proxy.refuse()
    assert client.ping()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))


def test_dropping_welcomes_the_next_connection(proxy: TcpProxy, client: redis.Redis) -> None:
    before = proxy.accepted
    proxy.drop()
    assert proxy.connections == 0
    assert client.ping()
    assert proxy.accepted == before + 1


def test_a_freeze_swallows_the_answer_until_it_is_restored(proxy: TcpProxy, client: redis.Redis) -> None:
    proxy.freeze()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    proxy.restore()
    assert client.ping()


def test_a_frozen_connection_can_be_cut(proxy: TcpProxy, client: redis.Redis) -> None:
    proxy.freeze()
    proxy.cut()
    assert proxy.connections == 0
    with pytest.raises(redis.ConnectionError):
        client.ping()


def test_the_server_sees_a_client_go(proxy: TcpProxy, redis_server: RedisServer, client: redis.Redis) -> None:
    client.client_setname("through-the-proxy")
    names = [seen["name"] for seen in redis_server.client.client_list()]
    assert "through-the-proxy" in names
    client.close()
    eventually(lambda: proxy.connections == 0)


def test_an_upstream_that_is_away_hangs_up(start_proxy: Callable[[int], TcpProxy]) -> None:
    with RedisServer() as gone:
        proxy = start_proxy(gone.port)
        url = proxy.url(gone.url)
    with redis.Redis.from_url(url, retry=None) as client, pytest.raises(redis.ConnectionError):
        client.ping()
