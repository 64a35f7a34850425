"""Celery's crontab: five fields, all of which must match, in exactly Celery's grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

from qbeat.schedules import words
from qbeat.schedules.base import ScheduleError
from qbeat.schedules.search import Days, Fields
from qbeat.schedules.wallclock import FieldSchedule

Cronspec = int | str | Iterable[int]
"""A field as Celery takes it: a number, a text such as ``"*/5,17"``, or ready numbers."""


class _Field(NamedTuple):
    name: str
    first: int
    last: int
    names: Mapping[str, int]


MONTH_NAMES: Final = {
    name: number
    for number, name in enumerate(
        ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
         "november", "december"),
        start=1,
    )
}  # fmt: skip
WEEKDAY_NAMES: Final = {
    name: number
    for number, name in enumerate(
        ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
    )
}

_MINUTE: Final = _Field("minute", 0, 59, {})
_HOUR: Final = _Field("hour", 0, 23, {})
_WEEKDAY: Final = _Field("day_of_week", 0, 6, WEEKDAY_NAMES)
_DAY: Final = _Field("day_of_month", 1, 31, {})
_MONTH: Final = _Field("month_of_year", 1, 12, MONTH_NAMES)

_PART: Final = re.compile(r"(?:(\*)|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]+))?", re.ASCII)
_CRON_ONLY: Final = "use a Cron string for L, W, # and H"
_LONGEST: Final = 1000


class Crontab(FieldSchedule):
    """Fires at each minute that matches all five fields, as ``celery.schedules.crontab`` does.

    A field is a number, an iterable of numbers, or a text: numbers or English names (at least three letters),
    ranges (which may wrap around), ``*``, steps (``*/5``, ``10-40/10``) and lists of these. Sunday is 0.
    ``timezone`` is a name of the tz database; without one the app's is used. Raises ``ScheduleError``.

    ``fold="every"`` fires named hours on the second pass of a repeated hour too; ``gap="skip"`` drops what the
    clock skips instead of firing when it comes out of the gap.
    """

    def __init__(  # noqa: PLR0917 - Celery's crontab takes its five fields by position
        self,
        minute: Cronspec = "*",
        hour: Cronspec = "*",
        day_of_week: Cronspec = "*",
        day_of_month: Cronspec = "*",
        month_of_year: Cronspec = "*",
        timezone: str | tzinfo | None = None,
        *,
        fold: str = "once",
        gap: str = "fire",
    ) -> None:
        fields = Fields(
            minutes=_expand(_MINUTE, minute),
            hours=_expand(_HOUR, hour),
            months=_expand(_MONTH, month_of_year),
            days=Days(dom=_expand(_DAY, day_of_month), dow=_expand(_WEEKDAY, day_of_week)),
        )
        _refuse_never(fields)
        self._set_up(fields, timezone, fold, gap)

    @classmethod
    def from_sets(
        cls,
        *,
        minute: Iterable[int],
        hour: Iterable[int],
        day_of_week: Iterable[int],
        day_of_month: Iterable[int],
        month_of_year: Iterable[int],
        timezone: str | tzinfo | None = None,
        fold: str = "once",
        gap: str = "fire",
    ) -> Self:
        """Return the crontab of ready sets of numbers, such as the attributes of Celery's own crontab object."""
        return cls(
            frozenset(minute),
            frozenset(hour),
            frozenset(day_of_week),
            frozenset(day_of_month),
            frozenset(month_of_year),
            timezone,
            fold=fold,
            gap=gap,
        )

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the crontab that ``to_data`` wrote down."""
        return cls(**{name: value for name, value in data.items() if name != "kind"})

    @cached_property
    def texts(self) -> dict[str, str]:
        """The five fields in their canonical texts: equal sets have equal texts."""
        fields = self.fields
        return {
            "minute": _text(_MINUTE, fields.minutes),
            "hour": _text(_HOUR, fields.hours),
            "day_of_week": _text(_WEEKDAY, fields.days.dow),
            "day_of_month": _text(_DAY, fields.days.dom),
            "month_of_year": _text(_MONTH, fields.months),
        }

    def to_data(self) -> dict[str, Any]:
        """Return ``{"kind": "crontab", "minute": …, …, "timezone": …}``."""
        return {"kind": "crontab", **self.texts, **self._zone_data()}

    def describe(self) -> str:
        """Say in English when this fires."""
        return words.describe_fields(self.fields, self.timezone)

    def resolve(self, *, name: str, timezone: str) -> Self:  # noqa: ARG002 - the contract of every schedule
        """Return this crontab in ``timezone`` unless it has a zone of its own."""
        return self if self.timezone else self.from_data(self.to_data() | {"timezone": timezone})


def _refuse_never(fields: Fields) -> None:
    if not fields.ever_fires():
        raise ScheduleError(
            "no month of month_of_year ever has such a day: this can never fire",
            field="day_of_month",
            cure="choose days that one of the months has",
        )


def _expand(field: _Field, spec: object) -> frozenset[int]:
    """Return the numbers that a field's specification stands for."""
    if isinstance(spec, str):
        numbers = _parse(field, spec)
    elif isinstance(spec, int):
        numbers = frozenset({int(spec)})
    elif isinstance(spec, Iterable):
        numbers = frozenset(spec)
    else:
        raise _error(field, f"is a {type(spec).__name__}", "give a number, a text or a set of numbers")
    if not numbers:
        raise _error(field, "is empty, so this can never fire", 'write "*" for every value')
    for number in numbers:
        _in_range(field, number)
    return numbers


