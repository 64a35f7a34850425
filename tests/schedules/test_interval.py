"""Intervals: the grid, its anchor, Celery's rounding, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbeat.schedules import Interval, ScheduleError
from qbeat.schedules.base import Schedule, to_us
from qbeat.schedules.zones import DAY
from tests.schedules.drawing import zones_and_instants

START = datetime(2026, 3, 1, 10, 20, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (90, 90),
        (1.5, 1.5),
        (0.001, 0.001),
        ("1h30m", 5400),
        ("250ms", 0.25),
        (timedelta(days=2), 172_800),
        (3600.0, 3600),
    ],
)
def test_a_length_is_a_duration_in_any_of_its_forms(every: timedelta | float | str, expected: float) -> None:
    interval = Interval(every)
    assert interval.to_data()["every"] == expected
    assert interval.every == timedelta(seconds=expected)
    assert Interval.from_data(interval.to_data()) == interval


@pytest.mark.parametrize(
    "every", [0, -1, 0.0001, True, None, float("nan"), float("inf"), 10**12, "soon", timedelta(0)]
)
def test_a_length_that_cannot_be_is_refused(every: object) -> None:
    with pytest.raises(ScheduleError) as refused:
        Interval(every)  # type: ignore[arg-type]
    assert refused.value.field == "every"
    assert refused.value.cure


@pytest.mark.parametrize(
    ("every", "cure"),
    [
        (0, "give at least a millisecond"),
        (0.0001, "give at least a millisecond"),
        (-1, "give a positive duration"),
        (timedelta(days=36_526), "give a century at most"),
    ],
)
def test_the_cure_for_a_length_out_of_bounds_would_be_taken(every: timedelta | float, cure: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        Interval(every)
    assert refused.value.cure == cure


def test_the_first_fire_time_is_one_length_after_the_anchor() -> None:
    minute = Interval(60)
    assert minute.next_after(START, anchor=START) == START + timedelta(minutes=1)
    assert minute.next_after(START - timedelta(days=9), anchor=START) == START + timedelta(minutes=1)


def test_a_late_question_finds_the_same_grid() -> None:
    asked = START + timedelta(days=400, seconds=7.25)
    assert Interval(60).next_after(asked, anchor=START) == START + timedelta(days=400, seconds=60)


def test_without_an_anchor_the_grid_starts_with_1970() -> None:
    assert Interval("5m").next_after(START) == datetime(2026, 3, 1, 10, 25, tzinfo=UTC)


def test_a_span_is_counted_by_arithmetic() -> None:
    anchor, day = to_us(START), Interval(0.001)
    span = day.span(anchor, anchor + 365 * DAY, anchor)
    assert span is not None
    assert span.count == 365 * 86_400_000
    assert span.last == anchor + 365 * DAY
    assert day.span(anchor, anchor + 999, anchor) is None


RELATIVE = [
    # every, zone, anchor and question, fire times
    ("1h", "UTC", "2026-03-01T10:20", "11:00 12:00 13:00"),
    ("90m", "UTC", "2026-03-01T10:20", "11:00 12:00 13:00"),
    ("150m", "UTC", "2026-03-01T10:20", "12:00 14:00 16:00"),
    ("5m", "UTC", "2026-03-01T10:20:30", "10:25 10:30 10:35"),
    ("1d", "UTC", "2026-03-01T10:20", "00:00 00:00 00:00"),
    ("1d", "Europe/Berlin", "2026-03-28T10:20", "23:00 22:00 22:00"),
    ("1h", "Europe/Berlin", "2026-10-24T23:30", "00:00 01:00 02:00"),
    ("1d", "America/Sao_Paulo", "2018-11-02T10:20", "03:00 03:00 02:00"),
]


@pytest.mark.parametrize(("every", "name", "since", "expected"), RELATIVE)
def test_a_relative_interval_falls_on_the_unit_of_the_local_clock(
    every: str, name: str, since: str, expected: str
) -> None:
    anchor = at = datetime.fromisoformat(since).replace(tzinfo=UTC)
    schedule = Interval(every, relative=True, timezone=name)
    shown = []
    for _ in range(3):
        found = schedule.next_after(at, anchor=anchor)
        assert found is not None
        at = found
        shown.append(f"{at:%H:%M}")
    assert " ".join(shown) == expected


@given(
    st.sampled_from(["1s", "90s", "7m", "1h", "100m", "5h", "1d", "36h", "10d"]),
    zones_and_instants(),
    st.integers(0, 400 * DAY),
    st.floats(0, 1, exclude_max=True),
)
def test_a_relative_interval_is_a_grid_too(
    every: str, where: tuple[str, int], later: int, part: float
) -> None:
    name, anchor = where
    schedule = Interval(every, relative=True, timezone=name)
    first = schedule.next_us(anchor + later, anchor)
    assert first is not None
    assert first > anchor + later
    between = anchor + later + int((first - anchor - later) * part)
    assert schedule.next_us(between, anchor) == first
    assert schedule.next_us(first - 1, anchor) == first


def test_a_relative_interval_waits_for_its_zone() -> None:
    open_ = Interval("1d", relative=True)
    settled = open_.resolve(name="x", timezone="Asia/Tokyo")
    assert settled.to_data() == {
        "kind": "interval",
        "every": 86_400,
        "relative": True,
        "timezone": "Asia/Tokyo",
    }
    assert settled.resolve(name="x", timezone="UTC") is settled
    assert Interval("1d").resolve(name="x", timezone="UTC").to_data() == {"kind": "interval", "every": 86_400}


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(60), "every minute"),
        (Interval(1), "every second"),
        (Interval(90), "every 90 seconds"),
        (Interval(0.25), "every 250 milliseconds"),
        (Interval("36h"), "every 1 day 12 hours"),
        (Interval("14d"), "every 14 days"),
        (Interval("2h", relative=True), "every 2 hours, on the hour"),
        (Interval("1d", relative=True, timezone="Asia/Tokyo"), "every day, at midnight (Asia/Tokyo)"),
    ],
)
def test_an_interval_says_its_length_in_english(interval: Schedule, text: str) -> None:
    assert interval.describe() == text


def test_a_thousand_steps_are_evenly_spaced() -> None:
    at = anchor = to_us(START)
    points = [at]
    for _ in range(1000):
        found = Interval("7m").next_us(at, anchor)
        assert found is not None
        points.append(at := found)
    assert {other - one for one, other in pairwise(points)} == {420_000_000}
