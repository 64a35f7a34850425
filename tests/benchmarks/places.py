"""Where contenders run: an empty folder and an empty Redis for each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from redis import Redis

from tests.benchmarks.contenders import Place
from tests.servers import PostgresServer, Process, RedisServer

SQLITE: Final = "sqlite:///{}/rows.db"
"""A database in the contender's folder."""


class DurablePostgres(PostgresServer):
    """PostgreSQL as it is shipped: each commit is on the disk."""

    def prepare(self) -> Process:
        process = super().prepare()
        process.command = [part.replace("=off", "=on") for part in process.command]
        return process


@contextmanager
def emptied(redis: RedisServer, database: str = "", number: int = 0) -> Iterator[Place]:
    """Give a place of its own with an emptied database of Redis; ``{}`` in ``database`` stands for its folder."""
    broker = redis.database_url(number)
    with Redis.from_url(broker) as client:
        client.flushdb()
    with tempfile.TemporaryDirectory(prefix="qbeat-benchmark-") as folder:
        yield Place(Path(folder), broker, database.format(folder))


@contextmanager
def folder_for(broker: str) -> Iterator[Place]:
    """Give a folder of its own beside any broker."""
    with tempfile.TemporaryDirectory(prefix="qbeat-benchmark-") as folder:
        yield Place(Path(folder), broker)
