"""Day masks and the search, beside the calendar."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta

import pytest

from qbeat.schedules import Cron
from qbeat.schedules.base import to_us
from qbeat.schedules.search import HORIZON_YEARS, Days, Fields, compiled, day_masks
from qbeat.schedules.zones import DAY

# A year of each of the fourteen kinds: starting on each weekday, leap or not.
YEARS = [2017, 2018, 2013, 2014, 2015, 2010, 2011, 2012, 2024, 2008, 2020, 2004, 2016, 2000]
MONTHS = [(year, month) for year in YEARS for month in range(1, 13)]

RULES = [
    *(Days(dom=frozenset(), nearest=day) for day in range(1, 32)),
    *(Days(nth=frozenset({(weekday, nth)}), dow=frozenset()) for weekday in range(7) for nth in range(1, 6)),
    *(Days(last_dow=frozenset({weekday}), dow=frozenset()) for weekday in range(7)),
    Days(dom=frozenset(), last_day=True),
    Days(dom=frozenset({1, 15}), dow=frozenset({1}), either=True),
    Days(dom=frozenset({1, 15}), dow=frozenset({1})),
]


def _expected(days: Days, year: int, month: int) -> set[int]:
    length = calendar.monthrange(year, month)[1]
    found = set()
    for day in range(1, length + 1):
        weekday = date(year, month, day).isoweekday() % 7
        by_date = day in days.dom or (days.last_day and day == length) or day == _nearest(days, year, month)
        nth = sum(date(year, month, d).isoweekday() % 7 == weekday for d in range(1, day + 1))
        last = weekday in days.last_dow and day + 7 > length
        by_weekday = weekday in days.dow or (weekday, nth) in days.nth or last
        if (by_date or by_weekday) if days.either else (by_date and by_weekday):
            found.add(day)
    return found


def _nearest(days: Days, year: int, month: int) -> int | None:
    if days.nearest is None:
        return None
    length = calendar.monthrange(year, month)[1]
    wanted = min(days.nearest, length)
    working = [day for day in range(1, length + 1) if calendar.weekday(year, month, day) < 5]
    return min(working, key=lambda day: (abs(day - wanted), day))


@pytest.mark.parametrize("days", RULES, ids=lambda days: f"{days.nearest}{set(days.nth)}{set(days.last_dow)}")
def test_the_mask_of_a_month_is_what_the_calendar_says_for_each_kind_of_year(days: Days) -> None:
    masks = day_masks(days)
    for year, month in MONTHS:
        weekday, length = date(year, month, 1).isoweekday() % 7, calendar.monthrange(year, month)[1]
        mask = masks[weekday * 4 + length - 28]
        assert {day for day in range(33) if mask >> day & 1} == _expected(days, year, month)


def test_the_fourteen_years_are_of_fourteen_kinds() -> None:
    assert len({(date(year, 1, 1).weekday(), calendar.isleap(year)) for year in YEARS}) == 14


def test_equal_fields_share_one_compiled_form() -> None:
    assert compiled(Cron("0 9 * * 1-5").fields) is compiled(Cron("00 09 * * mon-fri").fields)


def test_the_last_second_of_the_day_and_the_first_of_the_next() -> None:
    each_second = Cron("* * * * * *", seconds="last")
    at = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert each_second.next_after(at) == datetime(2027, 1, 1, tzinfo=UTC)
    assert each_second.next_after(at - timedelta(seconds=1)) == datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_seconds_minutes_and_hours_carry_over() -> None:
    schedule = Cron("10,40 5,35 6,18 * * *", seconds="first")
    at: datetime | None = datetime(2026, 1, 1, 6, 5, 10, tzinfo=UTC)
    shown = []
    for _ in range(8):
        at = schedule.next_after(at) if at else None
        shown.append(f"{at:%H:%M:%S}" if at else "")
    assert shown == [
        "06:05:40", "06:35:10", "06:35:40", "18:05:10", "18:05:40", "18:35:10", "18:35:40", "06:05:10",
    ]  # fmt: skip


@pytest.mark.parametrize("weekday", range(7))
def test_the_longest_wait_of_all_is_within_the_horizon(weekday: int) -> None:
    search = compiled(Fields(months=frozenset({2}), days=Days(frozenset({29}), frozenset({weekday}))))
    at = to_us(datetime(2000, 1, 1, tzinfo=UTC))
    waits = []
    while at < to_us(datetime(2400, 1, 1, tzinfo=UTC)):
        found = search.next_wall(at)
        assert found is not None
        waits.append(found - at)
        at = found
    assert 12 * 365 * DAY < max(waits) < HORIZON_YEARS * 365 * DAY
