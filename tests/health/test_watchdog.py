"""The watchdog's own judgement, with a real store in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from qbeat.beat.entries import Entry
from qbeat.beat.health.vitals import Vitals
from qbeat.beat.health.watchdog import Watchdog
from qbeat.schedules.base import SECOND
from qbeat.store.base import Store, StoreUnavailable
from qbeat.store.memory import MemoryStore
from qbeat.store.records import Change, Claim, EntryRecord
from tests.beat.world import entry

NOW = 1_800_000_000 * SECOND
HOURLY = entry("hourly", 3600)


def overdue_record(by: int = 60, **changes: object) -> EntryRecord:
    due = NOW - by * SECOND
    record = EntryRecord(
        name="hourly", uid="0" * 32, origin="declared", task="tasks.hourly", schedule={"kind": "interval"},
        timezone="UTC", definition={}, fingerprint=HOURLY.fingerprint, generation="g", anchor=0,
        cursor=due - SECOND, next_fire_time=due, due_at=due,
    )  # fmt: skip
    return replace(record, **changes)  # type: ignore[arg-type]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(lambda: NOW)


def vitals() -> Vitals:
    """Of a loop that turns."""
    return Vitals(turned_at=math.inf, has_loaded=True, waits_for_broker=False)


def watchdog(
    store: Store,
    watched: Vitals | None = None,
    *,
    bound: float = 0.0,
    entry: Entry = HOURLY,
    is_postponed: Callable[[str, int], bool] = lambda _uid, _now: False,
) -> Watchdog:
    return Watchdog(
        watched or vitals(), {entry.name: entry}, lambda: store, bound=bound, takeover_delay=0.5,
        live_within=3.0, is_postponed=is_postponed,
    )  # fmt: skip


def test_a_loop_that_turns_is_green() -> None:
    assert watchdog(MemoryStore(), Vitals(has_loaded=True), bound=30).red() is None


def test_a_loop_that_has_not_turned_for_the_bound_is_red() -> None:
    hung = Vitals(turned_at=time.monotonic() - 31, has_loaded=True)
    assert watchdog(MemoryStore(), hung, bound=30).red() == "the loop has not turned for 31 s"


def test_an_overdue_entry_that_nobody_claims_is_red(store: MemoryStore) -> None:
    store.save([Change(overdue_record(), None)])
    dog = watchdog(store)
    dog.watch()
    red = dog.red()
    assert red is not None
    assert red.startswith("the entry 'hourly' is overdue and has not been claimed")


def test_an_overdue_entry_has_the_bound_to_be_claimed(store: MemoryStore) -> None:
    store.save([Change(overdue_record(by=86_400), None)])
    dog = watchdog(store, bound=30)
    dog.watch()
    assert dog.red() is None


def test_an_entry_that_is_claimed_is_green_however_late_it_is(store: MemoryStore) -> None:
    store.save([Change(overdue_record(), None)])
    [record] = store.entries()
    dog = watchdog(store)
    dog.watch()
    claim = Claim(record.uid, record.cursor, record.revision, NOW - 30 * SECOND, NOW + SECOND, NOW + SECOND)
    store.claim([claim], replica="r")
    dog.watch()
    assert dog.red() is None


def test_it_does_not_bark_at_what_is_left_alone_on_purpose(store: MemoryStore) -> None:
    store.save([Change(overdue_record(), None)])
    away = replace(vitals(), waits_for_broker=True)
    others = entry("hourly", 7200)
    for dog in (
        watchdog(store, away),
        watchdog(store, is_postponed=lambda _uid, _now: True),
        watchdog(store, entry=others),
    ):
        dog.watch()
        assert dog.red() is None
        assert dog.look is not None
        assert dog.look.overdue == 1


def test_what_it_sees_is_there_for_the_metrics(store: MemoryStore) -> None:
    store.save([Change(overdue_record(by=60), None)])
    dog = watchdog(store)
    dog.watch()
    assert dog.look is not None
    assert (dog.look.overdue, dog.look.oldest_overdue, dog.look.backlog) == (1, 60.0, 0)


def test_a_store_that_is_away_is_told_and_is_no_reason_to_be_red() -> None:
    def nowhere() -> Store:
        raise StoreUnavailable("gone for a walk")

    dog = Watchdog(
        vitals(), {}, nowhere, bound=0, takeover_delay=0.5, live_within=3, is_postponed=lambda *_: False
    )
    dog.watch()
    assert (dog.red(), dog.store_trouble, dog.look) == (None, "gone for a walk", None)
