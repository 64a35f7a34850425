"""Every store, as a fixture: what the contract says is tested on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from qbeat.store import open_store
from qbeat.store.base import Store
from qbeat.store.memory import MemoryStore
from tests.store.making import Clock, World

KINDS = ["memory", "sqlite", "postgresql", "mariadb", "redis"]


def where(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty store of a kind."""
    if kind == "sqlite":
        return str(folder / "store.db")
    if kind == "redis":
        return f"{request.getfixturevalue('redis_url')}?prefix={uuid4().hex}"
    if kind in {"postgresql", "mariadb"}:
        server = request.getfixturevalue({"postgresql": "postgres_server", "mariadb": "mariadb_server"}[kind])
        server.start()
        return str(server.database_url(server.new_database()))
    raise AssertionError(kind)


def world_of(kind: str, request: pytest.FixtureRequest, folder: Path, opened: ExitStack) -> World:
    """An empty store of a kind; what is opened is closed with ``opened``."""
    clock = Clock()
    if kind == "memory":
        shared = MemoryStore(clock)
        return World(kind, lambda: shared, clock)
    url = where(kind, request, folder)

    def connect() -> Store:
        return opened.enter_context(open_store(url, clock=clock))

    return World(kind, connect, clock, url)


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """An empty store that any number of clients can connect to."""
    with ExitStack() as opened:
        yield world_of(request.param, request, tmp_path, opened)


@pytest.fixture
def store(world: World) -> Store:
    """One client of an empty store."""
    return world.connect()


@pytest.fixture
def clock(world: World) -> Clock:
    """The clock of the empty store."""
    return world.clock


@pytest.fixture
def url(world: World) -> str:
    """Where other processes find the empty store; the test is not for stores that they cannot."""
    if world.url is None:
        pytest.skip("a store in memory belongs to one process")
    return world.url
