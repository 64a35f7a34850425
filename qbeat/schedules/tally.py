"""How many walls match in a stretch, and how many fire times that makes: by arithmetic, not by walking."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

from qbeat.schedules.base import SECOND
from qbeat.schedules.dst import Fold, Gap
from qbeat.schedules.search import Fields, day_masks, month_length
from qbeat.schedules.zones import Zone

_DAY_SECONDS: Final = 86_400
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


def count_fires(  # noqa: PLR0917 - as the search
    fields: Fields, zone: Zone, after: int, until: int, fold: Fold = "once", gap: Gap = "fire"
) -> int:
    """Return how many fire times lie in ``(after, until]`` by the rule and the entry's two exceptions to it."""
    if fields.all_hours or (fold == "every" and gap == "skip"):
        return _followed(fields, zone, after, until)
    if fold == "once":
        return _named(fields, zone, after, until, gap)
    named, shown = (_named(fields, zone, after, until, kind) for kind in ("fire", "skip"))
    return named + _followed(fields, zone, after, until) - shown


def _followed(fields: Fields, zone: Zone, after: int, until: int) -> int:
    """Count the instants at which the clock shows a matching wall."""
    total = 0
    while after < until:
        offset, end = zone.stretch(after + 1)
        last = min(until, end - 1)
        total += count_walls(fields, after + offset, last + offset)
        after = last
    return total


def _named(fields: Fields, zone: Zone, after: int, until: int, gap: Gap) -> int:
    """Count the first passes; what a gap swallows makes one fire time, or none of its own where gaps are skipped."""
    total = count_walls(fields, zone.high_water(after), zone.high_water(until))
    for change in zone.changes(after, until):
        reached = zone.high_water(change.instant - 1)
        at_once = count_walls(fields, reached, change.after)
        if at_once:
            kept = 1 if gap == "fire" else count_walls(fields, change.after - 1, change.after)
            total -= at_once - kept
    return total


def count_walls(fields: Fields, after: int, until: int) -> int:
    """Return how many walls in ``(after, until]`` match; the work grows with the months between, and not by much."""
    if until <= after:
        return 0
    first_day, first_second = divmod(after // SECOND, _DAY_SECONDS)
    last_day, last_second = divmod(until // SECOND, _DAY_SECONDS)
    each_day = len(fields.hours) * len(fields.minutes) * len(fields.seconds)
    total = each_day * _matching_days(fields, first_day, last_day)
    if _matching_days(fields, first_day, first_day + 1):
        total -= _times_until(fields, first_second)
    if _matching_days(fields, last_day, last_day + 1):
        total += _times_until(fields, last_second)
    return total


def _matching_days(fields: Fields, begin: int, end: int) -> int:
    """Return how many days in ``[begin, end)``, as days since the epoch, match."""
    masks = day_masks(fields.days)
    total = 0
    for year, month, first, last in _months(begin, end):
        if month in fields.months and (fields.years is None or year in fields.years):
            shape = date(year, month, 1).isoweekday() % 7 * 4 + month_length(year, month) - 28
            within = (1 << (last + 1)) - (1 << first)
            total += (masks[shape] & within).bit_count()
    return total


def _months(begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (year, month, first day, last day) for each month of the days ``[begin, end)``."""
    while begin < end:
        day = date.fromordinal(begin + _EPOCH_ORDINAL)
        last = min(month_length(day.year, day.month), day.day + end - begin - 1)
        yield day.year, day.month, day.day, last
        begin += last - day.day + 1


def _times_until(fields: Fields, second: int) -> int:
    """Return how many matching times of a day lie at or before this second of it."""
    hour, rest = divmod(second, 3600)
    minute, second = divmod(rest, 60)
    per_minute = len(fields.seconds)
    per_hour = len(fields.minutes) * per_minute
    total = sum(h < hour for h in fields.hours) * per_hour
    if hour in fields.hours:
        total += sum(m < minute for m in fields.minutes) * per_minute
        if minute in fields.minutes:
            total += sum(s <= second for s in fields.seconds)
    return total
