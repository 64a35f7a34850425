"""Pytest fixtures: one server of each kind for a session, and processes that end with their test.

The `…_server` fixtures are shared by all tests of one pytest process. The others are what most tests want:
`redis_url` and its kin see to it that the shared server runs and is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.servers.beat import QbeatProcess
from tests.servers.mariadb import MariadbServer
from tests.servers.memcached import MemcachedServer
from tests.servers.pgbouncer import PgbouncerServer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import TcpProxy
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer
from tests.servers.worker import CeleryWorker


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The session's Redis, not durable; a test that stops it need not start it again."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Database 0 of the session's Redis, every database empty."""
    redis_server.start()
    redis_server.client.flushall()
    return redis_server.url


@pytest.fixture
def start_redis() -> Iterator[Callable[..., RedisServer]]:
    """`start_redis(durable=False)`: a Redis of the test's own."""
    with ExitStack() as ending:
        yield lambda *, durable=False: ending.enter_context(RedisServer(durable=durable))


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitMQServer]:
    """The session's RabbitMQ; all its tests run in one pytest-xdist worker, and may stop it."""
    with RabbitMQServer() as server:
        yield server


@pytest.fixture
def rabbitmq_url(rabbitmq_server: RabbitMQServer) -> str:
    """An empty virtual host of the session's RabbitMQ."""
    rabbitmq_server.start()
    return rabbitmq_server.host_url(rabbitmq_server.new_virtual_host())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL; a test that stops it need not start it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """An empty database of the session's PostgreSQL."""
    postgres_server.start()
    return postgres_server.database_url(postgres_server.new_database())


@pytest.fixture
def pgbouncer_server(postgres_server: PostgresServer) -> Iterator[PgbouncerServer]:
    """A PgBouncer of the test's own before the session's PostgreSQL."""
    postgres_server.start()
    with PgbouncerServer(postgres_server.port) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariadbServer]:
    """The session's MariaDB; a test that stops it need not start it again."""
    with MariadbServer() as server:
        yield server


@pytest.fixture
def mariadb_url(mariadb_server: MariadbServer) -> str:
    """An empty database of the session's MariaDB."""
    mariadb_server.start()
    return mariadb_server.database_url(mariadb_server.new_database())


@pytest.fixture(scope="session")
def memcached_server() -> Iterator[MemcachedServer]:
    """The session's memcached; a test that stops it need not start it again."""
    with MemcachedServer() as server:
        yield server


@pytest.fixture
def memcached_url(memcached_server: MemcachedServer) -> str:
    """The session's memcached, empty, as Celery's result backend names it."""
    memcached_server.start()
    memcached_server.ask("flush_all")
    return memcached_server.url


@pytest.fixture
def start_proxy() -> Iterator[Callable[[int], TcpProxy]]:
    """`start_proxy(server.port)`: a proxy before a server; `proxy.url(server.url)` leads through it."""
    with ExitStack() as ending:
        yield lambda port: ending.enter_context(TcpProxy(port))


class StartWorker(Protocol):
    """`start_worker(directory, app="tasks", arguments=(), env=None)`: a ready worker."""

    def __call__(
        self,
        directory: Path,
        app: str = "tasks",
        *,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> CeleryWorker: ...


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    """Workers that end with the test."""
    with ExitStack() as ending:

        def start(
            directory: Path,
            app: str = "tasks",
            *,
            arguments: Sequence[str] = (),
            env: Mapping[str, str] | None = None,
        ) -> CeleryWorker:
            return ending.enter_context(CeleryWorker(directory, app, arguments=arguments, env=env))

        yield start


class StartQbeat(Protocol):
    """`start_qbeat(directory, *arguments, env=None)`: a started qbeat; wait for what you need."""

    def __call__(
        self, directory: Path, *arguments: str, env: Mapping[str, str] | None = None
    ) -> QbeatProcess: ...


@pytest.fixture
def start_qbeat() -> Iterator[StartQbeat]:
    """qbeat processes that end with the test."""
    with ExitStack() as ending:

        def start(directory: Path, *arguments: str, env: Mapping[str, str] | None = None) -> QbeatProcess:
            return ending.enter_context(QbeatProcess(directory, *arguments, env=env))

        yield start
