"""Redis in its other forms: a cluster, behind Sentinels, with TLS, on a socket."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qbeat.store import open_store
from qbeat.store.base import Store, StoreUnavailable, StoreUnusable
from qbeat.store.records import Won
from tests.servers import Process, RedisServer, Server, eventually
from tests.servers.server import HOST, need_program
from tests.store.making import (
    START,
    claim_of,
    create,
    entry,
    fire,
    history_of,
    publish,
    read,
    replica,
    take_over,
)

SLOTS = 16384


class RedisWith(RedisServer):
    """A Redis with further arguments on its command line."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        super().__init__()

    def prepare(self) -> Process:
        plain = super().prepare()
        return Process([*plain.command, *self.arguments], directory=self.directory, log=self.log)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What a test enters here ends with it, the last first."""
    with ExitStack() as ending:
        yield ending


def works(store: Store) -> None:
    """A short life of two entries."""
    create(store, entry("a"), entry("b"))
    publish(store, "a", 10)
    fire(store, "b", 10, 20, replica="r1")
    assert [record.name for record in store.overdue(START + 100, 10)] == ["a", "b"]
    store.leave("r1")
    assert len(take_over(store)) == 2
    assert sorted(one.outcome for one in history_of(store)) == ["claimed", "claimed", "published"]
    assert store.remove(["a"]) == 1


# --- cluster


@pytest.fixture
def nodes(opened: ExitStack) -> list[Any]:
    """The clients of a cluster's two nodes; the store's keys are on the second."""
    servers = [opened.enter_context(RedisWith("--cluster-enabled", "yes")) for _ in range(2)]
    clients: list[Any] = [server.client for server in servers]
    slot = clients[0].execute_command("CLUSTER KEYSLOT", "{qbeat}")
    # The second has one more: a node without slots would become the other's replica.
    clients[0].execute_command("CLUSTER ADDSLOTS", *range(slot), *range(slot + 2, SLOTS))
    clients[1].execute_command("CLUSTER ADDSLOTS", slot, slot + 1)
    clients[0].execute_command("CLUSTER MEET", HOST, servers[1].port)
    for server in servers:
        eventually(partial(_is_whole, server), within=30, what="the cluster is whole")
    return clients


def _is_whole(server: RedisServer) -> bool:
    return b"cluster_state:ok" in _ask(server.port, b"CLUSTER INFO\r\n")


def url_of(client: Any) -> str:
    return f"redis://{HOST}:{client.connection_pool.connection_kwargs['port']}"


@pytest.mark.parametrize("node", [0, 1], ids=["another node", "the node that has the keys"])
def test_a_cluster_serves_as_a_store_whichever_node_is_named(nodes: list[Any], node: int) -> None:
    with open_store(url_of(nodes[node])) as store:
        works(store)
        assert not store.pushes_to(url_of(nodes[node]))
    assert nodes[0].dbsize() == 0
    assert nodes[1].dbsize() > 0


def test_keys_that_move_to_another_node_are_followed(nodes: list[Any]) -> None:
    with open_store(url_of(nodes[1])) as store:
        create(store, entry())
        _move_keys(nodes[1], nodes[0])
        assert store.claim([claim_of(read(store), 10)], replica="r1") == [Won.YES]
    assert nodes[1].dbsize() == 0


@pytest.mark.parametrize("moved", [0, 1, None], ids=["no key", "one key", "all keys"])
def test_while_keys_are_on_their_way_the_store_is_away_and_then_comes_back(
    nodes: list[Any], moved: int | None
) -> None:
    source, target = nodes[1], nodes[0]
    with open_store(url_of(source)) as store:
        create(store, entry())
        claim = claim_of(read(store), 10)
        _begin_to_move(source, target, source.keys("*")[:moved])
        for act in (
            lambda: store.claim([claim], replica="r1"),
            lambda: store.heartbeat(replica(), live_within=10),
            store.entries,
        ):
            with pytest.raises(StoreUnavailable, match="repaired or moved"):
                act()
        _move(source, target, source.keys("*"))
        _end_move(source, target)
        assert store.claim([claim], replica="r1") == [Won.YES]


def _move_keys(source: Any, target: Any) -> None:
    _begin_to_move(source, target, source.keys("*"))
    _end_move(source, target)


def _begin_to_move(source: Any, target: Any, keys: list[bytes]) -> None:
    slot = _slot(source)
    target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", _id(source))
    source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", _id(target))
    _move(source, target, keys)


def _move(source: Any, target: Any, keys: list[bytes]) -> None:
    if keys:
        port = target.connection_pool.connection_kwargs["port"]
        source.execute_command("MIGRATE", HOST, port, "", 0, 5000, "KEYS", *keys)


def _end_move(source: Any, target: Any) -> None:
    for client in (target, source):
        client.execute_command("CLUSTER SETSLOT", _slot(source), "NODE", _id(target))


def _slot(client: Any) -> int:
    slot: int = client.execute_command("CLUSTER KEYSLOT", "{qbeat}")
    return slot


def _id(client: Any) -> str:
    name: bytes = client.execute_command("CLUSTER MYID")
    return name.decode()


# --- Sentinel


class SentinelServer(Server):
    """A Sentinel that watches one primary."""

    name = "sentinel"

    def __init__(self, primary: RedisServer) -> None:
        self._primary = primary
        super().__init__()

    def prepare(self) -> Process:
        config = self.directory / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind {HOST}\ndir {self.directory}\n"
            f"sentinel monitor mymaster {HOST} {self._primary.port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\n"
            "sentinel failover-timeout mymaster 2000\n"
        )
        program = need_program("redis-server", "redis-server")
        return Process([program, config, "--sentinel"], directory=self.directory, log=self.log)

    def answers(self) -> bool:
        return b"+PONG" in _ask(self.port, b"PING\r\n")

    @property
    def url(self) -> str:
        return f"sentinel://{HOST}:{self.port}"


def _ask(port: int, line: bytes) -> bytes:
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(line)
            return connection.recv(1_000)
    except OSError:
        return b""


def test_the_primary_that_sentinels_name_is_the_store(opened: ExitStack) -> None:
    primary = opened.enter_context(RedisServer())
    sentinel = opened.enter_context(SentinelServer(primary))
    url = f"sentinel://127.0.0.1:1;{sentinel.url}/3?master_name=mymaster"
    with open_store(url) as store:
        works(store)
        assert store.pushes_to(f"{sentinel.url}/3?master_name=mymaster")
        assert not store.pushes_to(f"{sentinel.url}/0?master_name=mymaster")
    assert primary.client.info("keyspace").keys() == {"db3"}


def test_a_primary_that_no_sentinel_knows_may_be_named_later(opened: ExitStack) -> None:
    sentinel = opened.enter_context(SentinelServer(opened.enter_context(RedisServer())))
    with pytest.raises(StoreUnavailable, match="other"):
        open_store(f"{sentinel.url}?master_name=other")


def test_a_failover_is_followed(opened: ExitStack) -> None:
    primary, follower = opened.enter_context(RedisServer()), opened.enter_context(RedisServer())
    follower_client: Any = follower.client
    follower_client.replicaof(HOST, primary.port)
    sentinel = opened.enter_context(SentinelServer(primary))
    with open_store(f"{sentinel.url}?master_name=mymaster&socket_timeout=1") as store:
        create(store, entry())
        eventually(lambda: follower_client.dbsize() > 0, what="the replica has caught up")
        eventually(lambda: _knows_a_replica(sentinel), what="the Sentinel knows the replica", within=20)
        primary.kill()

        def claimed() -> bool:
            try:
                return store.claim([claim_of(read(store), 10)], replica="r1") == [Won.YES]
            except StoreUnavailable:
                return False

        assert eventually(claimed, within=30, what="the new primary takes a claim")
        assert [one.outcome for one in history_of(store)] == ["claimed"]
    assert follower_client.role()[0] == b"master"


def _knows_a_replica(sentinel: SentinelServer) -> bool:
    return b"slaves=1" in _ask(sentinel.port, b"INFO sentinel\r\n")


# --- TLS, socket


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that only those trust who are told to; its key is in ``key.pem`` beside it."""
    program = need_program("openssl", "openssl")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    output = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem")]
    subprocess.run(
        [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *output],
        check=True,
        capture_output=True,
    )
    return tmp_path / "certificate.pem"


