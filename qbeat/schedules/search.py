"""The next wall that a set of calendar fields matches, found with bitmasks.

Fields are compiled once. Minutes, hours and seconds are one integer each; the days of a month are a bitmask that
depends only on the month's shape (the weekday of its first day, its length), so 28 masks serve every month.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final
from weakref import WeakValueDictionary

from qbeat.schedules.base import SECOND

HORIZON_YEARS: Final = 41
"""No calendar without a year field waits longer: 29 February on a given weekday, across 2100, takes 40 years."""

MONTH_LENGTHS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
LONGEST_MONTHS: Final = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_FIRST_DAY: Final = date(1, 1, 2).toordinal() - _EPOCH_ORDINAL
_LAST_YEAR: Final = 6000
_LAST_DAY: Final = date(_LAST_YEAR, 1, 1).toordinal() - _EPOCH_ORDINAL
_WEEKEND: Final = (0, 6)

ALL_MINUTES: Final = frozenset(range(60))
ALL_HOURS: Final = frozenset(range(24))
ALL_MONTHS: Final = frozenset(range(1, 13))
ALL_DAYS: Final = frozenset(range(1, 32))
ALL_WEEKDAYS: Final = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Days:
    """Which days of a month match; weekdays count from Sunday = 0.

    A day matches the day-of-month side by ``dom``, ``last_day`` (the month's last) or ``nearest`` (the working day
    nearest to that date, within the month), and the day-of-week side by ``dow``, ``nth`` (weekday, 1-5) or
    ``last_dow`` (the month's last such weekday). ``either`` asks for one side, otherwise both must match.
    """

    dom: frozenset[int] = ALL_DAYS
    dow: frozenset[int] = ALL_WEEKDAYS
    last_day: bool = False
    nearest: int | None = None
    nth: frozenset[tuple[int, int]] = frozenset()
    last_dow: frozenset[int] = frozenset()
    either: bool = False

    @property
    def every(self) -> bool:
        """Whether each day of each month matches."""
        whole = (self.dom >= ALL_DAYS, self.dow >= ALL_WEEKDAYS)
        return any(whole) if self.either else all(whole)

    def mask(self, first_weekday: int, length: int) -> int:
        """Return the matching days of a month of this shape, bit ``d`` for day ``d``."""
        by_date = self._by_date(first_weekday, length)
        by_weekday = self._by_weekday(first_weekday, length)
        return by_date | by_weekday if self.either else by_date & by_weekday

    def _by_date(self, first_weekday: int, length: int) -> int:
        mask = _bits(day for day in self.dom if day <= length)
        if self.last_day:
            mask |= 1 << length
        if self.nearest is not None:
            mask |= 1 << _nearest_working_day(self.nearest, first_weekday, length)
        return mask

    def _by_weekday(self, first_weekday: int, length: int) -> int:
        mask = 0
        for day in range(1, length + 1):
            weekday = (first_weekday + day - 1) % 7
            nth = (day - 1) // 7 + 1
            last = day + 7 > length and weekday in self.last_dow
            if weekday in self.dow or (weekday, nth) in self.nth or last:
                mask |= 1 << day
        return mask


def _nearest_working_day(day: int, first_weekday: int, length: int) -> int:
    day = min(day, length)
    weekday = (first_weekday + day - 1) % 7
    if weekday == _WEEKEND[1]:
        return day - 1 if day > 1 else day + 2
    if weekday == _WEEKEND[0]:
        return day + 1 if day < length else day - 2
    return day


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in set(numbers))


@dataclass(frozen=True, slots=True)
class Fields:
    """The field sets of one calendar schedule; ``years`` is ``None`` where every year matches."""

    minutes: frozenset[int] = ALL_MINUTES
    hours: frozenset[int] = ALL_HOURS
    months: frozenset[int] = ALL_MONTHS
    days: Days = Days()
    seconds: frozenset[int] = frozenset({0})
    years: frozenset[int] | None = None

    @property
    def all_hours(self) -> bool:
        """Whether the hour field matches all 24 hours."""
        return self.hours >= ALL_HOURS

    def shapes(self) -> Iterator[tuple[int, int, int]]:
        """Yield (month, weekday of its first, length) for each shape of month that can ever come."""
        if self.years is None:
            for month in sorted(self.months):
                for length in {MONTH_LENGTHS[month], LONGEST_MONTHS[month]}:
                    yield from ((month, weekday, length) for weekday in range(7))
            return
        for year in sorted(self.years):
            for month in sorted(self.months):
                yield month, date(year, month, 1).isoweekday() % 7, month_length(year, month)

    def ever_fires(self) -> bool:
        """Whether any instant of any year matches, decided exactly: 84 shapes of month are all there are."""
        if not (self.minutes and self.hours and self.seconds):
            return False
        masks = day_masks(self.days)
        return any(masks[first_weekday * 4 + length - 28] for _, first_weekday, length in self.shapes())


def month_length(year: int, month: int) -> int:
    """Return how many days this month has."""
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)  # noqa: PLR2004 - the calendar
    return 29 if leap else MONTH_LENGTHS[month]


@lru_cache(maxsize=4096)
def day_masks(days: Days) -> tuple[int, ...]:
    """Return the 28 day masks, at index ``first_weekday * 4 + length - 28``."""
    return tuple(days.mask(weekday, length) for weekday in range(7) for length in range(28, 32))


class Search:
    """Fields compiled for the question "which matching wall comes next?"; shared by all equal fields."""

    __slots__ = (
        "__weakref__",
        "_days",
        "_first",
        "_hours",
        "_minutes",
        "_months",
        "_seconds",
        "_years",
        "all_hours",
        "fields",
    )

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self._seconds = None if fields.seconds == {0} else _bits(fields.seconds)
        self._minutes = _bits(fields.minutes)
        self._hours = _bits(fields.hours)
        self._months = _bits(fields.months)
        self._days = None if self._each_day(fields) else day_masks(fields.days)
        self._years = None if fields.years is None else sorted(fields.years)
        self._first = min(fields.hours) * 3600 + min(fields.minutes) * 60 + min(fields.seconds)
        self.all_hours = fields.all_hours

    @staticmethod
    def _each_day(fields: Fields) -> bool:
        return fields.days.every and fields.months >= ALL_MONTHS and fields.years is None

    def next_wall(self, after: int) -> int | None:
        """Return the first matching wall strictly later than ``after`` (microseconds), or ``None``."""
        day, second = divmod(after // SECOND, 86400)
        if not _FIRST_DAY < day < _LAST_DAY:
            return None
        if self._days is None:
            found = self._later_today(second)
            return ((day + 1) * 86400 + self._first if found is None else day * 86400 + found) * SECOND
        today = date.fromordinal(day + _EPOCH_ORDINAL)
        year, month, number = today.year, today.month, today.day
        if self._months >> month & 1 and (self._years is None or year in self._years):
            first_weekday = (day + 5 - number) % 7
            mask = self._days[first_weekday * 4 + month_length(year, month) - 28]
            if mask >> number & 1:
                found = self._later_today(second)
                if found is not None:
                    return (day * 86400 + found) * SECOND
            rest = mask >> (number + 1)
            if rest:
                return ((day + (rest & -rest).bit_length()) * 86400 + self._first) * SECOND
        later = self._later_month(year, month)
        return None if later is None else (later * 86400 + self._first) * SECOND

    def _later_today(self, second: int) -> int | None:
        """Return the first matching second of the day later than this one, or ``None``."""
        minute_of_day = second // 60
        hour, minute = divmod(minute_of_day, 60)
        if self._hours >> hour & 1:
            if self._seconds is not None and self._minutes >> minute & 1:
                rest = self._seconds >> (second % 60 + 1)
                if rest:
                    return second + (rest & -rest).bit_length()
            rest = self._minutes >> (minute + 1)
            if rest:
                return (minute_of_day + (rest & -rest).bit_length()) * 60 + self._first % 60
        rest = self._hours >> (hour + 1)
        if rest:
            return (hour + (rest & -rest).bit_length()) * 3600 + self._first % 3600
        return None

    def _later_month(self, year: int, month: int) -> int | None:
        """Return the first matching day, as days since the epoch, in a month after this one, or ``None``."""
        assert self._days is not None
        bits, months = self._months, self._months >> (month + 1) << (month + 1)
        for at in self._years_from(year):
            here = months if at == year else bits
            while here:
                month = (here & -here).bit_length() - 1
                here &= here - 1
                ordinal = date(at, month, 1).toordinal()
                mask = self._days[ordinal % 7 * 4 + month_length(at, month) - 28]
                if mask:
                    return ordinal - _EPOCH_ORDINAL + (mask & -mask).bit_length() - 2
        return None

    def _years_from(self, year: int) -> Iterable[int]:
        if self._years is None:
            return range(year, year + HORIZON_YEARS + 1)
        return (at for at in self._years if at >= year)


_compiled: WeakValueDictionary[Fields, Search] = WeakValueDictionary()


@lru_cache(maxsize=1024)
def compiled(fields: Fields) -> Search:
    """Return the shared compiled form of these fields, which must fire at some time.

    It is shared for as long as anybody uses it; the last thousand are kept besides.
    """
    found = _compiled.get(fields)
    return found if found is not None else _compiled.setdefault(fields, Search(fields))
