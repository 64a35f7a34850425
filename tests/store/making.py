"""Entries, claims and the rest, with defaults for what a test does not care about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from qbeat.store.base import Store
from qbeat.store.records import (
    AUTO,
    Change,
    Claim,
    EntryRecord,
    Firing,
    HistoryRecord,
    NewFiring,
    Release,
    ReplicaRecord,
    Settlement,
    Skip,
    Won,
)

START = 1_800_000_000_000_000
"""Where the clocks of the tests begin: an instant of the real size, in microseconds."""
SECOND = 1_000_000


@dataclass
class Clock:
    """A clock that stands until a test moves it."""

    now: int = START

    def __call__(self) -> int:
        return self.now


@dataclass
class World:
    """One store as several clients see it, and the clock that it goes by."""

    kind: str
    connect: Callable[[], Store]
    clock: Clock = field(default_factory=Clock)
    url: str | None = None


def uid_of(name: str) -> str:
    return uuid5(NAMESPACE_DNS, name).hex


def entry(name: str = "a", **changes: Any) -> EntryRecord:
    record = EntryRecord(
        name=name,
        uid=uid_of(name),
        origin="declared",
        task="tasks.add",
        schedule={"kind": "interval", "every": 10},
        timezone="Europe/Berlin",
        definition={"args": [1, "zwei", None], "kwargs": {"x": {"y": 0.5}}},
        fingerprint="f" * 64,
        generation="g" * 64,
        anchor=START,
        cursor=START,
        next_fire_time=START + 10,
        due_at=START + 12,
    )
    return replace(record, **changes)


def create(store: Store, *records: EntryRecord) -> None:
    assert store.save([Change(record, expected_revision=None) for record in records]) == [True] * len(records)


def read(store: Store, name: str = "a") -> EntryRecord:
    (record,) = store.entries([name])
    return record


def edit(record: EntryRecord, *, skips: tuple[Skip, ...] = (), **changes: Any) -> Change:
    """A change by someone who has read ``record``."""
    return Change(
        replace(record, **changes),
        expected_revision=record.revision,
        expected_cursor=record.cursor,
        skips=skips,
    )


def claim_of(record: EntryRecord, *fire_times: int, skips: tuple[Skip, ...] = (), **changes: Any) -> Claim:
    """A claim by someone who has read ``record``; fire times count from ``START``."""
    instants = [START + fire_time for fire_time in fire_times]
    last = max([record.cursor, *instants, *(skip.last for skip in skips)])
    claim = Claim(
        uid=record.uid,
        cursor=record.cursor,
        revision=record.revision,
        new_cursor=last,
        next_fire_time=last + 10,
        due_at=last + 12,
        firings=tuple(NewFiring(instant, task_id(record.name, instant)) for instant in instants),
        skips=skips,
    )
    return claim._replace(**changes)


def task_id(name: str, fire_time: int) -> str:
    return f"{name}@{fire_time}"


def fire(store: Store, name: str, *fire_times: int, replica: str = "r1") -> None:
    """Claim fire times (from ``START``) of an entry as it stands, and win."""
    (won,) = store.claim([claim_of(read(store, name), *fire_times)], replica=replica)
    assert won is not Won.LOST


def settled(name: str, fire_time: int, outcome: Any = "published", **changes: Any) -> Settlement:
    """How a firing ended; published a second after its fire time, which counts from ``START``."""
    published_at = START + fire_time + SECOND if outcome == "published" else None
    settlement = Settlement(uid_of(name), START + fire_time, AUTO, outcome, published_at)
    return settlement._replace(**changes)


def publish(store: Store, name: str, *fire_times: int, replica: str = "r1") -> None:
    """Claim fire times and settle them as published."""
    fire(store, name, *fire_times, replica=replica)
    store.settle([settled(name, fire_time) for fire_time in fire_times])


def release(name: str, fire_time: int, **changes: Any) -> Release:
    released = Release(uid_of(name), START + fire_time, AUTO, attempt=1, not_before=0)
    return replace(released, **changes)


def take_over(store: Store, replica: str = "r2", *, stale_after: int = 10, limit: int = 100) -> list[Firing]:
    return store.take_over(replica=replica, stale_after=stale_after, limit=limit)


def skip(first: int, last: int, count: int | None = 1, reason: Any = "missed") -> Skip:
    return Skip(START + first, START + last, count, reason)


def replica(id_: str = "r1", **changes: Any) -> ReplicaRecord:
    record = ReplicaRecord(
        id=id_,
        host="host.example",
        pid=4711,
        version="1.2.3",
        generation="g" * 64,
        started_at=START - 5,
        details={"tzdata": "2025a", "shares": [1, 2]},
    )
    return replace(record, **changes)


def fire_times(records: list[Firing] | list[HistoryRecord]) -> list[int]:
    """The fire times, counted from ``START``."""
    return [record.fire_time - START for record in records]


def history_of(store: Store, **query: Any) -> list[HistoryRecord]:
    return list(store.history(**query))
