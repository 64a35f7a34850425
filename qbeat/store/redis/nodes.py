"""The nodes of a cluster: which are known, and which one is next when another is gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Node = tuple[str, int]
"""Host and port."""


class Nodes:
    """The nodes that a person has named, and those that the cluster says it has; of one server, itself."""

    def __init__(self, named: Sequence[Node]) -> None:
        self._named = (*named,)
        self._told: tuple[Node, ...] = ()

    def __len__(self) -> int:
        return len(self._all())

    @property
    def first(self) -> Node | None:
        """The first that was named, if any was."""
        return self._named[0] if self._named else None

    def learn(self, slots: Any, asked: Node) -> None:
        """Note what the node ``asked`` has answered to ``CLUSTER SLOTS``, in place of what was told before."""
        self._told = (*dict.fromkeys(_nodes_in(slots, asked)),)

    def after(self, node: Node) -> Node:
        """Return whom to ask when ``node`` does not answer: itself if no other is known."""
        nodes = self._all()
        if node not in nodes:
            return nodes[0] if nodes else node
        return nodes[(nodes.index(node) + 1) % len(nodes)]

    def _all(self) -> list[Node]:
        return [*dict.fromkeys((*self._named, *self._told))]


def _nodes_in(slots: Any, asked: Node) -> Iterable[Node]:
    """Yield the nodes of a ``CLUSTER SLOTS`` answer, the primaries first; one without a host is ``asked``'s."""
    served = [[(_text(node[0]) or asked[0], int(node[1])) for node in nodes] for _, _, *nodes in slots]
    yield from (nodes[0] for nodes in served if nodes)
    yield from (node for nodes in served for node in nodes)


def _text(host: bytes | str | None) -> str:
    """Return a host's name; a cluster writes ``?`` for one that it does not know."""
    text = host.decode() if isinstance(host, bytes) else host or ""
    return "" if text == "?" else text
