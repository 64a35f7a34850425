"""How qbeat fares, as far as its store can tell: replicas and their shares, what waits, what is late."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from qbeat.beat.instants import iso
from qbeat.beat.replicas import Shares
from qbeat.beat.timings import Timings
from qbeat.schedules.base import SECOND
from qbeat.store.base import MAX_BATCH, Store
from qbeat.store.records import EntryRecord, Pulse, ReplicaRecord

LATE_AFTER: Final = 30.0
"""Seconds after which an overdue entry means that something is wrong."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One replica that has not left."""

    record: ReplicaRecord
    is_live: bool
    heartbeat_age: float
    """Seconds by the store's clock."""
    share: int
    """How many entries it looks after first."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of one store at one instant."""

    store: str
    now: int
    latency: float
    """Seconds that the store took to tell its time."""
    clock_offset: float
    """Seconds by which this machine's clock is ahead of the store's."""
    replicas: tuple[ReplicaState, ...]
    entries: int
    paused: int
    backlog: int
    """Firings in the outbox."""
    overdue: tuple[EntryRecord, ...]
    """The longest overdue first; at most ``MAX_BATCH``."""
    upcoming: EntryRecord | None
    """The entry that fires next."""

    @property
    def live(self) -> tuple[ReplicaState, ...]:
        return tuple(replica for replica in self.replicas if replica.is_live)

    @property
    def longest_overdue(self) -> float:
        """Seconds by which the longest overdue entry is late; 0 if none is."""
        return (self.now - (self.overdue[0].due_at or self.now)) / SECOND if self.overdue else 0.0

    @property
    def overdue_words(self) -> str:
        """How many entries are overdue, and which is the longest; there has to be one."""
        count = "1 entry is" if len(self.overdue) == 1 else f"{len(self.overdue)} entries are"
        return f"{count} overdue, {self.overdue[0].name!r} by {self.longest_overdue:.0f} s"


def survey(store: Store) -> Overview:
    """Look into ``store``; raises ``StoreUnavailable`` as the store does."""
    timings = Timings()
    before, wall = time.perf_counter(), time.time()
    now = store.now()
    latency = time.perf_counter() - before
    records = [record for record in store.entries() if record.retired_at is None]
    to_come = [record for record in records if record.next_fire_time is not None]
    return Overview(
        store=store.url,
        now=now,
        latency=latency,
        clock_offset=wall + latency / 2 - now / SECOND,
        replicas=_states(store.replicas(), records, now, round(timings.live_within * SECOND)),
        entries=len(records),
        paused=sum(record.pause is not None for record in records),
        backlog=store.unsettled(),
        overdue=tuple(store.overdue(now - round(timings.takeover_delay * SECOND), MAX_BATCH)),
        upcoming=min(to_come, key=lambda record: record.next_fire_time or 0, default=None),
    )


def problems(overview: Overview) -> list[str]:
    """Say what is wrong, each in a sentence with its cure; nothing if all is well."""
    found = []
    if not overview.live:
        found.append("No replica is running: start one with qbeat -A APP.")
    if overview.longest_overdue > LATE_AFTER:
        found.append(
            f"{overview.overdue_words}: "
            "see in the replicas' logs whether the broker is away; qbeat doctor looks for other causes."
        )
    return found


def as_object(overview: Overview) -> dict[str, Any]:
    """Return what ``status --json`` prints."""
    found = problems(overview)
    upcoming = overview.upcoming
    return {
        "healthy": not found,
        "problems": found,
        "store": overview.store,
        "now": iso(overview.now),
        "store_latency_ms": round(overview.latency * 1_000, 3),
        "entries": overview.entries,
        "paused": overview.paused,
        "backlog": overview.backlog,
        "overdue": len(overview.overdue),
        "longest_overdue_s": round(overview.longest_overdue, 3),
        "next_firing": upcoming and {"entry": upcoming.name, "fire_time": iso(upcoming.next_fire_time or 0)},
        "replicas": [replica_object(replica) for replica in overview.replicas],
    }


def replica_object(replica: ReplicaState) -> dict[str, Any]:
    """Return one replica for programs."""
    record = replica.record
    return {
        "id": record.id,
        "host": record.host,
        "pid": record.pid,
        "version": record.version,
        "live": replica.is_live,
        "heartbeat_age_s": round(replica.heartbeat_age, 3),
        "share": replica.share,
        "started_at": iso(record.started_at),
        "clock_offset_ms": record.details.get("clock_offset_ms"),
        "tz_database": tz_of(record),
    }


def tz_of(record: ReplicaRecord) -> str | None:
    """Return the version of the tz database that a replica reads, ``None`` if it has not said."""
    told = record.details.get("tz_database")
    return f"{told[1] or 'unknown'} from {told[0]}" if told else None


def _states(
    replicas: Sequence[ReplicaRecord], entries: Sequence[EntryRecord], now: int, live_within: int
) -> tuple[ReplicaState, ...]:
    live = tuple(replica for replica in replicas if replica.heartbeat_at >= now - live_within)
    shares = _shares(live, entries, now)
    return tuple(
        ReplicaState(
            record=replica,
            is_live=replica in live,
            heartbeat_age=max(0, now - replica.heartbeat_at) / SECOND,
            share=shares[replica.id],
        )
        for replica in replicas
    )


def _shares(live: Sequence[ReplicaRecord], entries: Sequence[EntryRecord], now: int) -> Counter[str]:
    if not live:
        return Counter()
    shares = Shares("")
    shares.follow(Pulse(now=now, change=0, replicas=tuple(live)), silent_after=Timings.silent_after)
    return Counter(shares.owner(entry.uid, entry.generation) for entry in entries)
