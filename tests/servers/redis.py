"""A real Redis."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import redis

from tests.servers.process import Process
from tests.servers.server import HOST, Server, need_program


class RedisServer(Server):
    """Redis without persistence, or with an append-only file when `durable`: then data outlives a restart."""

    name: ClassVar[str] = "redis"

    def __init__(self, *, durable: bool = False) -> None:
        self.durable = durable
        super().__init__()

    def prepare(self) -> Process:
        program = need_program("redis-server", "redis-server")
        keep = ["--appendonly", "yes" if self.durable else "no", "--save", ""]
        command = [program, "--bind", HOST, "--port", str(self.port), "--dir", str(self.directory), *keep]
        return Process(command, directory=self.directory, log=self.log)

    @cached_property
    def client(self) -> redis.Redis:
        """A client of database 0; it connects again by itself after a restart."""
        return redis.Redis.from_url(self.url)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    @property
    def url(self) -> str:
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The URL of one of the sixteen databases, so that broker, results and store can live apart."""
        return f"redis://{HOST}:{self.port}/{number}"

    def close(self) -> None:
        self.client.close()
        super().close()
