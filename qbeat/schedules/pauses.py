"""How long a schedule of calendar fields goes on covering each minute, found without walking through them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from qbeat.schedules.base import Schedule
from qbeat.schedules.search import (
    ALL_DAYS,
    ALL_HOURS,
    ALL_MINUTES,
    ALL_MONTHS,
    ALL_WEEKDAYS,
    Days,
    Fields,
    compiled,
)
from qbeat.schedules.wallclock import FieldSchedule

_PLAIN_SECONDS: Final = frozenset({0})


def covered_until(other: Schedule, fire_time: int) -> int:
    """Return an instant up to which ``other`` fires in every minute from its fire time ``fire_time`` on.

    That is where one of its fields first fails to match, or the next change of the clock if that comes sooner; for
    other kinds of schedule, ``fire_time`` itself.
    """
    if not isinstance(other, FieldSchedule):
        return fire_time
    where, fields = other.zone, other.fields
    if fields.seconds != _PLAIN_SECONDS or fields.years is not None:
        return fire_time
    wall = where.local(fire_time)
    free = [compiled(part).next_wall(wall) for part in _left_free(fields)]
    ends = [fire_time + found - wall for found in free if found is not None]
    return min([*ends, where.stretch(fire_time)[1]])


@lru_cache(maxsize=256)
def _left_free(fields: Fields) -> tuple[Fields, ...]:
    """Return fields that together match each minute that ``fields`` does not: one for each field that fails.

    The days are taken as they are where ``L``, ``W`` or ``#`` choose them: then the end of each day ends the cover.
    """
    return tuple(part for part in _complements(fields) if part.ever_fires())


def _complements(fields: Fields) -> Iterator[Fields]:
    yield Fields(minutes=ALL_MINUTES - fields.minutes)
    yield Fields(hours=ALL_HOURS - fields.hours)
    yield Fields(months=ALL_MONTHS - fields.months)
    days = fields.days
    if days.last_day or days.nearest is not None or days.nth or days.last_dow:
        yield Fields(hours=frozenset({0}), minutes=frozenset({0}))
    else:
        yield Fields(days=Days(dom=ALL_DAYS - days.dom, dow=ALL_WEEKDAYS - days.dow, either=not days.either))
