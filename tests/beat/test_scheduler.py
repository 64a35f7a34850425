"""The scheduler on a clock of its own: what fires when, and what becomes of it when things break."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbeat.beat.claiming import SKIPS_TOLD
from qbeat.beat.decide import CATCH_UP_BATCH
from qbeat.beat.dispatcher import MAX_IN_FLIGHT
from qbeat.beat.entries import Entry
from qbeat.beat.firing_ids import task_id_of
from qbeat.beat.publishing.base import Verdict
from qbeat.beat.scheduler import BATCH
from qbeat.beat.settling import MAX_ATTEMPTS
from qbeat.beat.timings import Timings
from qbeat.schedules import Crontab, Interval, Schedule
from qbeat.schedules.base import SECOND, to_us
from qbeat.schedules.jitter import Jitter, jitter_us
from qbeat.schedules.zones import DAY, HOUR
from qbeat.store.memory import MemoryStore
from qbeat.store.records import Claim, Settlement, Won
from tests.beat.world import START, FlakyStore, World, entry


@pytest.fixture
def world() -> World:
    return World()


def flaky(world: World) -> FlakyStore:
    assert isinstance(world.store, FlakyStore)
    return world.store


def seconds(times: list[int]) -> list[float]:
    return [(time - START) / SECOND for time in times]


# --- while it loads


@pytest.fixture
def _loads_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qbeat.beat.scheduler.LOADED_AT_ONCE", 2)


def hourly(count: int) -> list[Entry]:
    return [entry(f"hourly-{number}", 3600) for number in range(count)]


@pytest.mark.usefixtures("_loads_slowly")
def test_an_entry_fires_while_later_ones_are_still_declared(world: World) -> None:
    replica = world.start(entry("due", 10, last_run_at=START - 11 * SECOND), *hourly(5))
    replica.tick()
    assert seconds(world.broker.fire_times("due")) == [-1]
    assert not replica.scheduler.has_loaded
    replica.load()
    assert len(replica.scheduler.progress()) == 6


@pytest.mark.usefixtures("_loads_slowly")
def test_what_is_overdue_at_a_start_fires_before_all_is_read(world: World) -> None:
    entries = [*hourly(50), entry("late", 10)]
    world.start(*entries).load()
    world.replicas[0].stop()
    world.clock.advance(15)
    replica = world.start(*entries)
    replica.tick()
    assert seconds(world.broker.fire_times("late")) == [10]
    assert replica.load() == 25
    world.run(10)
    assert seconds(world.broker.fire_times("late")) == [10, 20]
    assert len(replica.scheduler.progress()) == 51


@pytest.mark.usefixtures("_loads_slowly")
def test_a_replica_lives_while_it_loads(world: World) -> None:
    loading = world.start(*hourly(20))
    while not loading.scheduler.has_loaded:
        loading.tick()
        world.clock.advance(1.0)
        [seen] = world.store.replicas()
        assert seen.heartbeat_at >= world.now - 1.1 * SECOND


@pytest.mark.usefixtures("_loads_slowly")
def test_what_others_change_during_a_load_is_heeded(world: World) -> None:
    old, new = entry("a", 10), entry("a", 10, options={"queue": "new"})
    loading = world.start(old, *hourly(20))
    loading.tick()
    other = world.start(new, *hourly(20))
    other.load()
    world.run(12)
    assert loading.scheduler.has_loaded
    assert [job.entry.options for job in world.broker.jobs] == [{"queue": "new"}]


@pytest.mark.usefixtures("_loads_slowly")
def test_a_load_that_loses_the_store_begins_anew(world: World) -> None:
    replica = world.start(entry("a", 10), *hourly(20))
    replica.tick()
    flaky(world).away = True
    world.clock.advance(1.0)
    replica.tick()
    assert replica.store_was_away == 1
    flaky(world).away = False
    world.run(15)
    assert seconds(world.broker.fire_times("a")) == [10]
    assert len(replica.scheduler.progress()) == 21


# --- on time


def test_an_interval_fires_after_each_of_its_steps(world: World) -> None:
    world.start(entry("a", 10))
    world.run(35)
    assert seconds(world.broker.fire_times("a")) == [10, 20, 30]


def test_a_crontab_fires_on_the_minute(world: World) -> None:
    world.start(entry("a", Crontab(minute="*/2", timezone="UTC")))
    world.run(300)
    assert world.broker.fire_times("a") == [
        to_us(datetime(2026, 3, 27, 12, minute, tzinfo=UTC)) for minute in (2, 4)
    ]


def test_a_grid_does_not_drift_over_days(world: World) -> None:
    calm = Timings(heartbeat=60, sweep=60, outbox=60, live_within=300, max_wait=60)
    world.start(entry("a", 90), timings=calm)
    world.run(3 * 86_400)
    assert seconds(world.broker.fire_times("a")) == [90 * k for k in range(1, 2881)]
    lateness = [
        record.published_at - record.fire_time for record in world.history("a") if record.published_at
    ]
    assert max(lateness) < SECOND / 10


def test_nothing_fires_before_its_time(world: World) -> None:
    world.start(*(entry(f"e{number}", 0.7 + number / 7) for number in range(20)))
    world.run(60)
    assert world.broker.jobs
    for record in world.history(None, "published"):
        assert record.published_at is not None
        assert record.published_at >= record.fire_time


def test_entries_without_anything_to_do_cost_no_ticks(world: World) -> None:
    world.start(entry("a", Crontab(0, 0, timezone="UTC")))
    assert world.run(600) <= 600 * 1.1


def test_two_replicas_with_nothing_to_do_do_not_spin(world: World) -> None:
    for _ in range(2):
        world.start(entry("a", Crontab(0, 0, timezone="UTC")))
    assert world.run(60) <= 60 * 2 * 5 * 1.5


def test_a_published_firing_is_in_the_history_with_its_id(world: World) -> None:
    world.start(entry("a", 10))
    world.run(10.5)
    [record] = world.history("a")
    uid = world.record("a").uid
    assert record.task_id == task_id_of(uid, START + 10 * SECOND, "auto") == world.broker.task_ids()[0]
    assert (record.outcome, record.lane, record.attempt, record.replica) == (
        "published",
        "auto",
        1,
        "replica-1",
    )


def test_an_entry_knows_how_far_it_has_come(world: World) -> None:
    world.start(entry("a", 10))
    world.run(25)
    record = world.record("a")
    assert record.total_run_count == 2
    assert record.last_fire_time == START + 20 * SECOND
    assert record.last_published_at is not None
    assert record.next_fire_time == START + 30 * SECOND


def test_a_given_last_run_at_starts_the_grid(world: World) -> None:
    world.start(entry("a", 60, last_run_at=START - 45 * SECOND))
    world.run(80)
    assert seconds(world.broker.fire_times("a")) == [15, 75]


def test_all_entries_of_a_burst_fire(world: World) -> None:
    world.start(*(entry(f"e{number}", 10) for number in range(3 * BATCH + 7)))
    world.run(11)
    assert len(set(world.broker.task_ids())) == len(world.broker.jobs) == 3 * BATCH + 7
    assert not world.store.unsettled()


def test_a_schedule_that_ends_is_left_alone(world: World) -> None:
    from qbeat.schedules import Once

    world.start(entry("a", Once(datetime(2026, 3, 27, 12, 0, 30, tzinfo=UTC))), entry("b", 10))
    world.run(60)
    assert len(world.broker.fire_times("a")) == 1
    assert len(world.broker.fire_times("b")) == 6
    assert world.record("a").next_fire_time is None


# --- within bounds, and later by jitter


def test_an_entry_fires_as_often_as_it_may_and_a_restart_gives_it_no_more(world: World) -> None:
    limited = entry("a", Interval(10), max_runs=3)
    world.start(limited)
    world.run(25)
    world.replicas[-1].stop()
    world.start(limited)
    world.run(60)
    assert seconds(world.broker.fire_times("a")) == [10, 20, 30]
    assert world.record("a").next_fire_time is None


def test_a_catch_up_on_everything_fires_no_more_than_is_left(world: World) -> None:
    limited = entry("a", Interval(10), max_runs=3, catch_up="all")
    world.start(limited).tick()
    world.replicas[-1].crash()
    world.clock.advance(300)
    world.start(limited)
    world.run(60)
    assert seconds(world.broker.fire_times("a")) == [10, 20, 30]


def test_an_entry_fires_between_its_bounds_from_the_first_on(world: World) -> None:
    start, end = (datetime(2026, 3, 27, 12, 0, second, tzinfo=UTC) for second in (15, 45))
    world.start(entry("a", Interval(10), start=start, end=end))
    world.run(120)
    assert world.broker.fire_times("a") == [to_us(start) + 10 * k * SECOND for k in range(4)]


def test_jitter_delays_each_firing_by_the_same_on_every_replica(world: World) -> None:
    one = entry("a", Interval(10), jitter=Jitter(share=500_000))
    world.start(one)
    world.run(300)
    assert seconds(world.broker.fire_times("a")) == [10 * k for k in range(1, 30)]
    late = [record.published_at - record.fire_time for record in world.history("a") if record.published_at]
    assert len(set(late)) > 20
    assert all(0 <= delay <= 5 * SECOND for delay in late)
    uid = world.record("a").uid
    assert late == pytest.approx(
        [
            jitter_us(uid, time, time + 10 * SECOND, Jitter(share=500_000))
            for time in world.broker.fire_times("a")
        ],
        abs=SECOND // 10,
    )


# --- stopping and starting


def test_a_restart_keeps_the_grid(world: World) -> None:
    first = world.start(entry("a", 60))
    world.run(95)
    first.stop()
    world.run(10)
    world.start(entry("a", 60))
    world.run(100)
    assert seconds(world.broker.fire_times("a")) == [60, 120, 180]


def test_a_stop_settles_what_was_published(world: World) -> None:
    replica = world.start(entry("a", 10))
    world.run(9.9)
    world.clock.advance(0.2)
    replica.tick()
    replica.stop()
    assert [record.outcome for record in world.history("a")] == ["published"]
    assert world.store.replicas() == []


def test_after_a_downtime_the_newest_fire_time_is_fired_and_the_others_are_coalesced(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.start(entry("a", 60)).stop()
    world.start(entry("a", 60)).tick()
    world.replicas[-1].crash()
    world.clock.advance(310)
    world.start(entry("a", 60))
    world.run(60)
    assert world.told("a") == [(60, "coalesced"), (300, "published"), (360, "published")]
    assert world.history("a")[0].count == 4
    assert "a: 4 fire times from" in caplog.text
    assert "are coalesced." in caplog.text


def test_an_outage_is_told_in_a_few_lines_however_many_entries_are_late(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.start(*(entry(f"e{number}", 60) for number in range(50)))
    world.run(1)
    world.replicas[-1].stop()
    world.clock.advance(200)
    world.start(*(entry(f"e{number}", 60) for number in range(50)))
    world.run(1)
    assert caplog.text.count("are coalesced.") == SKIPS_TOLD
    assert f"So it is with {50 - SKIPS_TOLD} more entries" in caplog.text
    assert len(world.broker.jobs) == 50


def test_after_a_downtime_every_fire_time_is_fired_in_order_where_the_entry_says_so(world: World) -> None:
    world.start(entry("a", 10, catch_up="all")).tick()
    world.replicas[-1].crash()
    world.clock.advance(3605)
    world.start(entry("a", 10, catch_up="all"))
    world.run(6)
    assert seconds(world.broker.fire_times("a")) == [10 * k for k in range(1, 362)]


def test_after_a_downtime_nothing_is_fired_late_where_the_entry_says_so(world: World) -> None:
    world.start(entry("a", 60, catch_up="skip")).tick()
    world.replicas[-1].crash()
    world.clock.advance(320)
    world.start(entry("a", 60, catch_up="skip"))
    world.run(60)
    assert world.told("a") == [(60, "missed"), (360, "published")]


def test_a_window_says_how_late_is_too_late(world: World) -> None:
    window = timedelta(minutes=2)
    world.start(entry("a", 60, catch_up="all", catch_up_window=window)).tick()
    world.replicas[-1].crash()
    world.clock.advance(310)
    world.start(entry("a", 60, catch_up="all", catch_up_window=window))
    world.run(1)
    assert world.told("a") == [(60, "missed"), (240, "published"), (300, "published")]


# --- crashes


def test_what_a_crash_left_unsettled_is_published_again_under_the_same_id(world: World) -> None:
    replica = world.start(entry("a", 60))
    world.run(59)
    replica.publisher.holding = True
    world.run(2)
    replica.crash()
    assert len(world.broker.jobs) == 1
    world.start(entry("a", 60))
    world.run(20)
    assert len(world.broker.jobs) == 2
    assert len(set(world.broker.task_ids())) == 1
    assert world.told("a") == [(60, "published")]


def test_what_a_crash_left_unsettled_is_not_published_again_where_the_entry_says_so(world: World) -> None:
    replica = world.start(entry("a", 60, on_uncertain="skip"))
    world.run(59)
    replica.publisher.holding = True
    world.run(2)
    replica.crash()
    world.start(entry("a", 60, on_uncertain="skip"))
    world.run(20)
    assert len(world.broker.jobs) == 1
    [record] = world.history("a")
    assert record.outcome == "failed"
    assert record.reason is not None
    assert record.reason.startswith("uncertain")


def test_a_later_firing_waits_for_an_earlier_one_that_a_crash_left_open(world: World) -> None:
    replica = world.start(entry("a", 5))
    world.run(4)
    replica.publisher.holding = True
    world.run(2)
    replica.crash()
    world.broker.jobs.clear()
    world.start(entry("a", 5))
    world.run(30)
    times = seconds(world.broker.fire_times("a"))
    assert times == sorted(set(times))
    assert times[0] == 5
    assert not world.unaccounted(entry("a", 5), START, START + 30 * SECOND)


def test_an_entry_that_catches_up_does_not_fill_the_outbox_behind_what_a_crash_left_open(
    world: World,
) -> None:
    every_second = entry("a", 1, catch_up="all")
    world.start(every_second).tick()
    world.replicas[-1].crash()
    world.clock.advance(5_000)
    dying = world.start(every_second)
    dying.publisher.holding = True
    dying.tick()
    dying.crash()
    left = world.store.unsettled()
    assert left
    world.broker.jobs.clear()
    world.start(every_second)
    most = left
    while world.store.unsettled():
        world.run(0.5)
        most = max(most, world.store.unsettled())
    assert most <= left + 12 * CATCH_UP_BATCH
    world.run(60)
    times = world.broker.fire_times("a")
    assert times == sorted(set(times))
    assert not world.unaccounted(every_second, START, world.now - SECOND)


# --- several replicas


def test_replicas_that_share_a_store_never_publish_twice(world: World) -> None:
    entries = [entry(f"e{number}", 1 + number % 7) for number in range(40)]
    for _ in range(3):
        world.start(*entries)
    world.run(120)
    assert len(world.broker.jobs) == len(set(world.broker.task_ids()))
    for one in entries:
        assert not world.unaccounted(one, START, world.now - SECOND)
    settled = {record.outcome for record in world.history() if record.fire_time < world.now - SECOND}
    assert settled == {"published"}


def test_each_of_two_replicas_does_its_share(world: World) -> None:
    entries = [entry(f"e{number}", 2) for number in range(100)]
    for _ in range(2):
        world.start(*entries)
    world.run(60)
    counts = [
        sum(record.replica == replica.record.id for record in world.history()) for replica in world.replicas
    ]
    assert min(counts) > 0.3 * sum(counts)


def test_what_a_crashed_replica_left_behind_is_fired_by_the_other(world: World) -> None:
    entries = [entry(f"e{number}", 2) for number in range(40)]
    first, _ = world.start(*entries), world.start(*entries)
    world.run(20)
    first.crash()
    world.run(30)
    for one in entries:
        assert not world.unaccounted(one, START, world.now - SECOND)
    late = [
        record.published_at - record.fire_time
        for record in world.history()
        if record.published_at is not None
    ]
    assert max(late) < 1.5 * SECOND


def test_what_a_crashed_replica_was_publishing_is_soon_taken_over_where_that_does_no_harm(
    world: World,
) -> None:
    world.broker.takes_each_once = True
    entries = [entry(f"e{number}", 60) for number in range(40)]
    first, _ = world.start(*entries), world.start(*entries)
    world.run(59.9)
    first.publisher.holding = True
    world.run(0.2)
    first.crash()
    left = world.store.unsettled()
    assert left
    world.run(0.9)
    assert not world.store.unsettled()


def test_a_replica_that_was_paused_does_no_harm_when_it_comes_back(world: World) -> None:
    entries = [entry(f"e{number}", 3) for number in range(20)]
    first, _ = world.start(*entries), world.start(*entries)
    world.run(10)
    first.alive = False
    world.run(60)
    first.alive = True
    world.run(30)
    assert len(world.broker.jobs) == len(set(world.broker.task_ids()))
    for one in entries:
        assert not world.unaccounted(one, START, world.now - SECOND)


def test_a_replica_joins_without_disturbing_the_grid(world: World) -> None:
    entries = [entry(f"e{number}", 4) for number in range(20)]
    world.start(*entries)
    world.run(10)
    world.start(*entries)
    world.run(30)
    for one in entries:
        times = world.broker.fire_times(one.name)
        assert {later - earlier for earlier, later in pairwise(times)} == {4 * SECOND}


# --- entries that fail


def test_an_entry_that_fails_by_itself_is_tried_again_and_then_failed(world: World) -> None:
    replica = world.start(entry("bad", 300))
    replica.publisher.broken = {"bad"}
    world.run(330)
    [record] = world.history("bad")
    assert (record.outcome, record.attempt) == ("failed", MAX_ATTEMPTS)
    assert sum(job.firing.entry == "bad" for job in replica.publisher.jobs) == MAX_ATTEMPTS


class WatchedClaims(FlakyStore):
    """Remembers the endings that came with claims."""

    carried: tuple[Settlement, ...] = ()

    def claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> list[Won]:
        self.carried += tuple(settlements)
        return super().claim(claims, settlements, replica=replica)


def test_a_firing_is_given_up_for_good_before_later_ones_are_claimed() -> None:
    world = World(WatchedClaims)
    replica = world.start(entry("bad", 1), entry("good", 1))
    replica.publisher.broken, replica.publisher.holding = {"bad"}, True
    world.run(1.5)
    world.clock.advance(1)
    replica.publisher.holding = False
    replica.tick()
    assert isinstance(world.store, WatchedClaims)
    assert {ending.outcome for ending in world.store.carried} <= {"published"}
    assert [record.fire_time for record in world.history("bad", "failed")] == [START + SECOND]


def test_an_entry_that_fails_only_for_a_while_is_published_late_under_the_same_id(world: World) -> None:
    replica = world.start(entry("bad", 300))
    replica.publisher.broken = {"bad"}
    world.run(302)
    replica.publisher.broken = set()
    world.run(10)
    [record] = world.history("bad")
    assert record.outcome == "published"
    assert record.attempt > 1
    assert len({job.firing.task_id for job in replica.publisher.jobs}) == 1


def test_a_failing_entry_does_not_hold_up_the_others(world: World) -> None:
    replica = world.start(entry("bad", 5), entry("good", 5))
    replica.publisher.broken = {"bad"}
    world.run(60.5)
    assert seconds(world.broker.fire_times("good")) == [5 * k for k in range(1, 13)]
    assert {outcome for when, outcome in world.told("bad") if when < 60} == {"failed"}
    assert not world.unaccounted(entry("bad", 5), START, world.now - SECOND)


class Explosive(Schedule):
    """A schedule of somebody's own that raises once it has been asked often enough."""

    def __init__(self, fuse: int) -> None:
        self.fuse = fuse

    def next_us(self, after: int, anchor: int = 0) -> int | None:
        self.fuse -= 1
        if self.fuse <= 0:
            raise LookupError("no such day")
        return after + 5 * SECOND

    def describe(self) -> str:
        return "until it explodes"

    def to_data(self) -> dict[str, object]:
        return {"kind": "custom", "text": "explosive"}


