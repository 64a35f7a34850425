"""The scheduler on a clock of its own: what fires when, and what becomes of it whatever happens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbeat.beat.entries import Entry
from qbeat.beat.firing_ids import task_id_of
from qbeat.beat.publishing.base import Verdict
from qbeat.beat.scheduler import BATCH
from qbeat.beat.timings import Timings
from qbeat.schedules import Bounded, Crontab, Interval
from qbeat.schedules.base import SECOND, to_us
from qbeat.schedules.jitter import Jitter, jitter_us
from tests.beat.world import START, World, entry, flaky, seconds

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
    assert world.broker.submissions
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
    assert len(set(world.broker.task_ids())) == len(world.broker.submissions) == 3 * BATCH + 7
    assert not world.store.unsettled()


def test_a_schedule_that_ends_is_left_alone(world: World) -> None:
    from qbeat.schedules import Once

    world.start(entry("a", Once(datetime(2026, 3, 27, 12, 0, 30, tzinfo=UTC))), entry("b", 10))
    world.run(60)
    assert len(world.broker.fire_times("a")) == 1
    assert len(world.broker.fire_times("b")) == 6
    assert world.record("a").next_fire_time is None


def test_an_interval_of_milliseconds_keeps_up(world: World) -> None:
    world.start(entry("a", Interval(timedelta(milliseconds=250))))
    world.run(10.1)
    assert seconds(world.broker.fire_times("a")) == [k / 4 for k in range(1, 41)]


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


def test_bounds_that_a_schedule_brings_along_hold_as_those_of_the_entry(world: World) -> None:
    world.start(entry("a", Bounded(Interval(10), max_runs=2)))
    world.run(60)
    assert seconds(world.broker.fire_times("a")) == [10, 20]


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


# --- whatever happens


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
        for submission in world.broker.submissions:
            if submission.firing.entry == one.name:
                ids.setdefault(submission.firing.fire_time, set()).add(submission.firing.task_id)
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