def _parse(field: _Field, text: str) -> frozenset[int]:
    if len(text) > _LONGEST:
        raise _error(field, f"has {len(text)} characters", f"write at most {_LONGEST}")
    return frozenset(
        number for part in text.split(",") for number in _parse_part(field, part.strip().lower())
    )


def _parse_part(field: _Field, part: str) -> Iterable[int]:
    match = _PART.fullmatch(part)
    if match is None:
        raise _error(field, f"has {part!r}, which Celery's crontab does not know", _hint(part))
    star, low, high, step = match.groups()
    if star:
        numbers = [*range(field.first, field.last + 1)]
    else:
        numbers = _range(field, _number(field, low), _number(field, high) if high else None)
    if step is None:
        return numbers
    if not star and not high:
        raise _error(field, f"has {part!r}", f"a step needs a range: write {low}-{field.last}/{step}")
    if int(step) == 0:
        raise _error(field, f"has the step 0 in {part!r}", "write a step of at least 1")
    return numbers[:: int(step)]


def _range(field: _Field, low: int, high: int | None) -> list[int]:
    if high is None:
        return [low]
    if high < low:
        return [*range(low, field.last + 1), *range(field.first, high + 1)]
    return [*range(low, high + 1)]


def _number(field: _Field, text: str) -> int:
    if text.isdigit():
        return _in_range(field, int(text[:10]))
    for name, number in field.names.items():
        if len(text) >= 3 and name.startswith(text):  # noqa: PLR2004 - Celery's shortest name
            return number
    hint = (
        _CRON_ONLY
        if text in {"l", "h"} or text.endswith("w")
        else f"write numbers from {field.first} to {field.last}"
    )
    raise _error(field, f"has the unknown name {text!r}", hint)


def _in_range(field: _Field, number: object) -> int:
    if not isinstance(number, int):
        raise _error(field, f"holds {number!r}", "give whole numbers")
    if not field.first <= number <= field.last:
        sunday = field is _WEEKDAY and number == 7  # noqa: PLR2004 - cron's other Sunday
        cure = "write 0 for Sunday" if sunday else f"write numbers from {field.first} to {field.last}"
        raise _error(field, f"holds {number}, which is out of range", cure)
    return number


def _hint(part: str) -> str:
    if not part:
        return "take away the superfluous comma"
    if "?" in part:
        return 'write "*" for every value'
    if re.search(r"[l#w]|h", part):
        return _CRON_ONLY
    return "write numbers, names, ranges, steps and lists such as 1,5-20/3"


def _error(field: _Field, problem: str, cure: str) -> ScheduleError:
    return ScheduleError(f"{field.name} {problem}", field=field.name, cure=cure)


def _text(field: _Field, numbers: frozenset[int]) -> str:
    return words.canonical(numbers, field.first, field.last)
