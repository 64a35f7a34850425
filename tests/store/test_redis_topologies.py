"""Redis in its other forms: behind Sentinels, with TLS, on a socket."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from qbeat.store import open_store
from qbeat.store.base import StoreUnavailable, StoreUnusable
from qbeat.store.records import Won
from tests.servers import Process, RedisServer, Server, eventually
from tests.servers.server import HOST, need_program
from tests.store.making import claim_of, create, entry, history_of, read
from tests.store.redis_forms import RedisWith, ask, works


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What a test enters here ends with it, the last first."""
    with ExitStack() as ending:
        yield ending


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
        return b"+PONG" in ask(self.port, b"PING\r\n")

    @property
    def url(self) -> str:
        return f"sentinel://{HOST}:{self.port}"


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
    return b"slaves=1" in ask(sentinel.port, b"INFO sentinel\r\n")


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


def test_a_redis_that_does_not_speak_tls_is_told_of_where_tls_is_wanted(redis_url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"see whether it .*, or whether it speaks TLS"):
        open_store(redis_url.replace("redis://", "rediss://"))


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
