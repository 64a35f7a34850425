"""One recurrence rule on walls: the next one after any wall, at a cost that does not grow with the rule's age.

dateutil expands the rule. It can only walk from the rule's start, so each search begins at a start that is moved
forward by whole intervals to shortly before the wall that is asked about; for that, everything that a rule takes
from its start (the weekday, the time of day) is written into it first.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from dateutil.rrule import rrulestr

from qbeat.schedules.base import SECOND
from qbeat.schedules.rrule_parts import (
    DAY_PARTS,
    DAYS_FROM_START,
    FINE,
    TIME_PARTS,
    check,
    explicit,
    numbers_of,
    refuse_positions,
    rrule_error,
)
from qbeat.schedules.zones import DAY, HOUR, MINUTE, naive_of, wall_of

_LENGTHS: Final = {"WEEKLY": 7 * DAY, "DAILY": DAY, "HOURLY": HOUR, "MINUTELY": MINUTE, "SECONDLY": SECOND}
_LAST_WALL: Final = wall_of(datetime(9000, 1, 1))  # noqa: DTZ001 - a wall
_LAST_CENTURIES: Final = wall_of(datetime(9590, 1, 1))  # noqa: DTZ001 - a wall
_AHEAD: Final = 64
_AHEAD_SPAN: Final = 400 * DAY
_DAYS_TRIED: Final = 4000
_COUNTED_DAYS: Final = 400 * 366
_MOST_TIMES_TO_CHOOSE_FROM: Final = 100


class Recurrence:
    """The occurrences of one RRULE, as walls in ascending order, its COUNT and a last wall included."""

    def __init__(self, parts: Mapping[str, str], start: int) -> None:
        """Take the parts of the rule by their RFC names and the start as a wall; raise ``ScheduleError``."""
        check(parts)
        self._expansion = _expansion(explicit(parts, naive_of(start)), start)
        self._start = start
        if self._expansion.next_wall(start - 1) is None:
            raise rrule_error(
                "the rule has no occurrence: this can never fire", "choose days and times that exist"
            )
        self._until = _LAST_WALL if "COUNT" not in parts else self._last_counted(int(parts["COUNT"]))

    def next_wall(self, after: int) -> int | None:
        """Return the first occurrence strictly later than the wall ``after``."""
        if after >= self._until:
            return None
        found = self._expansion.next_wall(max(after, self._start - 1))
        return found if found is not None and found <= self._until else None

    def _last_counted(self, count: int) -> int:
        """Return the occurrence that COUNT ends with, or a wall four centuries on where it is never reached."""
        end = min(self._start + _COUNTED_DAYS * DAY, _LAST_WALL)
        wall = self._start - 1
        for _ in range(count):
            following = self._expansion.next_wall(wall)
            if following is None or following > end:
                return end
            wall = following
        return wall


class _Expansion(Protocol):
    def next_wall(self, after: int) -> int | None: ...


class _Known(NamedTuple):
    """All occurrences in ``(after, walls[-1]]``."""

    after: int
    walls: list[int]


class _Walk:
    """A rule that dateutil expands, some occurrences ahead of the one that is asked for."""

    def __init__(self, parts: Mapping[str, str], start: int) -> None:
        self._frequency = parts["FREQ"]
        self._interval = int(parts.get("INTERVAL", "1"))
        self._start = start
        self._rule = _dateutil_rule(parts, start)
        self._known = _Known(0, [0])

    def next_wall(self, after: int) -> int | None:
        known = self._known
        if not known.after <= after < known.walls[-1]:
            # Who goes on from the last ones known will go on further; who jumps about needs no more than the next.
            goes_on = 0 <= after - known.walls[-1] <= known.walls[-1] - known.after
            ahead = min(4 * len(known.walls), _AHEAD) if goes_on else 1
            walls = self._look(after, ahead)
            if not walls:
                return None
            known = self._known = _Known(after, walls)
        return known.walls[bisect_right(known.walls, after)]

    def _look(self, after: int, ahead: int) -> list[int]:
        """Return the occurrences after a wall: so many, but no further than the first one beyond a year."""
        found: list[int] = []
        for wall in self._walls_around(after):
            if wall > after:
                found.append(wall)
                if len(found) == ahead or wall > after + _AHEAD_SPAN:
                    break
        return found

    def _walls_around(self, wall: int) -> Iterator[int]:
        """Yield the occurrences in order, from one interval before ``wall`` or earlier."""
        if wall >= _LAST_WALL:
            return
        try:
            for occurrence in self._rule.replace(dtstart=naive_of(self._moved_start(wall))):
                yield wall_of(occurrence)
        except ValueError as error:
            raise rrule_error(
                f"RRULE: {error}", "this can never fire: choose times that the interval reaches"
            ) from None

    def _moved_start(self, wall: int) -> int:
        """Return the start moved forward by whole intervals, to at least one interval before ``wall``."""
        length = _LENGTHS.get(self._frequency)
        if length is not None:
            step = length * self._interval
            return self._start + max(0, (wall - self._start) // step - 1) * step
        start, target = naive_of(self._start), naive_of(max(wall, self._start))
        step = self._interval * (12 if self._frequency == "YEARLY" else 1)
        months = (target.year - start.year) * 12 + target.month - start.month
        months = max(0, months // step - 1) * step
        if months == 0:
            return self._start
        year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
        return wall_of(start.replace(year=year, month=month + 1, day=1))


class _TimesOfDay:
    """The same times on each day: every combination of the hours, minutes and seconds of a rule."""

    def __init__(self, parts: Mapping[str, str]) -> None:
        hours, minutes, seconds = (sorted(set(numbers_of(parts[name]))) for name in TIME_PARTS)
        self._times = [(h * 60 + m) * MINUTE + s * SECOND for h in hours for m in minutes for s in seconds]

    def __len__(self) -> int:
        return len(self._times)

    def next_wall(self, after: int) -> int:
        day, time = divmod(after, DAY)
        i = bisect_right(self._times, time)
        return (day + 1) * DAY + self._times[0] if i == len(self._times) else day * DAY + self._times[i]


class _DayByDay:
    """A rule whose days and whose times of day are searched apart, so that neither is walked through in vain."""

    def __init__(self, days: _Expansion, times: _Expansion) -> None:
        self._days = days  # at 00:00 of each
        self._times = times

    def next_wall(self, after: int) -> int | None:
        earliest = after // DAY * DAY
        for _ in range(_DAYS_TRIED):
            day = self._days.next_wall(earliest - 1)
            if day is None:
                return None
            found = self._times.next_wall(max(after, day - 1))
            if found is None or found < day + DAY:
                return found
            earliest = found // DAY * DAY
        return None


def _expansion(parts: dict[str, str], start: int) -> _Expansion:
    if "BYSETPOS" in parts:
        refuse_positions(parts)
    midnight = start // DAY * DAY
    has_days = any(name in parts for name in DAY_PARTS)
    if has_days:
        _refuse_missing_days(parts)
    if parts["FREQ"] in FINE:
        rest = {name: value for name, value in parts.items() if name not in DAY_PARTS}
        times = _Walk(rest, start)
        first_of_year = naive_of(midnight).replace(month=1, day=1)
        return _DayByDay(_Walk(_days_of_year(parts), wall_of(first_of_year)), times) if has_days else times
    times_of_day = _TimesOfDay(parts)
    if "BYSETPOS" in parts:
        if len(times_of_day) > _MOST_TIMES_TO_CHOOSE_FROM:
            raise rrule_error(f"BYSETPOS chooses from {len(times_of_day)} times a day", "give fewer times")
        return _Walk(parts, start)
    return _DayByDay(_Walk(parts | dict.fromkeys(TIME_PARTS, "0"), midnight), times_of_day)


def _refuse_missing_days(parts: Mapping[str, str]) -> None:
    """Refuse days that no year has: dateutil would look for them up to the year 9999.

    Years repeat after 400, so the last ones before that year tell. Only Easter takes longer to come round: it is left
    to the search.
    """
    if "BYEASTER" in parts:
        return
    if next(iter(_dateutil_rule(_days_of_year(parts), _LAST_CENTURIES)), None) is None:
        raise rrule_error(
            "RRULE asks for a day that no year has: this can never fire", "choose days that exist"
        )


def _days_of_year(parts: Mapping[str, str]) -> dict[str, str]:
    """Return a yearly rule of all days that the parts may allow, whatever their frequency, interval and numbers."""
    days = {name: parts[name] for name in (*DAY_PARTS, "WKST") if name in parts}
    if "BYDAY" in days:
        days["BYDAY"] = re.sub(r"[+-]?\d+", "", days["BYDAY"])
    if not any(name in days for name in DAYS_FROM_START):
        days["BYMONTHDAY"] = ",".join(map(str, range(1, 32)))
    return {"FREQ": "YEARLY", **days, **dict.fromkeys(TIME_PARTS, "0")}


def _dateutil_rule(parts: Mapping[str, str], start: int) -> Any:
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    try:
        return rrulestr(text, dtstart=naive_of(start))
    except (ValueError, TypeError) as error:
        raise rrule_error(f"RRULE: {error}", "write it as RFC 5545 does") from None