@pytest.mark.parametrize("jitter", [None, Jitter(share=100_000)])
@pytest.mark.parametrize("fuse", [0, 1, 2, 3, 4, 5, 6])
def test_a_schedule_that_raises_is_left_alone_and_the_others_run_on(
    world: World, fuse: int, jitter: Jitter | None, caplog: pytest.LogCaptureFixture
) -> None:
    world.start(entry("bad", Explosive(fuse), jitter=jitter), entry("good", 5))
    world.run(30.5)
    assert seconds(world.broker.fire_times("good")) == [5, 10, 15, 20, 25, 30]
    complaints = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert complaints
    assert all("'bad'" in record.getMessage() for record in complaints)
    assert len(complaints) < 10


# --- the broker away


def test_while_the_broker_is_away_nothing_is_claimed_but_what_it_refused(world: World) -> None:
    world.start(entry("a", 10))
    world.run(9)
    world.broker.up = False
    world.run(50)
    assert world.told("a") == [(10, "claimed")]


def test_when_the_broker_is_back_the_outbox_goes_out_first_under_the_same_id(world: World) -> None:
    replica = world.start(entry("a", 10))
    world.run(9)
    world.broker.up = False
    world.run(50)
    refused = replica.publisher.jobs[0].firing.task_id
    world.broker.up = True
    world.run(10.5)
    assert world.told("a") == [(10, "published"), (20, "coalesced"), (50, "published"), (60, "published")]
    assert world.broker.task_ids()[0] == refused
    times = world.broker.fire_times("a")
    assert times == sorted(times)


