"""The last year that a clock can show, 9999 in UTC: nothing is declared beyond it, nothing fires beyond it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from qbeat.schedules import (
    Bounded,
    Calendar,
    Cron,
    Crontab,
    ExceptDays,
    ExceptWhen,
    Holidays,
    Interval,
    Once,
    RRule,
    Schedule,
    ScheduleError,
    Solar,
)
from qbeat.schedules.base import EARLIEST, LATEST, from_us, to_us
from qbeat.schedules.calendars import RecurringDays

LAST_NOON = "9999-12-31T12:00Z"
CENTURY = timedelta(days=36_525)


@pytest.mark.parametrize(
    ("declare", "field"),
    [
        (lambda: Once("9999-12-31T23:59:59", timezone="America/New_York"), "at"),
        (lambda: Once("9999-12-31T23:59:59").resolve(name="x", timezone="America/New_York"), "at"),
        (lambda: Once("9999-12-31T23:59:59-05:00"), "at"),
        (lambda: Once(datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))), "at"),
        (lambda: Once("0001-01-01T00:00:00+05:00"), "at"),
        (lambda: Once("0001-01-01T00:00:00", timezone="Asia/Tokyo"), "at"),
        (lambda: Bounded(Crontab(timezone="America/New_York"), start="9999-12-31T23:59:59"), "start"),
        (lambda: Bounded(Crontab(timezone="America/New_York"), end="9999-12-31T23:59:59"), "end"),
        (
            lambda: ExceptWhen(Interval(60), Once("9999-12-31T23:59:59", timezone="America/New_York")),
            "at",
        ),
    ],
)
def test_what_lies_beyond_it_is_refused_with_the_cure(declare: Callable[[], Schedule], field: str) -> None:
    with pytest.raises(ScheduleError, match="year") as refused:
        declare()
    assert refused.value.field == field
    assert "UTC" in str(refused.value)
    assert refused.value.cure


def test_its_last_second_is_a_time_like_any_other() -> None:
    once = Once("9999-12-31T23:59:59.999999Z")
    assert once.next_us(0) == LATEST
    assert once.next_after(from_us(0)) == datetime.max.replace(tzinfo=UTC)
    assert Once.from_data(once.to_data()) == once


@pytest.mark.parametrize(
    "schedule",
    [
        Once(LAST_NOON),
        Interval(CENTURY),
        Interval("1h"),
        Interval(CENTURY, relative=True, timezone="Asia/Tokyo"),
        Interval("1h", relative=True, timezone="America/New_York"),
        Bounded(Interval(CENTURY), start="9950-01-01"),
        Bounded(Interval("1h"), start="9999-12-31T12:30", timezone="Asia/Tokyo"),
        Cron("0 0 31 12 *", timezone="America/New_York"),
        Crontab(minute=59, hour=23, timezone="America/New_York"),
        RRule("DTSTART:20261231T235959\nRDATE:99991231T235959", timezone="America/New_York"),
        RRule("DTSTART:20260101T235959\nRRULE:FREQ=YEARLY", timezone="America/New_York"),
        Solar("sunset", 10, 179),
        Solar("dawn_astronomical", 10, -179),
        ExceptDays(Once(LAST_NOON), Calendar("x", dates=["9999-12-31"]), move="next"),
        ExceptDays(Once(LAST_NOON), Calendar("x", dates=["9999-12-31"], holidays=[Holidays("DE")]), "next"),
        ExceptDays(
            Interval("1h"),
            Calendar(
                "x", ["sun"], recurring=[RecurringDays("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=YEARLY")]
            ),
            "previous",
            "America/New_York",
        ),
        ExceptDays(Interval("1h"), Calendar("x", ["fri"]), "skip", "America/New_York"),
        ExceptWhen(Interval("1h"), Crontab(hour=12, timezone="UTC")),
    ],
    ids=Schedule.describe,
)
@pytest.mark.parametrize(
    "since", ["9996-01-01", "9999-12-29", "9999-12-31T12:00", "9999-12-31T23:59:59.999999"]
)
def test_every_kind_ends_before_it(schedule: Schedule, since: str) -> None:
    at: int | None = to_us(datetime.fromisoformat(since).replace(tzinfo=UTC))
    for _ in range(200):
        before = at
        assert before is not None
        at = schedule.next_us(before)
        if at is None:
            break
        assert before < at <= LATEST
        assert to_us(from_us(at)) == at


def test_an_instant_that_no_datetime_can_show_is_shown_as_the_nearest_that_can() -> None:
    assert from_us(LATEST + 1) == from_us(2**70) == datetime.max.replace(tzinfo=UTC)
    assert from_us(EARLIEST - 1) == from_us(-(2**70)) == datetime.min.replace(tzinfo=UTC)