class TlsRedis(RedisWith):
    """A Redis that speaks TLS alone."""

    def __init__(self, certificate: Path) -> None:
        self._files = [
            "--tls-cert-file",
            str(certificate),
            "--tls-key-file",
            str(certificate.with_name("key.pem")),
        ]
        super().__init__()

    def prepare(self) -> Process:
        self.arguments = (
            "--tls-port",
            str(self.port),
            "--port",
            "0",
            "--tls-auth-clients",
            "no",
            *self._files,
        )
        return super().prepare()

    def answers(self) -> bool:
        try:
            open_store(f"{self.url}?ssl_cert_reqs=CERT_NONE&prefix=probe").close()
        except StoreUnavailable:
            return False
        return True

    @property
    def url(self) -> str:
        return f"rediss://{HOST}:{self.port}"


def test_a_redis_with_tls_serves_as_a_store(opened: ExitStack, certificate: Path) -> None:
    server = opened.enter_context(TlsRedis(certificate))
    with open_store(f"{server.url}?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={certificate}") as store:
        works(store)
    with pytest.raises(StoreUnusable, match="ssl_ca_certs"):
        open_store(f"{server.url}?ssl_cert_reqs=CERT_REQUIRED")


def test_a_redis_on_a_socket_serves_as_a_store(opened: ExitStack, tmp_path: Path) -> None:
    opened.enter_context(RedisWith("--unixsocket", str(tmp_path / "redis.sock")))
    with open_store(f"redis+socket://{tmp_path}/redis.sock?virtual_host=2") as store:
        works(store)
        assert store.pushes_to(f"redis+socket://{tmp_path}/redis.sock?virtual_host=2")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        open_store(f"redis+socket://{tmp_path}/nowhere.sock")