def test_after_an_outage_every_fire_time_goes_out_in_order_where_the_entry_says_so(world: World) -> None:
    world.start(entry("a", 2, catch_up="all"))
    world.run(9)
    world.broker.up = False
    world.run(120)
    world.broker.up = True
    world.run(10)
    assert seconds(world.broker.fire_times("a")) == [2.0 * k for k in range(1, 70)]


def test_a_broker_that_is_away_makes_no_busy_loop(world: World) -> None:
    world.start(entry("a", 1))
    world.run(5)
    world.broker.up = False
    assert world.run(300) < 300 * 3


def test_firings_under_way_are_bounded_and_the_rest_stays_unclaimed(world: World) -> None:
    count = 2 * MAX_IN_FLIGHT
    replica = world.start(*(entry(f"e{number}", 10) for number in range(count)))
    world.run(9)
    replica.publisher.holding = True
    world.run(3)
    assert replica.publisher.in_flight == MAX_IN_FLIGHT
    assert world.store.unsettled() == MAX_IN_FLIGHT
    replica.publisher.holding = False
    world.run(1)
    assert len(set(world.broker.task_ids())) == count
    assert len(world.broker.jobs) == count


def test_catching_up_on_everything_stays_within_the_bounds(world: World) -> None:
    entries = [entry(f"e{number}", 1, catch_up="all") for number in range(30)]
    world.start(*entries).tick()
    world.replicas[-1].crash()
    world.clock.advance(400)
    replica = world.start(*entries)
    replica.publisher.holding = True
    world.run(2)
    assert replica.publisher.in_flight == MAX_IN_FLIGHT
    replica.publisher.holding = False
    world.run(20)
    for one in entries:
        assert not world.unaccounted(one, START, world.now - SECOND)
    assert len(world.broker.jobs) == len(set(world.broker.task_ids()))


