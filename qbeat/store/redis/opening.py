"""Make sure that a Redis can be a store: its version, the store's mark, what is kept when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from qbeat.store.base import StoreMissing, StoreUnusable
from qbeat.store.redis.scripts import Script, script
from qbeat.store.redis.server import Server

VERSION: Final = 1
"""The version of the data that this program writes."""
COMPATIBLE_FROM: Final = 1
"""The oldest version whose programs can still work with this data."""
OLDEST_REDIS: Final = (6, 2)

STEPS: Final[Mapping[int, Script]] = {}
"""For each version, the script that leads there from the one before.

It is given the store's keys and the version; it does nothing if the store has that version already, and else
writes the version in the same step. The data stay usable for programs back to ``COMPATIBLE_FROM``: replicas
of two versions live side by side during a deploy.
"""

_logger = logging.getLogger(__name__)


def prepare(server: Server, keys: Sequence[str], *, create: bool) -> None:
    """Mark a new store, or bring an old one up to date; with ``create=False`` only look.

    Raises ``StoreUnusable`` if there is no store that this program can use.
    """
    version, compatible_from = _mark(server, keys, create=create)
    if compatible_from > VERSION:
        raise StoreUnusable(
            f"the store at {server.url} was written by a newer qbeat (version {version} of its data, this "
            f"program knows {VERSION}): upgrade qbeat here, or name another store with -s"
        )
    if not create and version < VERSION:
        kind, what = (StoreUnusable, "no store of this version") if version else (StoreMissing, "no store")
        raise kind(f"{server.url} holds {what}: start qbeat once to make it, or name another with -s")
    migrate(server, keys, version)


def migrate(
    server: Server,
    keys: Sequence[str],
    version: int,
    steps: Mapping[int, Script] = STEPS,
    target: int = VERSION,
) -> None:
    """Bring the data from ``version`` to ``target``, each step once whoever else migrates."""
    for number in range(version + 1, target + 1):
        server.run(steps[number], keys, [number])


def examine(server: Server) -> bool:
    """Refuse a Redis that is too old, warn of one that forgets; return whether it is part of a cluster."""
    info = _info_of(server)
    _check_version(server.url, str(info.get("redis_version", "")))
    _warn_of_eviction(server.url, info)
    has_to_ask = server.is_one_of_several or bool(info.get("cluster_enabled", 1))
    return has_to_ask and _meets_cluster(server, info)


def _meets_cluster(server: Server, info: Mapping[str, Any]) -> bool:
    """Have a server learn the nodes of its cluster; return whether there is one."""
    try:
        server.look_around()
    except StoreUnusable:  # there is none, or it keeps its nodes to itself
        if server.is_one_of_several:
            raise
        return bool(info.get("cluster_enabled"))
    return True


def _info_of(server: Server) -> dict[str, Any]:
    """Return what a server tells of itself: nothing, if it is one of the services that keep that to themselves."""
    try:
        info: dict[str, Any] = server.command("INFO", repeat=True)
    except StoreUnusable:
        return {}
    return info


def _mark(server: Server, keys: Sequence[str], *, create: bool) -> tuple[int, int]:
    answer = server.run(script("open"), keys, ["1" if create else "", VERSION, COMPATIBLE_FROM])
    return int(answer[0]), int(answer[1])


def _check_version(url: str, version: str) -> None:
    numbers = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    if numbers and (*numbers,) < OLDEST_REDIS:
        raise StoreUnusable(f"the Redis at {url} is version {version}: a store needs 6.2 or newer, or Valkey")


def _warn_of_eviction(url: str, info: Mapping[str, Any]) -> None:
    policy = str(info.get("maxmemory_policy", ""))
    if info.get("maxmemory") and policy.startswith("allkeys"):
        _logger.warning(
            "The Redis at %s throws keys away when its memory is full (maxmemory-policy %s), those of the store "
            "too, and then firings are lost or sent twice: set maxmemory-policy to noeviction.",
            url,
            policy,
        )
