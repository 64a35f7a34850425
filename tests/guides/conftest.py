"""Each guide runs on Redis and on RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guides.newcomer import Newcomer
from tests.servers import RedisServer
from tests.servers.fixtures import StartQbeat, StartWorker


# RabbitMQ's tests share one server, and so one pytest-xdist worker.
@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.xdist_group("rabbitmq"))])
def broker_url(request: pytest.FixtureRequest) -> str:
    """An empty broker of either kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def results_url(redis_url: str, redis_server: RedisServer) -> str:
    """A Redis database for results alone."""
    return redis_server.database_url(1)


@pytest.fixture
def newcomer(
    tmp_path: Path,
    broker_url: str,
    results_url: str,
    start_worker: StartWorker,
    start_qbeat: StartQbeat,
) -> Iterator[Newcomer]:
    """A newcomer with an empty folder, an empty broker, and results in a Redis database of their own."""
    one = Newcomer(tmp_path, broker_url, results_url, start_worker, start_qbeat)
    yield one
    one.leaves()


@pytest.fixture
def rabbitmq_newcomer(
    tmp_path: Path, rabbitmq_url: str, start_worker: StartWorker, start_qbeat: StartQbeat
) -> Iterator[Newcomer]:
    """A newcomer who has RabbitMQ and nothing else; the test says where results go."""
    one = Newcomer(tmp_path, rabbitmq_url, "", start_worker, start_qbeat)
    yield one
    one.leaves()