def test_an_entry_that_another_replica_has_locked_makes_no_busy_loop(world: World) -> None:
    world.start(entry("locked", 5), entry("free", 5))
    world.run(4)
    locked_uid = world.record("locked").uid
    claim_one = MemoryStore._claim_one

    def with_a_lock(store: MemoryStore, claim: Claim, replica: str) -> Won:
        return Won.LOST if claim.uid == locked_uid else claim_one(store, claim, replica)

    with patch.object(MemoryStore, "_claim_one", with_a_lock):
        assert world.run(3) < 60
    assert seconds(world.broker.fire_times("free")) == [5]
    world.run(1)
    assert seconds(world.broker.fire_times("locked")) == [5]


# --- the store away


def test_a_store_that_was_away_loses_nothing(world: World) -> None:
    world.start(entry("a", 10))
    world.run(15)
    flaky(world).away = True
    world.run(30)
    assert world.replicas[0].store_was_away
    flaky(world).away = False
    world.run(20.5)
    assert not world.unaccounted(entry("a", 10), START, world.now)
    assert world.told("a") == [
        (10, "published"), (20, "coalesced"), (40, "published"), (50, "published"), (60, "published"),
    ]  # fmt: skip


def test_a_store_that_is_away_at_the_start_is_waited_for(world: World) -> None:
    flaky(world).away = True
    world.start(entry("a", 10))
    world.run(15)
    flaky(world).away = False
    world.run(15)
    assert len(world.broker.jobs) == 1


