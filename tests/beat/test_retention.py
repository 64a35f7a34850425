"""The history's bounds: what is too old or too much goes, in small steps, and never in the way of a firing."""

from __future__ import annotations

import pytest
from celery import Celery

from qbeat.beat.clock import VirtualClock
from qbeat.beat.errors import SettingError
from qbeat.beat.publishing.recording import RecordingPublisher
from qbeat.beat.retention import COUNT_EVERY, EVERY, LULL, PATIENCE, SOON, Keep, Retention
from qbeat.beat.scheduler import Scheduler
from qbeat.beat.settings import read_settings
from qbeat.schedules.base import SECOND
from qbeat.store.base import MAX_BATCH, StoreUnavailable
from qbeat.store.memory import MemoryStore
from qbeat.store.records import ReplicaRecord
from tests.beat.world import START
from tests.beat.world import entry as engine_entry
from tests.store.making import claim_of, create, entry, read, skip

DAY = 86_400 * SECOND
AT = 1_800_000_000 * SECOND
"""Where the records of the tests begin, as those of the store's own tests."""


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(AT)


@pytest.fixture
def store(clock: VirtualClock) -> MemoryStore:
    store = MemoryStore(clock.now)
    create(store, entry())
    return store


def skip_times(store: MemoryStore, *times: int) -> None:
    """Have fire times (counted from ``AT``) in the history."""
    for start in range(0, len(times), 500):
        some = tuple(skip(time, time) for time in times[start : start + 500])
        store.claim([claim_of(read(store), skips=some)], replica="r1")


def left(store: MemoryStore) -> list[int]:
    return [record.fire_time - AT for record in store.history()]


def retention_of(store: MemoryStore, clock: VirtualClock, **keep: float) -> Retention:
    retention = Retention(store, Keep(**keep), clock, clock.now)  # type: ignore[arg-type]
    clock.advance(EVERY)
    return retention


def test_what_is_too_old_goes(store: MemoryStore, clock: VirtualClock) -> None:
    skip_times(store, 1 * DAY, 2 * DAY, 3 * DAY, 4 * DAY)
    clock.advance(4.5 * 86_400)
    retention_of(store, clock, days=2).work(lull=60)
    assert left(store) == [3 * DAY, 4 * DAY]


def test_what_is_too_much_goes(store: MemoryStore, clock: VirtualClock) -> None:
    skip_times(store, *range(1, 101))
    retention_of(store, clock, count=30).work(lull=60)
    assert left(store) == [*range(71, 101)]


def test_a_long_history_goes_in_batches_soon_one_after_the_other(
    store: MemoryStore, clock: VirtualClock
) -> None:
    skip_times(store, *range(1, 2 * MAX_BATCH + 11))
    retention = retention_of(store, clock, count=5)
    sizes = []
    for _ in range(3):
        retention.work(lull=60)
        retention.work(lull=60)  # too early to do anything
        sizes.append(len(left(store)))
        clock.advance(SOON)
    assert sizes == [MAX_BATCH + 10, 10, 5]
    assert retention.wait() == pytest.approx(EVERY - SOON)


def test_what_comes_later_is_counted_later(store: MemoryStore, clock: VirtualClock) -> None:
    skip_times(store, *range(1, 11))
    retention = retention_of(store, clock, count=10)
    retention.work(lull=60)
    skip_times(store, *range(11, 16))
    clock.advance(COUNT_EVERY)
    retention.work(lull=60)
    assert left(store) == [*range(6, 16)]


def test_it_waits_until_nothing_is_due_but_not_for_ever(store: MemoryStore, clock: VirtualClock) -> None:
    skip_times(store, 1, 2, 3)
    retention = retention_of(store, clock, count=1)
    clock.advance(PATIENCE - 1)
    retention.work(lull=0)
    assert left(store) == [1, 2, 3]
    clock.advance(1)
    retention.work(lull=0)
    assert left(store) == [3]


def test_it_counts_in_a_long_lull_but_does_not_wait_for_one_for_ever(
    store: MemoryStore, clock: VirtualClock
) -> None:
    skip_times(store, 1, 2, 3)
    retention = retention_of(store, clock, count=1)
    retention.work(lull=LULL / 2)
    clock.advance(PATIENCE - 1)
    retention.work(lull=LULL / 2)
    assert left(store) == [1, 2, 3]
    clock.advance(EVERY)
    retention.work(lull=LULL / 2)
    assert left(store) == [3]


class Away(MemoryStore):
    """A store whose history cannot be pruned."""

    tries = 0

    def prune(self, before: int, limit: int) -> int:
        self.tries += 1
        raise StoreUnavailable("the store does not answer")


def test_a_failure_is_the_ticks_and_is_not_tried_again_at_once(clock: VirtualClock) -> None:
    store = Away(clock.now)
    retention = retention_of(store, clock)
    with pytest.raises(StoreUnavailable):
        retention.work(lull=60)
    retention.work(lull=60)
    assert store.tries == 1
    clock.advance(EVERY)
    with pytest.raises(StoreUnavailable):
        retention.work(lull=60)


def test_a_scheduler_keeps_its_history_within_bounds_and_fires_on() -> None:
    clock = VirtualClock(START)
    store = MemoryStore(clock.now)
    publisher = RecordingPublisher(clock)
    scheduler = Scheduler(
        store=store, publisher=publisher, clock=clock, entries={"a": engine_entry("a", 1)},
        replica=ReplicaRecord("r1", "host", 1, "1", "g", START), keep=Keep(count=100),
    )  # fmt: skip
    scheduler.start()
    while clock.now() < START + 1_000 * SECOND:
        clock.wait(scheduler.tick())
    records = [*store.history()]
    assert 100 <= len(records) <= 100 + COUNT_EVERY
    assert store.entries(["a"])[0].total_run_count >= 999
    gaps = {one.fire_time - other.fire_time for one, other in zip(records[1:], records, strict=False)}
    assert gaps == {SECOND}


@pytest.mark.parametrize(
    ("name", "value"),
    [("history_days", 0), ("history_days", "long"), ("history_count", -1), ("history_count", None)],
)
def test_bounds_that_cannot_be_are_refused(name: str, value: object) -> None:
    app = Celery("tasks", set_as_current=False)
    app.conf[f"qbeat_{name}"] = value
    with pytest.raises(SettingError, match=f"qbeat_{name} is"):
        read_settings(app)


def test_bounds_are_read_from_the_app() -> None:
    app = Celery("tasks", set_as_current=False)
    assert read_settings(app).keep == Keep(30, 1_000_000)
    app.conf.update(qbeat_history_days="7.5", qbeat_history_count="500")
    assert read_settings(app).keep == Keep(7.5, 500)
