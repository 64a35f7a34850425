"""Calendars: named sets of days off, by weekday, by date, by recurrence and by a country's or a market's holidays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, NamedTuple, Self

from qbeat.schedules.base import ScheduleError
from qbeat.schedules.holiday_days import Holidays
from qbeat.schedules.recurrence import Recurrence
from qbeat.schedules.rrule_text import Stamp, parse, until_of
from qbeat.schedules.zones import DAY

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_LAST_DAY: Final = date.max.toordinal() - _EPOCH_DAY
_LONGEST_EVENT: Final = 366


class RecurringDays(NamedTuple):
    """Days off that recur: RFC 5545 text whose DTSTART is a date, and how many days each occurrence lasts."""

    text: str
    days: int = 1


class Calendar:
    """A named set of days off, in whole local days.

    ``weekdays`` are English names (``"sat"``, ``"sunday"``), ``dates`` are ``date`` objects or ISO 8601 texts,
    ``recurring`` come from an .ics text (see ``ics``), ``holidays`` from the ``holidays`` package. Immutable,
    compared by its plain data. Raises ``ScheduleError``, also where no day is left to work.
    """

    def __init__(
        self,
        name: str,
        weekdays: Iterable[str] = (),
        dates: Iterable[date | str] = (),
        recurring: Iterable[RecurringDays] = (),
        holidays: Iterable[Holidays] = (),
    ) -> None:
        if not name or not isinstance(name, str):
            raise _error("name", f"a calendar's name is {name!r}", "give it a name")
        self.name = name
        self.weekdays = frozenset(_weekday(day) for day in _several("weekdays", weekdays))
        self.dates = frozenset(_date(day) for day in _several("dates", dates))
        self.recurring = tuple(
            sorted({_checked_recurring(each) for each in _several("recurring", recurring)})
        )
        self.holidays = tuple(sorted({_checked_holidays(each) for each in _holidays(holidays)}))
        if len(self.weekdays) == len(WEEKDAYS):
            raise _error("weekdays", f"the calendar {name!r} takes every weekday off", "leave one to work on")
        self._days = frozenset(day_number(day) for day in self.dates)
        self._weekdays = frozenset((day - _EPOCH_WEEKDAY) % 7 for day in self.weekdays)
        self._recurring = tuple(_Recurring.of(each) for each in self.recurring)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the calendar that ``to_data`` wrote down."""
        return cls(
            data["name"],
            data.get("weekdays", ()),
            data.get("dates", ()),
            [RecurringDays(each["text"], each["days"]) for each in data.get("recurring", ())],
            [Holidays.from_data(each) for each in data.get("holidays", ())],
        )

    def to_data(self) -> dict[str, Any]:
        """Return ``{"name": …}`` and those of ``weekdays``, ``dates``, ``recurring``, ``holidays`` that there are."""
        parts: dict[str, list[Any]] = {
            "weekdays": [WEEKDAYS[day] for day in sorted(self.weekdays)],
            "dates": [day.isoformat() for day in sorted(self.dates)],
            "recurring": [each._asdict() for each in self.recurring],
            "holidays": [each.to_data() for each in self.holidays],
        }
        return {"name": self.name, **{part: value for part, value in parts.items() if value}}

    def is_off(self, day: int) -> bool:
        """Whether this day, counted from 1970-01-01 = 0, is a day off."""
        return (
            day % 7 in self._weekdays
            or day in self._days
            or any(each.holds(day) for each in self._recurring)
            or (day <= _LAST_DAY and any(each.holds(date_of(day)) for each in self.holidays))
        )

    def __eq__(self, other: object) -> bool:
        return self.to_data() == other.to_data() if isinstance(other, Calendar) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.weekdays, self.dates, self.recurring, self.holidays))

    def __repr__(self) -> str:
        return f"Calendar({self.name!r})"


_EPOCH_WEEKDAY: Final = date(1970, 1, 1).weekday()


@dataclass(frozen=True)
class _Recurring:
    rules: tuple[tuple[Recurrence, int | None], ...]
    single: frozenset[int]
    excluded: frozenset[int]
    days: int

    @classmethod
    def of(cls, recurring: RecurringDays) -> Self:
        if not 1 <= recurring.days <= _LONGEST_EVENT:
            raise _error("recurring", f"an event lasts {recurring.days} days", f"give 1 to {_LONGEST_EVENT}")
        said = parse(recurring.text)
        start = said.start.wall // DAY * DAY
        rules = tuple((Recurrence(rule, start), _last_day(until_of(rule))) for rule in said.rules)
        single = said.extra if said.rules else (said.start, *said.extra)
        return cls(rules, _days(single), _days(said.excluded), recurring.days)

    def holds(self, day: int) -> bool:
        return any(self._begins(first) for first in range(day - self.days + 1, day + 1))

    def _begins(self, day: int) -> bool:
        if day in self.excluded:
            return False
        return day in self.single or any(
            (last is None or day <= last) and rule.next_wall(day * DAY - 1) == day * DAY
            for rule, last in self.rules
        )


def day_number(day: date) -> int:
    """Return a date as days since 1970-01-01."""
    return day.toordinal() - _EPOCH_DAY


def date_of(day: int) -> date:
    """Return the date of so many days since 1970-01-01."""
    return date.fromordinal(day + _EPOCH_DAY)


def _days(stamps: Iterable[Stamp]) -> frozenset[int]:
    return frozenset(stamp.wall // DAY for stamp in stamps)


def _last_day(until: Stamp | None) -> int | None:
    return None if until is None else until.wall // DAY


def _several(field: str, values: Iterable[Any]) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise _error(field, f"{field} is {values!r}", "give a list")
    return list(values)


def _checked_recurring(value: object) -> RecurringDays:
    if isinstance(value, RecurringDays) and [type(part) for part in value] == [str, int]:
        return value
    raise _error(
        "recurring",
        f"recurring holds {value!r}",
        'take what calendar_from_ics has read, or write RecurringDays("DTSTART;VALUE=DATE:…\\nRRULE:…")',
    )


def _holidays(values: Any) -> list[Any]:
    if isinstance(values, (str, Holidays)) or not isinstance(values, Iterable):
        raise _error("holidays", f"holidays is {values!r}", 'give a list such as [Holidays("DE")]')
    return list(values)


def _checked_holidays(value: object) -> Holidays:
    if isinstance(value, Holidays) and all(isinstance(code, str) for code in value):
        return Holidays.of(*value)
    raise _error("holidays", f"holidays holds {value!r}", 'write Holidays("DE"), or Holidays(market="XNYS")')


def _weekday(name: object) -> int:
    if isinstance(name, str) and len(name.strip()) >= 3:  # noqa: PLR2004 - the shortest name that is unambiguous
        for number, weekday in enumerate(WEEKDAYS):
            if weekday.startswith(name.strip().lower()):
                return number
    raise _error("weekdays", f"{name!r} is no weekday", 'give English names such as "sat" or "sunday"')


def _date(value: object) -> date:
    if isinstance(value, date):
        return value.date() if isinstance(value, datetime) else value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise _error("dates", f"{value!r} is no date", 'give dates like "2026-12-25"')


def _error(field: str, problem: str, cure: str) -> ScheduleError:
    return ScheduleError(problem, field=field, cure=cure)
