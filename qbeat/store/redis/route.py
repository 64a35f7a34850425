"""Which node of a cluster commands go to: the one that has the keys, found by way of any that answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from qbeat.store.redis.address import Address
from qbeat.store.redis.connecting import connect
from qbeat.store.redis.nodes import Node, Nodes

_LEARN_EVERY: Final = 100
"""Commands after which a cluster is asked for its nodes again: one day all of those of old may be replaced."""


class Route:
    """A way that begins at home, a node that answers, and leads on to where that one says the keys are.

    Where there is a single server, a socket, or Sentinels who name one, it never changes.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._nodes = Nodes(address.nodes)
        self._home = self._here = self._nodes.first
        self._home_client = self._connect(self._home)
        self.client = self._home_client
        """What to send commands with."""
        self._is_clustered = False
        self._commands = 0

    @property
    def choices(self) -> int:
        """How many nodes there are to begin at."""
        return max(1, len(self._nodes))

    def has_answered(self) -> bool:
        """Count a command that was answered; return whether it is time to ask for the cluster's nodes."""
        self._commands += 1
        return self._is_clustered and self._commands >= _LEARN_EVERY

    def learn(self, slots: Any) -> None:
        """Take in an answer to ``CLUSTER SLOTS``."""
        if self._here is not None:
            self._nodes.learn(slots, self._here)
            self._is_clustered = True
        self.learn_later()

    def learn_later(self) -> None:
        """Leave it at what is known for a while."""
        self._commands = 0

    def move(self, host: str, port: int) -> bool:
        """Lead on to a node, on this one's host if ``host`` is empty; return whether that is possible."""
        if self._here is None:
            return False
        there = host or self._here[0], port
        self.go_home()
        self._here, self.client = there, self._connect(there)
        self._is_clustered, self._commands = True, _LEARN_EVERY
        return True

    def go_home(self) -> None:
        """Begin at home with the next command."""
        if self.client is not self._home_client:
            self.client.connection_pool.disconnect()
            self._here, self.client = self._home, self._home_client

    def turn(self) -> None:
        """Begin at home after a failure or, if that is where it was, make another node the home."""
        if self.client is not self._home_client:
            self.go_home()
        elif self._home is not None and self.choices > 1:
            self._home_client.connection_pool.disconnect()
            self._home = self._here = self._nodes.after(self._home)
            self._home_client = self.client = self._connect(self._home)
            self._commands = _LEARN_EVERY

    def close(self) -> None:
        """Let go of all connections; the next command connects anew."""
        self.go_home()
        self._home_client.connection_pool.disconnect()

    def _connect(self, node: Node | None) -> Any:
        return connect(self._address if node is None else replace(self._address, hosts=(node,)))
