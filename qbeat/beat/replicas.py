"""Which replica looks after which entries first: shares, agreed upon without a word between the replicas.

There is no leader, and shares are no locks: they only keep replicas from trying the same claims. Who is late
with its share loses it to whoever sweeps by first; the claim decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from qbeat.schedules.base import SECOND
from qbeat.store.records import Pulse

BUCKETS: Final = 1_024
"""Entries are spread over so many buckets by their uid, and a bucket as a whole belongs to one replica."""


class Shares:
    """The owners of all buckets, as one replica sees them after a heartbeat.

    While a deploy rolls, replicas with different declarations live side by side. An entry is then shared
    among those whose declaration wrote it last, for others may not have the definition that is in force.
    """

    def __init__(self, me: str) -> None:
        self._me = me
        self._replicas: dict[str, str] = {}
        self._owners: dict[str, list[str]] = {}
        self._silent: frozenset[str] = frozenset()

    @property
    def alone(self) -> bool:
        """Whether no other replica is live."""
        return not self._replicas.keys() - {self._me}

    def follow(self, pulse: Pulse, *, silent_after: float) -> bool:
        """Take in a heartbeat's answer; return whether the shares have changed.

        A replica whose last heartbeat is older than ``silent_after`` seconds keeps its share for now, but its
        overdue entries are fair game.
        """
        limit = pulse.now - round(silent_after * SECOND)
        self._silent = frozenset(
            replica.id
            for replica in pulse.replicas
            if replica.heartbeat_at < limit and replica.id != self._me
        )
        replicas = {replica.id: replica.generation for replica in pulse.replicas}
        if replicas == self._replicas:
            return False
        self._replicas = replicas
        self._owners = {}
        return True

    def is_mine(self, uid: str, generation: str) -> bool:
        """Whether this replica fires the entry, which the declaration ``generation`` wrote, on time."""
        return self.owner(uid, generation) == self._me

    def owner(self, uid: str, generation: str) -> str:
        """Return the id of the replica whose share the entry is in."""
        owners = self._owners.get(generation)
        if owners is None:
            owners = self._owners[generation] = self._divide(generation)
        return owners[_bucket(uid)]

    def is_looked_after(self, uid: str, generation: str) -> bool:
        """Whether another replica fires the entry, and is not silent."""
        owner = self.owner(uid, generation)
        return owner != self._me and owner not in self._silent

    def _divide(self, generation: str) -> list[str]:
        replicas = [replica for replica, declared in self._replicas.items() if declared == generation]
        candidates = replicas or [*self._replicas] or [self._me]
        return [_owner_of(bucket, candidates) for bucket in range(BUCKETS)]


def _bucket(uid: str) -> int:
    return int(uid[:8], 16) % BUCKETS


def _owner_of(bucket: int, replicas: Iterable[str]) -> str:
    """Return the replica with the highest hash for the bucket: if it goes, only its own buckets move."""
    return max(replicas, key=lambda replica: blake2b(f"{bucket}|{replica}".encode(), digest_size=8).digest())


def generations(pulse: Pulse) -> frozenset[str]:
    """Return the declarations that live replicas stand behind."""
    return frozenset(replica.generation for replica in pulse.replicas)
