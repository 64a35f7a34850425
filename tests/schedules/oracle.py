"""A brute-force reading of the rule across clock changes: it walks every minute with ``zoneinfo`` alone.

Nothing of ``qbeat.schedules`` is used here but the field sets, so that it can bear witness against all the rest.
Instants and walls are whole minutes; zones are to have offsets of whole minutes, as all have had since 1973.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from qbeat.schedules.search import Days, Fields

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall has no zone
MINUTE_US = 60_000_000
DAY_MINUTES = 1440


@lru_cache(maxsize=8)
def local_minutes(zone: str, begin: int, end: int) -> list[int]:
    """Return what the local clock shows at each minute of ``[begin, end)``, both in minutes since the epoch."""
    info = ZoneInfo(zone)
    shown = []
    for minute in range(begin, end):
        local = datetime.fromtimestamp(minute * 60, UTC).astimezone(info)
        shown.append((local.replace(tzinfo=None) - EPOCH) // timedelta(minutes=1))
        assert local.second == 0
    return shown


@lru_cache(maxsize=200_000)
def _matches_day(days: Days, months: frozenset[int], years: frozenset[int] | None, day: int) -> bool:
    date = EPOCH + timedelta(days=day)
    if date.month not in months or (years is not None and date.year not in years):
        return False
    length = calendar.monthrange(date.year, date.month)[1]
    weekday = date.isoweekday() % 7
    by_date = (
        date.day in days.dom
        or (days.last_day and date.day == length)
        or (
            days.nearest is not None
            and date.day == _nearest(date.year, date.month, min(days.nearest, length))
        )
    )
    by_weekday = (
        weekday in days.dow
        or (weekday, (date.day + 6) // 7) in days.nth
        or (weekday in days.last_dow and date.day > length - 7)
    )
    return (by_date or by_weekday) if days.either else (by_date and by_weekday)


def _nearest(year: int, month: int, day: int) -> int:
    length = calendar.monthrange(year, month)[1]
    working = [d for d in range(1, length + 1) if calendar.weekday(year, month, d) < 5]
    return min(working, key=lambda d: (abs(d - day), d))


def matches(fields: Fields, wall: int) -> bool:
    """Whether a wall, in minutes, matches (seconds aside)."""
    day, minute = divmod(wall, DAY_MINUTES)
    return (
        minute % 60 in fields.minutes
        and minute // 60 in fields.hours
        and _matches_day(fields.days, fields.months, fields.years, day)
    )


def fire_times(  # noqa: PLR0917 - as plain as the rule
    fields: Fields, zone: str, begin: int, end: int, fold: str = "once", gap: str = "fire"
) -> list[int]:
    """Return the fire times in ``[begin, end)`` by the rule, everything in minutes since the epoch."""
    lead = begin - 2 * DAY_MINUTES
    walls = local_minutes(zone, lead, end)
    return [at for at in _walk(fields, lead, walls, fold, gap) if at >= begin]


def _walk(fields: Fields, begin: int, walls: list[int], fold: str, gap: str) -> Iterator[int]:
    highest = walls[0] - 1
    for at, wall in enumerate(walls, start=begin):
        shown = matches(fields, wall)
        new = range(highest + 1, wall + 1)
        if len(fields.hours) == 24:
            fires = shown
        elif not new:
            fires = shown and fold == "every"
        else:
            fires = shown or (gap == "fire" and any(matches(fields, skipped) for skipped in new))
        if fires:
            yield at
        highest = max(highest, wall)
