"""A store that measures how long each of its verbs takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from qbeat.beat.health.exposition import Histogram
from qbeat.store.base import Store
from qbeat.store.records import (
    Change,
    Claim,
    EntryRecord,
    Firing,
    HistoryRecord,
    Pulse,
    Release,
    ReplicaRecord,
    Settlement,
    Won,
)

T = TypeVar("T")


class TimedStore(Store):
    """Hands every call on to another store. Calls that fail are measured too; reading the history is not."""

    def __init__(self, store: Store, seconds: Histogram) -> None:
        self._store = store
        self._seconds = seconds

    def _timed(self, verb: str, call: Callable[[], T]) -> T:
        started = time.perf_counter()
        try:
            return call()
        finally:
            self._seconds.add([time.perf_counter() - started], verb)

    @property
    def url(self) -> str:
        return self._store.url

    def now(self) -> int:
        return self._timed("now", self._store.now)

    def pushes_to(self, broker_url: str) -> bool:
        return self._store.pushes_to(broker_url)

    def entries(self, names: Collection[str] | None = None, *, changed_after: int = 0) -> list[EntryRecord]:
        return self._timed("entries", lambda: self._store.entries(names, changed_after=changed_after))

    def scan(self) -> Iterator[EntryRecord]:
        return self._store.scan()  # in the time between its pages its reader works

    def save(self, changes: Sequence[Change]) -> list[bool]:
        return self._timed("save", lambda: self._store.save(changes))

    def remove(self, names: Collection[str]) -> int:
        return self._timed("remove", lambda: self._store.remove(names))

    def overdue(self, before: int, limit: int) -> list[EntryRecord]:
        return self._timed("overdue", lambda: self._store.overdue(before, limit))

    def claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> list[Won]:
        return self._timed("claim", lambda: self._store.claim(claims, settlements, replica=replica))

    def begin_claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> Callable[[], list[Won]]:
        started = time.perf_counter()
        finish = self._store.begin_claim(claims, settlements, replica=replica)

        def timed() -> list[Won]:
            try:
                return finish()
            finally:
                self._seconds.add([time.perf_counter() - started], "claim")

        return timed

    def settle(self, settlements: Sequence[Settlement], releases: Sequence[Release] = ()) -> None:
        self._timed("settle", lambda: self._store.settle(settlements, releases))

    def take_over(self, *, replica: str, stale_after: int, limit: int) -> list[Firing]:
        return self._timed(
            "take_over",
            lambda: self._store.take_over(replica=replica, stale_after=stale_after, limit=limit),
        )

    def unsettled(self) -> int:
        return self._timed("unsettled", self._store.unsettled)

    def history(
        self,
        *,
        entries: Collection[str] | None = None,
        since: int | None = None,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[HistoryRecord]:
        return self._store.history(
            entries=entries, since=since, until=until, newest_first=newest_first, limit=limit
        )

    def prune(self, before: int, limit: int) -> int:
        return self._timed("prune", lambda: self._store.prune(before, limit))

    def history_before(self, count: int) -> int | None:
        return self._timed("history_before", lambda: self._store.history_before(count))

    def heartbeat(self, replica: ReplicaRecord, *, live_within: int) -> Pulse:
        return self._timed("heartbeat", lambda: self._store.heartbeat(replica, live_within=live_within))

    def leave(self, replica: str) -> None:
        self._timed("leave", lambda: self._store.leave(replica))

    def replicas(self) -> list[ReplicaRecord]:
        return self._timed("replicas", self._store.replicas)

    def close(self) -> None:
        self._store.close()
