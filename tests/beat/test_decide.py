"""The decision: every fire time between cursor and now is accounted for, once, by the entry's policies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbeat.beat.decide import CATCH_UP_BATCH, Decision, account_for, decide
from qbeat.beat.policies import CATCH_UP_GRACE, CatchUp, Policies
from qbeat.schedules import Crontab, Interval, Schedule
from qbeat.schedules.base import SECOND
from qbeat.schedules.zones import DAY, HOUR, MINUTE
from qbeat.store.records import Skip

GRACE = CATCH_UP_GRACE // timedelta(microseconds=1)

schedules = st.sampled_from(
    [
        Interval(1),
        Interval(7.5),
        Interval(90),
        Interval(3600, relative=True, timezone="Asia/Kathmandu"),
        Crontab(timezone="UTC"),
        Crontab(minute="*/20", hour="1,2", timezone="Europe/Berlin"),
        Crontab(minute=30, hour=2, day_of_month="28-31", timezone="America/New_York"),
    ]
)
policies = st.builds(
    Policies,
    catch_up=st.sampled_from(get_args(CatchUp)),
    catch_up_window=st.one_of(st.none(), st.timedeltas(timedelta(microseconds=1), timedelta(days=2))),
)
# Around Berlin's change to winter time, and anywhere.
instants = st.integers(1_792_890_000 * SECOND, 1_792_980_000 * SECOND) | st.integers(0, 2**31 * SECOND)


def walk(schedule: Schedule, anchor: int, after: int, until: int) -> list[int]:
    """All fire times in (after, until], one by one."""
    found = []
    instant = schedule.next_us(after, anchor)
    while instant is not None and instant <= until:
        found.append(instant)
        instant = schedule.next_us(instant, anchor)
    return found


def expected(wanted: Policies, times: list[int], now: int) -> tuple[list[int], list[int], list[int]]:
    """By the words of the policies: what is fired, coalesced and missed."""
    window = wanted.catch_up_window // timedelta(microseconds=1) if wanted.catch_up_window else None
    if wanted.catch_up == "skip":
        window = GRACE if window is None else min(window, GRACE)
    missed = [time for time in times if window is not None and now - time > window]
    rest = times[len(missed) :]
    if wanted.catch_up == "all":
        return rest, [], missed
    return rest[-1:], rest[:-1], missed


def in_runs(times: list[int], reason: str) -> list[tuple[int, int, int, str]]:
    return [(times[0], times[-1], len(times), reason)] if times else []


def decide_to_the_end(schedule: Schedule, wanted: Policies, anchor: int, cursor: int, now: int) -> Decision:
    """Decide until nothing is due any more, as the scheduler does; all decisions in one."""
    fire_times: tuple[int, ...] = ()
    skips: tuple[Skip, ...] = ()
    while True:
        step = decide(schedule, wanted, anchor=anchor, cursor=cursor, now=now)
        assert len(step.fire_times) <= CATCH_UP_BATCH
        fire_times += step.fire_times
        skips += step.skips
        if not step.fire_times and not step.skips:
            return Decision(fire_times, skips, step.cursor, step.next_fire_time)
        cursor = step.cursor


@given(schedules, policies, instants, st.integers(0, 8 * HOUR), st.integers(0, 3 * DAY))
def test_every_fire_time_is_accounted_for_exactly_once_as_the_policies_say(
    schedule: Schedule, wanted: Policies, anchor: int, done: int, behind: int
) -> None:
    cursor = anchor + done
    now = cursor + min(behind, 3000 * SECOND if schedule.next_us(0, 0) == SECOND else behind)
    times = walk(schedule, anchor, cursor, now)
    fired, coalesced, missed = expected(wanted, times, now)
    decision = decide_to_the_end(schedule, wanted, anchor, cursor, now)
    assert list(decision.fire_times) == fired
    assert sorted((skip.first, skip.last, skip.count, skip.reason) for skip in decision.skips) == sorted(
        in_runs(coalesced, "coalesced") + in_runs(missed, "missed")
    )
    assert decision.cursor == (times[-1] if times else cursor)
    assert decision.next_fire_time == schedule.next_us(max(now, cursor), anchor)


@given(schedules, policies, instants, st.integers(-3 * DAY, 0))
def test_nothing_is_due_when_the_clock_stands_before_the_cursor(
    schedule: Schedule, wanted: Policies, cursor: int, ahead: int
) -> None:
    decision = decide(schedule, wanted, anchor=0, cursor=cursor, now=cursor + ahead)
    assert (decision.fire_times, decision.skips, decision.cursor) == ((), (), cursor)
    assert decision.next_fire_time == schedule.next_us(cursor, 0)


def jittered(schedule: Schedule, anchor: int, share: int) -> Callable[[int], int]:
    """Each fire time is due a share (in percent) of the gap to the next one later."""

    def due_at(fire_time: int) -> int:
        following = schedule.next_us(fire_time, anchor)
        assert following is not None
        return fire_time + (following - fire_time) * share // 100

    return due_at


@given(schedules, policies, instants, st.integers(0, 8 * HOUR), st.integers(0, DAY), st.integers(0, 99))
def test_with_jitter_a_fire_time_is_due_and_late_only_from_its_later_instant_on(  # noqa: PLR0917
    schedule: Schedule, wanted: Policies, anchor: int, done: int, behind: int, share: int
) -> None:
    due_at = jittered(schedule, anchor, share)
    cursor = anchor + done
    now = cursor + min(behind, 3000 * SECOND if schedule.next_us(0, 0) == SECOND else behind)
    times = [time for time in walk(schedule, anchor, cursor, now) if due_at(time) <= now]
    window = wanted.catch_up_window // timedelta(microseconds=1) if wanted.catch_up_window else None
    if wanted.catch_up == "skip":
        window = GRACE if window is None else min(window, GRACE)
    missed = [time for time in times if window is not None and now - due_at(time) > window]
    decision = decide(schedule, wanted, anchor=anchor, cursor=cursor, now=now, due_at=due_at)
    assert sum(skip.count or 0 for skip in decision.skips if skip.reason == "missed") == len(missed)
    assert decision.fire_times == tuple(
        times[len(missed) :][:CATCH_UP_BATCH] if wanted.catch_up == "all" else times[len(missed) :][-1:]
    )
    assert decision.cursor == (([*missed, *decision.fire_times] or [cursor])[-1])
    assert decision.next_fire_time == schedule.next_us(decision.cursor, anchor)


@given(schedules, instants, st.integers(0, 8 * HOUR), st.integers(0, 2 * DAY))
def test_a_known_next_fire_time_changes_nothing_but_the_work(
    schedule: Schedule, anchor: int, done: int, behind: int
) -> None:
    cursor = anchor + done
    upcoming = schedule.next_us(cursor, anchor)
    for wanted in (Policies(), Policies("skip"), Policies("latest", timedelta(seconds=1))):
        known = decide(schedule, wanted, anchor=anchor, cursor=cursor, now=cursor + behind, upcoming=upcoming)
        assert known == decide(schedule, wanted, anchor=anchor, cursor=cursor, now=cursor + behind)


@pytest.mark.parametrize(
    ("firings_left", "fired"), [(1, (60,)), (2, (60, 120)), (3, (60, 120, 180)), (9, (60, 120, 180))]
)
def test_an_entry_with_a_last_run_is_finished_after_it(firings_left: int, fired: tuple[int, ...]) -> None:
    decision = decide(
        Interval(60), Policies("all"), anchor=0, cursor=0, now=at(180), firings_left=firings_left
    )
    assert decision.fire_times == tuple(map(at, fired))
    assert (decision.next_fire_time is None) == (firings_left <= 3)


def test_an_entry_without_any_run_left_is_finished_at_once() -> None:
    decision = decide(Interval(60), Policies(), anchor=0, cursor=0, now=at(180), firings_left=0)
    assert decision.fire_times == ()
    assert decision.next_fire_time is None


def at(seconds: float) -> int:
    return round(seconds * SECOND)


def test_a_fire_time_that_has_just_come_is_fired() -> None:
    decision = decide(Interval(60), Policies(), anchor=0, cursor=0, now=at(60))
    assert decision == Decision((at(60),), (), at(60), at(120))


def test_latest_fires_the_newest_and_coalesces_the_others() -> None:
    decision = decide(Interval(60), Policies(), anchor=0, cursor=0, now=at(300.5))
    assert decision == Decision((at(300),), (Skip(at(60), at(240), 4, "coalesced"),), at(300), at(360))


def test_all_fires_each_in_order() -> None:
    decision = decide(Interval(60), Policies("all"), anchor=0, cursor=0, now=at(300.5))
    assert decision == Decision(tuple(at(60 * k) for k in range(1, 6)), (), at(300), at(360))


def test_all_leaves_what_is_too_much_for_one_step_due_at_once() -> None:
    decision = decide(Interval(60), Policies("all"), anchor=0, cursor=0, now=at(60 * 250))
    assert len(decision.fire_times) == CATCH_UP_BATCH
    assert decision.cursor == at(60 * CATCH_UP_BATCH)
    assert decision.next_fire_time == at(60 * (CATCH_UP_BATCH + 1))


def test_skip_fires_what_is_on_time_and_misses_what_is_late() -> None:
    decision = decide(Interval(60), Policies("skip"), anchor=0, cursor=0, now=at(301))
    assert decision == Decision((at(300),), (Skip(at(60), at(240), 4, "missed"),), at(300), at(360))


def test_skip_fires_nothing_when_the_newest_is_late_too() -> None:
    decision = decide(Interval(60), Policies("skip"), anchor=0, cursor=0, now=at(320))
    assert decision == Decision((), (Skip(at(60), at(300), 5, "missed"),), at(300), at(360))


@pytest.mark.parametrize("catch_up", get_args(CatchUp))
def test_what_lies_outside_the_window_is_missed_whatever_the_policy(catch_up: CatchUp) -> None:
    wanted = Policies(catch_up, timedelta(seconds=2))
    decision = decide(Interval(60), wanted, anchor=0, cursor=0, now=at(123))
    assert decision == Decision((), (Skip(at(60), at(120), 2, "missed"),), at(120), at(180))


def test_the_edge_of_the_window_is_inside_it() -> None:
    wanted = Policies("latest", timedelta(seconds=3))
    assert decide(Interval(60), wanted, anchor=0, cursor=0, now=at(63)).fire_times == (at(60),)
    assert decide(Interval(60), wanted, anchor=0, cursor=0, now=at(63) + 1).fire_times == ()


def test_all_within_a_window_fires_what_lies_in_it() -> None:
    wanted = Policies("all", timedelta(minutes=2))
    decision = decide(Interval(60), wanted, anchor=0, cursor=0, now=at(300))
    assert decision.fire_times == (at(180), at(240), at(300))
    assert decision.skips == (Skip(at(60), at(120), 2, "missed"),)


def test_years_of_absence_cost_no_walk_through_them() -> None:
    decision = decide(Interval(0.001), Policies(), anchor=0, cursor=0, now=20 * 365 * DAY)
    [skip] = decision.skips
    assert skip.count == 20 * 365 * DAY // 1000 - 1


class EveryMinute(Schedule):
    """A schedule that can only be asked for its next fire time."""

    def next_us(self, after: int, anchor: int = 0) -> int | None:
        return (after // MINUTE + 1) * MINUTE

    def describe(self) -> str:
        return "every minute"

    def to_data(self) -> dict[str, object]:
        return {"kind": "test"}


def test_a_very_long_absence_of_a_schedule_that_cannot_count_is_one_skip_without_a_count() -> None:
    decision = decide(EveryMinute(), Policies(), anchor=0, cursor=0, now=10 * 365 * DAY)
    assert decision.fire_times == (10 * 365 * DAY,)
    [skip] = decision.skips
    assert (skip.first, skip.last, skip.count) == (MINUTE, 10 * 365 * DAY - MINUTE, None)


def test_accounting_names_all_fire_times_up_to_an_instant() -> None:
    skips = account_for(Interval(60), anchor=0, cursor=at(60), until=at(300), reason="superseded")
    assert skips == (Skip(at(120), at(300), 4, "superseded"),)
    assert account_for(Interval(60), anchor=0, cursor=at(60), until=at(61), reason="superseded") == ()
