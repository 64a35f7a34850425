"""Bounds: start, end and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbeat.schedules import Bounded, Calendar, Crontab, ExceptDays, Interval, Once, Schedule, ScheduleError
from qbeat.schedules.base import from_us, to_us
from qbeat.schedules.bounds import firings_left, max_runs_of
from qbeat.schedules.zones import DAY, naive_of, zone
from tests.schedules.drawing import zones_and_instants
from tests.schedules.laws import assert_comes_back, assert_orderly, assert_splits, fire_times

NINE = Crontab(0, 9, timezone="Europe/Berlin")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def shown(schedule: Schedule, begin: datetime, count: int, anchor: datetime | None = None) -> list[str]:
    found, at = [], to_us(begin)
    for _ in range(count):
        following = schedule.next_us(at, 0 if anchor is None else to_us(anchor))
        if following is None:
            break
        at = following
        found.append(f"{from_us(at):%Y-%m-%d %H:%M}")
    return found


def test_nothing_fires_before_the_start_or_after_the_end() -> None:
    schedule = Bounded(NINE, "2026-03-01T09:00", "2026-03-03T09:00")
    assert shown(schedule, NEW_YEAR, 9) == ["2026-03-01 08:00", "2026-03-02 08:00", "2026-03-03 08:00"]


def test_the_bounds_are_included_and_a_microsecond_matters() -> None:
    schedule = Bounded(NINE, "2026-03-01T09:00:00.000001", "2026-03-03T08:59:59.999999")
    assert shown(schedule, NEW_YEAR, 9) == ["2026-03-02 08:00"]


def test_a_bound_may_stand_alone() -> None:
    assert shown(Bounded(NINE, start="2026-03-01T00:00Z"), NEW_YEAR, 1) == ["2026-03-01 08:00"]
    assert shown(Bounded(NINE, end="2026-01-02T12:00Z"), NEW_YEAR, 9) == [
        "2026-01-01 08:00",
        "2026-01-02 08:00",
    ]


def test_local_bounds_are_in_the_zone_of_the_schedule_then_of_the_app() -> None:
    own = Bounded(NINE, "2026-03-01T00:00").resolve(name="cat", timezone="Asia/Tokyo")
    assert own.timezone == "Europe/Berlin"
    app = Bounded(Crontab(0, 9), "2026-03-01T09:00").resolve(name="cat", timezone="Asia/Tokyo")
    assert shown(app, NEW_YEAR, 1) == ["2026-03-01 00:00"]
    given_zone = Bounded(NINE, "2026-03-01T00:00", timezone="Asia/Tokyo")
    assert shown(given_zone, NEW_YEAR, 1) == ["2026-03-01 08:00"]
    assert given_zone.resolve(name="cat", timezone="UTC").timezone == "Asia/Tokyo"


def test_a_local_start_inside_a_gap_is_when_the_clock_comes_out_of_it() -> None:
    schedule = Bounded(Crontab("*/15", timezone="Europe/Berlin"), "2026-03-29T02:20")
    assert shown(schedule, NEW_YEAR, 1) == ["2026-03-29 01:00"]


def test_an_interval_fires_at_its_start_and_counts_from_there() -> None:
    schedule = Bounded(Interval(5400), NEW_YEAR)
    registered = NEW_YEAR - timedelta(days=3, minutes=7)
    assert shown(schedule, registered, 3, registered) == [
        "2026-01-01 00:00",
        "2026-01-01 01:30",
        "2026-01-01 03:00",
    ]


def test_an_interval_keeps_its_anchor_if_that_is_later_than_the_start() -> None:
    registered = NEW_YEAR + timedelta(minutes=10)
    assert shown(Bounded(Interval(3600), NEW_YEAR), registered, 1, registered) == ["2026-01-01 01:10"]


def test_an_interval_inside_other_wrappings_counts_from_the_start_too() -> None:
    wrapped = ExceptDays(Interval(3600), Calendar("weekend", ["sat", "sun"]), timezone="UTC")
    start = NEW_YEAR + timedelta(minutes=20)
    assert shown(Bounded(wrapped, start), NEW_YEAR, 2, NEW_YEAR) == ["2026-01-01 00:20", "2026-01-01 01:20"]


@pytest.mark.parametrize(("count", "left"), [(0, 3), (2, 1), (3, 0), (7, 0)])
def test_runs_left_never_goes_below_nothing(count: int, left: int) -> None:
    assert firings_left(3, count) == left
    assert firings_left(None, count) is None


def test_the_smallest_number_of_runs_counts_whatever_wraps_it() -> None:
    inner = Bounded(NINE, max_runs=5)
    wrapped = Bounded(ExceptDays(inner, Calendar("none")), max_runs=9)
    assert max_runs_of(wrapped) == 5
    assert max_runs_of(Bounded(NINE, start=NEW_YEAR)) is None
    assert max_runs_of(NINE) is None


@given(
    zones_and_instants(),
    st.integers(0, 3 * DAY),
    st.integers(0, 3 * DAY),
    st.sampled_from([Interval(777), Crontab("*/20", "1-3")]),
)
def test_laws_hold_around_every_clock_change(
    where: tuple[str, int], first: int, second: int, inner: Schedule
) -> None:
    name, near = where
    local = naive_of(zone(name).local(near))
    schedule = Bounded(inner, local, local + timedelta(days=2), timezone=name)
    assert_orderly(schedule, near - DAY + first, near - DAY + second)
    assert_splits(schedule, near - DAY, near - DAY + first, near + 3 * DAY)


@given(zones_and_instants(), st.integers(0, 2 * DAY))
def test_within_the_bounds_it_fires_when_the_inner_one_does(where: tuple[str, int], length: int) -> None:
    name, near = where
    inner = Crontab("*/20", "0-4", timezone=name)
    schedule = Bounded(inner, from_us(near), from_us(near + length))
    assert fire_times(schedule, near - DAY, near + 3 * DAY) == fire_times(inner, near - 1, near + length)


@pytest.mark.parametrize(
    "schedule",
    [
        Bounded(NINE),
        Bounded(NINE, NEW_YEAR, "2026-02-01T00:00", 3),
        Bounded(Crontab(0, 9), "2026-01-01T00:00", max_runs=1, timezone="Asia/Tokyo"),
        Bounded(Bounded(Once("2026-07-01T00:00"), NEW_YEAR), end="2027-01-01T00:00"),
    ],
)
def test_plain_data_come_back(schedule: Schedule) -> None:
    assert_comes_back(schedule)


def test_it_is_described_in_english() -> None:
    schedule = Bounded(Interval(60), NEW_YEAR, "2026-02-01T00:00", 3)
    assert (
        schedule.describe()
        == "every minute, from 2026-01-01 00:00 UTC, until 2026-02-01 00:00, at most 3 times"
    )
    assert Bounded(Interval(60), max_runs=1).describe() == "every minute, once at most"


@pytest.mark.parametrize(
    ("bounds", "field"),
    [
        ({"start": "2026-02-01T00:00Z", "end": "2026-01-01T00:00Z"}, "end"),
        ({"start": "soon"}, "start"),
        ({"end": 5}, "end"),
        ({"max_runs": 0}, "max_runs"),
        ({"max_runs": True}, "max_runs"),
        ({"max_runs": 1.5}, "max_runs"),
        ({"start": "2026-01-01T00:00", "timezone": "Nowhere"}, "timezone"),
    ],
)
def test_impossible_bounds_are_refused(bounds: dict[str, str], field: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        Bounded(NINE, **bounds)  # type: ignore[arg-type]
    assert refusal.value.field == field
    assert refusal.value.cure


def test_bounds_that_leave_nothing_are_refused_when_the_entry_is_declared() -> None:
    schedule = Bounded(NINE, "2026-01-01T10:00", "2026-01-01T11:00")
    with pytest.raises(ScheduleError, match="never fire"):
        schedule.resolve(name="cat", timezone="UTC")
    with pytest.raises(ScheduleError, match="never fire"):
        Bounded(Once("2026-07-01T00:00"), end="2026-06-30T00:00Z").resolve(name="cat", timezone="UTC")