def test_a_store_that_goes_away_between_publish_and_settle_gets_the_settlement_later(world: World) -> None:
    replica = world.start(entry("a", 10))
    world.run(9)
    replica.publisher.holding = True
    world.run(1.5)
    flaky(world).away = True
    replica.publisher.holding = False
    world.run(2)
    flaky(world).away = False
    world.run(1)
    assert world.told("a") == [(10, "published")]
    assert len(world.broker.jobs) == 1


def test_a_claim_whose_answer_is_lost_is_published_later_under_its_id(world: World) -> None:
    world.start(entry("a", 60))
    world.run(59)
    flaky(world).answers_lost = True
    world.run(2)
    flaky(world).answers_lost = False
    assert world.broker.jobs == []
    assert world.told("a") == [(60, "claimed")]
    world.run(15)
    assert world.told("a") == [(60, "published")]
    assert len(world.broker.jobs) == 1


# --- the clock


@pytest.mark.parametrize("jump", [-DAY, -HOUR, -30 * SECOND])
def test_a_clock_that_jumps_back_fires_nothing_again(world: World, jump: int) -> None:
    world.start(entry("a", 10), entry("c", Crontab(timezone="UTC")))
    world.run(100)
    fired = list(world.broker.task_ids())
    world.clock.jump(world.now + jump)
    world.run(-jump / SECOND - 5 if jump > -DAY else 3600)
    assert world.broker.task_ids() == fired
    if jump > -DAY:
        world.run(30)
        assert len(world.broker.jobs) > len(fired)
    assert len(set(world.broker.task_ids())) == len(world.broker.jobs)


