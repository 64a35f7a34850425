"""What fires in a stretch: first, last and how many, however long it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbeat.schedules import Cron, Crontab, Interval, Schedule
from qbeat.schedules.base import Span, to_us
from qbeat.schedules.search import Fields
from qbeat.schedules.zones import DAY, HOUR
from tests.schedules.drawing import (
    LIVELY_ZONES,
    busy_fields,
    changes_of,
    drawn_cron,
    plain_fields,
    zones_and_instants,
)
from tests.schedules.oracle import MINUTE_US, fire_times

stretches = st.one_of(st.integers(0, 3 * HOUR), st.integers(0, 4 * DAY))
EXCEPTIONS = [("once", "fire"), ("every", "fire"), ("once", "skip"), ("every", "skip")]


def walked(schedule: Schedule, after: int, until: int) -> Span | None:
    found = []
    at = schedule.next_us(after)
    while at is not None and at <= until:
        found.append(at)
        at = schedule.next_us(at)
    return Span(found[0], found[-1], len(found)) if found else None


@given(
    st.one_of(busy_fields(), plain_fields()),
    zones_and_instants(),
    stretches,
    st.sampled_from(EXCEPTIONS),
)
def test_a_span_is_what_a_walk_finds(
    fields: Fields, where: tuple[str, int], length: int, exceptions: tuple[str, str]
) -> None:
    name, after = where
    schedule = drawn_cron(fields, name, *exceptions)
    assert schedule.span(after, after + length) == walked(schedule, after, after + length)


@pytest.mark.parametrize("exceptions", EXCEPTIONS)
@pytest.mark.parametrize("name", LIVELY_ZONES)
def test_a_span_over_a_clock_change_counts_as_the_brute_force_walk(
    name: str, exceptions: tuple[str, str]
) -> None:
    for change in changes_of(name)[-4:]:
        for text in ("*/20 0-6,21-23 * * *", "15,45 1,2 * * *", "*/10 * * * *", "0 0 * * *"):
            schedule = Cron(text, name, fold=exceptions[0], gap=exceptions[1])
            begin, end = change - 400, change + 400
            expected = fire_times(schedule.fields, name, begin, end, *exceptions)
            span = schedule.span(begin * MINUTE_US - 1, end * MINUTE_US - 1)
            assert (span.count if span else 0) == len(expected)


@pytest.mark.parametrize(
    "schedule",
    [
        Cron("*/7 9-17 L * *", "Europe/Berlin"),
        Cron("5,35 */10 * * * 2-5 2024-2026", "UTC", "first"),
        Crontab("*/9", 3),
    ],
    ids=str,
)
def test_a_span_of_two_years_is_what_a_walk_finds(schedule: Schedule) -> None:
    after, until = to_us(datetime(2024, 11, 5, 12, tzinfo=UTC)), to_us(datetime(2026, 11, 5, 13, tzinfo=UTC))
    assert schedule.span(after, until) == walked(schedule, after, until)


def test_years_of_minutes_are_counted_without_walking_them() -> None:
    after, until = to_us(datetime(2000, 1, 1, tzinfo=UTC)), to_us(datetime(2050, 1, 1, tzinfo=UTC))
    span = Cron("* * * * *", "America/New_York").span(after, until)
    assert span == Span(after + MINUTE_US, until, (until - after) // MINUTE_US)


class Walking(Schedule):
    """A schedule that knows nothing but its next fire time, and counts how often it is asked."""

    def __init__(self, inner: Schedule) -> None:
        self.inner = inner
        self.asked = 0

    def next_us(self, after: int, anchor: int = 0) -> int | None:
        self.asked += 1
        return self.inner.next_us(after, anchor)

    def describe(self) -> str:
        return self.inner.describe()

    def to_data(self) -> dict[str, object]:
        return self.inner.to_data()


@given(st.one_of(busy_fields(), plain_fields()), zones_and_instants(), stretches)
def test_a_schedule_that_only_knows_its_next_fire_time_has_the_same_spans(
    fields: Fields, where: tuple[str, int], length: int
) -> None:
    name, after = where
    inner = drawn_cron(fields, name)
    assert Walking(inner).span(after, after + length) == inner.span(after, after + length)


@pytest.mark.parametrize(
    "inner", [Interval(1), Cron("* 0-6 * * *", "UTC"), Cron("0 0 29 2 *", "UTC")], ids=repr
)
def test_after_a_long_absence_the_last_fire_time_takes_few_questions(inner: Schedule) -> None:
    walking = Walking(inner)
    after, until = to_us(datetime(2020, 1, 1, tzinfo=UTC)), to_us(datetime(2026, 6, 1, 17, tzinfo=UTC))
    span = walking.span(after, until)
    exact = inner.span(after, until)
    assert span is not None
    assert exact is not None
    assert (span.first, span.last) == (exact.first, exact.last)
    assert span.count in {None, exact.count}
    assert walking.asked < 10_000 + 150
