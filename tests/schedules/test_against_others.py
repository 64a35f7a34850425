"""qbeat beside croniter, cronsim and Celery, wherever those are known to be right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import ParseException, crontab
from celery.schedules import schedule as celery_interval
from celery.utils.time import remaining
from croniter import croniter
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qbeat.schedules import Cron, Crontab, Interval, Schedule
from qbeat.schedules.base import from_us, to_us
from qbeat.schedules.search import ALL_DAYS, ALL_WEEKDAYS, Days, Fields
from qbeat.schedules.zones import DAY, HOUR, zone
from tests.schedules.drawing import (
    cron_text,
    field_texts,
    minutes_of,
    plain_fields,
    special_texts,
    zones,
    zones_and_instants,
)
from tests.schedules.oracle import MINUTE_US

FIRES = 8


def upcoming(schedule: Schedule, start: datetime, count: int = FIRES) -> list[datetime]:
    """Return the next few fire times."""
    found: list[datetime] = []
    at = schedule.next_after(start)
    while at is not None and len(found) < count:
        found.append(at)
        at = schedule.next_after(at)
    return found


def without_fold(name: str, begin: int, end: int) -> bool:
    """Whether no clock goes back in this stretch, nor within a day before it."""
    return all(change.forward for change in zone(name).changes(begin - DAY, end))


def croniter_fires(text: str, start: datetime, **options: Any) -> Iterator[datetime]:
    walker = croniter(text, start, ret_type=datetime, **options)
    while True:
        yield walker.get_next().astimezone(UTC)


@given(plain_fields(), zones.flatmap(lambda name: st.tuples(st.just(name), minutes_of(name))))
def test_without_a_fold_fire_times_are_croniters(fields: Fields, where: tuple[str, int]) -> None:
    name, minute = where
    start = from_us(minute * MINUTE_US)
    text = cron_text(fields)
    ours = upcoming(Cron(text, name), start)
    assume(ours and without_fold(name, to_us(start), to_us(ours[-1])))
    assert ours == list(islice(croniter_fires(text, start.astimezone(ZoneInfo(name))), len(ours)))


@given(special_texts(), st.integers(0, 525_960 * 60))
def test_special_days_are_croniters(text: str, minute: int) -> None:
    start = from_us(minute * MINUTE_US)
    assert upcoming(Cron(text, "UTC"), start) == list(islice(croniter_fires(text, start), FIRES))


@given(plain_fields(), st.integers(0, 59), st.integers(0, 525_960 * 60))
def test_seconds_and_years_are_croniters(fields: Fields, second: int, minute: int) -> None:
    start = from_us(minute * MINUTE_US)
    text = f"{cron_text(fields)} {second},{(second + 20) % 60} 2000-2090/2"
    ours = upcoming(Cron(text, "UTC", "last"), start)
    assume(len(ours) == FIRES)
    assert ours == list(islice(croniter_fires(text, start), FIRES))
    quartz = " ".join([text.split(" ")[5], *text.split(" ")[:5], text.split(" ")[6]])
    assert upcoming(Cron(quartz, "UTC", "first"), start) == ours


@given(plain_fields(), st.integers(0, 525_960 * 60))
def test_core_texts_are_cronsims_in_utc(fields: Fields, minute: int) -> None:
    start = from_us(minute * MINUTE_US)
    text = cron_text(fields)
    assert upcoming(Cron(text, "UTC"), start) == list(islice(CronSim(text, start), FIRES))


CELERY = Celery(set_as_current=False)


@given(plain_fields(either=False), zones_and_instants())
def test_away_from_clock_changes_crontabs_fire_as_celerys(fields: Fields, where: tuple[str, int]) -> None:
    name, instant = where
    start = from_us(instant)
    ours = _crontab(fields, name)
    fires = upcoming(ours, start, 4)
    assume(fires and not zone(name).changes(instant - DAY, to_us(fires[-1]) + DAY))
    kind = crontab(
        fields.minutes,
        fields.hours,
        fields.days.dow,
        fields.days.dom,
        fields.months,
        app=CELERY,
    )
    kind.tz = ZoneInfo(name)
    for at in fires:
        kind.nowfun = start.astimezone
        start = (start + kind.remaining_estimate(start)).astimezone(UTC)
        assert start == at


def _crontab(fields: Fields, name: str | None = None) -> Crontab:
    return Crontab.from_sets(
        minute=fields.minutes, hour=fields.hours, day_of_week=fields.days.dow, day_of_month=fields.days.dom,
        month_of_year=fields.months, timezone=name,
    )  # fmt: skip


@given(plain_fields(either=False), st.data())
def test_crontab_texts_mean_the_sets_that_celery_reads(fields: Fields, data: st.DataObject) -> None:
    texts = [
        data.draw(field_texts(fields.minutes, 0, 59)),
        data.draw(field_texts(fields.hours, 0, 23)),
        data.draw(field_texts(fields.days.dow, 0, 6, ["sun", "mon", "tue", "wed", "thu", "fri", "sat"])),
        data.draw(field_texts(fields.days.dom, 1, 31)),
        data.draw(field_texts(fields.months, 1, 12)),
    ]
    assume("7" not in texts[2])
    read = crontab(*texts)
    assert Crontab(*texts).fields == Fields(
        read.minute, read.hour, read.month_of_year, Days(read.day_of_month, read.day_of_week)
    )


CRONTAB_PARTS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["*", "0", "3", "05", "12", "6-2", "22-4", "1-5", "sun", "Monday", "fri-mon", "x", ""]),
    st.sampled_from(["", "/1", "/2", "/7", "/90", "/0", "/", "/x"]),
    st.sampled_from(["", "", ",4", ",2-3", ","]),
)


@settings(max_examples=250)
@given(CRONTAB_PARTS, st.sampled_from(["minute", "hour", "day_of_week", "day_of_month", "month_of_year"]))
def test_crontab_parts_are_taken_and_refused_as_celery_does(part: str, field: str) -> None:
    assume(field == "day_of_week" or not any(letter.isalpha() and letter != "x" for letter in part))
    assume("n/" not in part and "y/" not in part)  # a name with a step, which Celery cuts to the name
    assert _numbers(Crontab, part, field) == _numbers(crontab, part, field)


def _numbers(kind: Any, part: str, field: str) -> set[int] | None:
    try:
        made = kind(**{field: part})
    except (ValueError, ParseException):
        return None
    if isinstance(made, Crontab):
        made = crontab(**made.texts)
    return set(getattr(made, field))


@given(plain_fields(either=False), st.integers(0, 525_960 * 60))
def test_crontabs_fire_as_croniter_without_its_or(fields: Fields, minute: int) -> None:
    start = from_us(minute * MINUTE_US)
    ours = upcoming(_crontab(fields, "UTC"), start, 3)
    theirs = croniter_fires(cron_text(fields), start, day_or=False)
    assert ours == list(islice(theirs, 3))


RELATIVE = st.one_of(
    st.integers(1, 59).map(lambda n: timedelta(seconds=n)),
    st.integers(1, 59).map(lambda n: timedelta(minutes=n)),
    st.integers(60, 1439).map(lambda n: timedelta(minutes=n)),
    st.integers(1, 40).map(lambda n: timedelta(days=n)),
    st.integers(25, 300).map(lambda n: timedelta(hours=n)),
)


@settings(max_examples=200)
@given(RELATIVE, zones_and_instants())
def test_relative_intervals_round_as_celery_does(every: timedelta, where: tuple[str, int]) -> None:
    name, instant = where
    changes = zone(name).changes(instant - DAY, instant + 41 * DAY)
    assume(all(change.before % HOUR == 0 and change.after % HOUR == 0 for change in changes))
    start = from_us(instant).astimezone(ZoneInfo(name))
    ours = Interval(every, relative=True, timezone=name).next_after(start, anchor=start)
    assume(remaining(start, every, start, relative=True) > timedelta(0))
    assert ours == start.astimezone(UTC) + remaining(start, every, start, relative=True)


def test_a_plain_interval_first_fires_when_celery_first_does() -> None:
    start = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    theirs = celery_interval(5400.0, nowfun=lambda: start, app=CELERY)
    assert Interval(5400).next_after(start, anchor=start) == start + theirs.remaining_estimate(start)


@pytest.mark.parametrize("text", ["0 0 1-31 * 1", "0 0 */1 * 1", "0 0 1 * 0-6", "0 0 1 * */1"])
def test_a_day_field_of_every_day_counts_as_a_star_however_it_is_written(text: str) -> None:
    days = Cron(text).fields.days
    assert not days.either
    assert replace(days, dom=ALL_DAYS) == days or replace(days, dow=ALL_WEEKDAYS) == days


@pytest.mark.parametrize(
    ("text", "start", "ours", "theirs"),
    [
        ("30 1 * * *", "2026-11-01T04:00", ["05:30", "06:30+1d"], ["05:30", "06:30"]),
        ("0 1,2 * * *", "2026-11-01T04:00", ["05:00", "07:00"], ["05:00", "06:00"]),
    ],
)
def test_in_a_fold_croniter_fires_named_times_twice_and_qbeat_once(
    text: str, start: str, ours: list[str], theirs: list[str]
) -> None:
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)

    def shown(at: datetime) -> str:
        return f"{at:%H:%M}" + ("+1d" if at.date() > begin.date() else "")

    assert [shown(at) for at in upcoming(Cron(text, "America/New_York"), begin, 2)] == ours
    walker = croniter_fires(text, begin.astimezone(ZoneInfo("America/New_York")))
    assert [shown(at) for at in islice(walker, 2)] == theirs
