"""Redis servers of further kinds, and what a store in any of them has to be able to do."""

from __future__ import annotations

import socket

from qbeat.store.base import Store
from tests.servers import Process, RedisServer
from tests.servers.server import HOST, free_port
from tests.store.making import START, create, entry, fire, history_of, publish, take_over

CLIENTS_PORTS = 32_768
"""From here on Linux takes the ports of outgoing connections."""


class RedisWith(RedisServer):
    """A Redis with further arguments on its command line."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        super().__init__()

    def prepare(self) -> Process:
        plain = super().prepare()
        return Process([*plain.command, *self.arguments], directory=self.directory, log=self.log)


class ClusterNode(RedisWith):
    """A node of a cluster; its other port, higher by 10,000, is none that Linux gives to clients either."""

    def __init__(self) -> None:
        quick = ("--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0")
        super().__init__("--cluster-enabled", "yes", *quick)

    def prepare(self) -> Process:
        while self.port + 10_000 >= CLIENTS_PORTS:
            self.port = free_port()
        return super().prepare()


def ask(port: int, line: bytes) -> bytes:
    """The beginning of what a server answers to a line; nothing if it is not there."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(line)
            return connection.recv(1_000)
    except OSError:
        return b""


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
