"""The test memcached answers, is empty for each test, and restarts."""

from __future__ import annotations

import memcache  # type: ignore[import-untyped]
import pytest

from tests.servers import MemcachedServer


def client(server: MemcachedServer) -> memcache.Client:
    return memcache.Client([f"127.0.0.1:{server.port}"])


@pytest.mark.parametrize("_turn", [1, 2])
def test_a_value_comes_back_and_is_gone_in_the_next_test(
    memcached_server: MemcachedServer, memcached_url: str, _turn: int
) -> None:
    assert str(memcached_server.port) in memcached_url
    assert client(memcached_server).get("key") is None
    client(memcached_server).set("key", "value")
    assert client(memcached_server).get("key") == "value"


def test_it_tells_its_version(memcached_server: MemcachedServer, memcached_url: str) -> None:
    assert memcached_url
    assert memcached_server.ask("version").startswith("VERSION 1.")


def test_it_can_be_stopped_and_started(memcached_server: MemcachedServer, memcached_url: str) -> None:
    assert memcached_url
    memcached_server.stop()
    assert not memcached_server.answers()
    memcached_server.start()
    assert memcached_server.answers()