def test_a_clock_that_jumps_ahead_counts_as_a_downtime(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.start(entry("a", 10))
    world.run(35)
    world.clock.jump(world.now + 60 * SECOND)
    world.run(10)
    assert not world.unaccounted(entry("a", 10), START, world.now - SECOND)
    assert (40, "coalesced") in world.told("a")
    assert "clock jumped by +60.0 s" in caplog.text


def test_a_clock_that_jumps_back_and_forth_fires_each_time_once(world: World) -> None:
    world.start(entry("a", 10), entry("b", 7))
    for jump in (50, -45, 200, -100, -90, 3600, -3600, 5):
        world.run(20)
        world.clock.jump(world.now + jump * SECOND)
    world.run(30)
    assert len(set(world.broker.task_ids())) == len(world.broker.jobs)
    for name in ("a", "b"):
        times = [record.fire_time for record in world.history(name)]
        assert len(times) == len(set(times))


events = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.sampled_from([0.5, 3, 11])),
        st.tuples(st.just("crash"), st.integers(0, 3)),
        st.tuples(st.just("pause"), st.integers(0, 3)),
        st.tuples(st.just("hold"), st.integers(0, 3)),
        st.tuples(st.just("broker"), st.booleans()),
        st.tuples(st.just("store"), st.booleans()),
        st.tuples(st.just("answers"), st.booleans()),
        st.tuples(st.just("jump"), st.sampled_from([-20, -1, 1, 20])),
        st.tuples(st.just("start"), st.none()),
        st.tuples(st.just("stop"), st.integers(0, 3)),
    ),
    max_size=25,
)


@settings(max_examples=settings().max_examples // 2)
@given(events)
def test_whatever_happens_every_fire_time_ends_once_and_has_one_id(script: list[tuple[str, object]]) -> None:
    world = World()
    entries = [entry("a", 2), entry("b", 3, catch_up="all"), entry("c", 5, catch_up="skip")]
    world.start(*entries)
    world.run(1)
    with patch("qbeat.beat.scheduler.LOADED_AT_ONCE", 1):
        for verb, value in script:
            _play(world, entries, verb, value)
        _make_whole(world)
        world.start(*entries)
        horizon = _let_everything_settle(world)
    for one in entries:
        assert not world.unaccounted(one, START, horizon)
        ids: dict[int, set[str]] = {}
        for job in world.broker.jobs:
            if job.firing.entry == one.name:
                ids.setdefault(job.firing.fire_time, set()).add(job.firing.task_id)
        assert all(len(found) == 1 for found in ids.values())
        known = {record.task_id for record in world.history(one.name)}
        assert {task_id for found in ids.values() for task_id in found} <= known


def _play(world: World, entries: Sequence[Entry], verb: str, value: object) -> None:
    living = [replica for replica in world.replicas if replica.alive]
    match verb, value:
        case "run", float() | int() as length:
            world.run(length)
        case "broker", bool(up):
            world.broker.up = up
        case "store", bool(away):
            flaky(world).away = away
        case "answers", bool(lost):
            flaky(world).answers_lost = lost
        case "jump", int(by):
            world.clock.jump(world.now + by * SECOND)
        case "start", _ if len(world.replicas) < 6:
            world.start(*entries)
        case _, int(index) if index < len(living):
            replica = living[index]
            if verb == "hold":
                replica.publisher.holding = not replica.publisher.holding
            elif verb == "stop" and not flaky(world).away and not flaky(world).answers_lost:
                replica.stop()
            else:
                replica.crash()  # a paused one comes back in the end


def _let_everything_settle(world: World) -> int:
    """Let time pass until all that happened before an instant has ended; return that instant."""
    horizon = max(record.cursor for record in world.store.entries())
    for _ in range(100):
        world.run(10)
        behind = min(record.cursor for record in world.store.entries())
        if behind > horizon and not [
            one for one in world.history(None, "claimed") if one.fire_time <= horizon
        ]:
            return horizon
    raise AssertionError("firings stay in the outbox for ever")


def _make_whole(world: World) -> None:
    world.broker.up = True
    flaky(world).away = flaky(world).answers_lost = False
    for replica in world.replicas:
        replica.publisher.holding = False
        replica.publisher.verdict = Verdict.PUBLISHED


def test_an_interval_of_milliseconds_keeps_up(world: World) -> None:
    world.start(entry("a", Interval(timedelta(milliseconds=250))))
    world.run(10.1)
    assert seconds(world.broker.fire_times("a")) == [k / 4 for k in range(1, 41)]
