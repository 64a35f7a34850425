"""Cron strings: croniter is the grammar and the parser, qbeat the policy and the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import tzinfo
from functools import lru_cache
from typing import Any, Final, Literal, Self

from qbeat.schedules import words
from qbeat.schedules.base import ScheduleError
from qbeat.schedules.cron_policy import ALIASES, FIELDS, check_day_fields, check_field, refuse
from qbeat.schedules.cron_spread import has_spread, spread
from qbeat.schedules.search import ALL_DAYS, ALL_WEEKDAYS, Days, Fields
from qbeat.schedules.wallclock import FieldSchedule

Seconds = Literal["first", "last"]

LONGEST: Final = 300
"""Longer texts are refused."""

_BLANKS: Final = " \t\n\r\f\v"
_PLAIN_FIELDS: Final = 5
_MOST_FIELDS: Final = 7
_DAY_OF_MONTH: Final = 2


class Cron(FieldSchedule):
    """Fires when a cron string matches, at second 0 unless the string has seconds.

    Five fields: minute, hour, day of month, month, day of week (0 and 7 are Sunday), with names, lists, ranges,
    steps, ``?``, ``L``, ``L5`` (the last Friday), ``mon#2``, ``15W``, ``H`` (a number that the entry's name
    chooses) and the aliases from ``@hourly`` to ``@yearly``. If both day fields are restricted, either may match.
    A sixth field is seconds and a seventh years: ``seconds="first"`` or ``"last"`` says where the seconds stand.
    ``timezone`` is a name of the tz database; without one the app's is used. Raises ``ScheduleError``.

    ``fold="every"`` fires named hours on the second pass of a repeated hour too; ``gap="skip"`` drops what the
    clock skips instead of firing when it comes out of the gap.
    """

    def __init__(
        self,
        expression: str,
        timezone: str | tzinfo | None = None,
        seconds: Seconds | None = None,
        *,
        fold: str = "once",
        gap: str = "fire",
    ) -> None:
        if seconds not in {None, "first", "last"}:
            raise refuse("seconds", f"is {seconds!r}", 'write "first", "last" or nothing')
        self.expression = _normal(expression)
        self.seconds = seconds
        self._set_up(_fields(self.expression, seconds), timezone, fold, gap)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the cron schedule that ``to_data`` wrote down."""
        return cls(**{name: value for name, value in data.items() if name != "kind"})

    @property
    def parts(self) -> dict[str, str]:
        """The text of each field by the field's name; ``second`` and ``year`` only where they are written."""
        return _split(self.expression, self.seconds)

    @property
    def spreads(self) -> bool:
        """Whether an ``H`` waits for the name of the entry; until then it counts as for an empty name."""
        return "h" in self.expression.lower() and any(map(has_spread, self.parts.values()))

    def to_data(self) -> dict[str, Any]:
        """Return ``{"kind": "cron", "expression": …, "timezone": …}`` and what differs from the defaults."""
        data: dict[str, Any] = {"kind": "cron", "expression": self.expression, **self._zone_data()}
        return data | {"seconds": self.seconds} if self.seconds else data

    def describe(self) -> str:
        """Say in English when this fires."""
        text = words.describe_fields(self.fields, self.timezone)
        return f"{text}, H chosen as for an entry without a name" if self.spreads else text

    def resolve(self, *, name: str, timezone: str) -> Self:
        """Return this schedule in ``timezone`` unless it has a zone of its own, each ``H`` chosen by ``name``."""
        parts = self.parts
        if self.timezone and not self.spreads:
            return self
        data = self.to_data() | {"timezone": self.timezone or timezone}
        if self.spreads:
            data["expression"] = _join(
                {field: spread(field, text, name) for field, text in parts.items()}, self.seconds
            )
        return self.from_data(data)

    def __str__(self) -> str:
        return self.expression


def _normal(expression: object) -> str:
    """Return the text with single blanks, or raise ``ScheduleError``."""
    if not isinstance(expression, str):
        raise refuse(
            "expression", f"is a {type(expression).__name__}", "give a text such as '0 9 * * mon-fri'"
        )
    if len(expression) > LONGEST:
        raise refuse("expression", f"has {len(expression)} characters", f"write at most {LONGEST}")
    for blank in _BLANKS:
        expression = expression.replace(blank, " ")
    return " ".join(part for part in expression.split(" ") if part)


def _split(expression: str, seconds: Seconds | None) -> dict[str, str]:
    """Return the text of each field by its name, in croniter's order."""
    if expression.startswith("@"):
        expression = _alias(expression)
    texts = expression.split(" ")
    if "=" in texts[0]:
        raise refuse(
            "expression", f"starts with {texts[0]!r}", "give the time zone as the timezone of the schedule"
        )
    if not expression:
        raise refuse("expression", "is empty", "write five fields such as '0 9 * * mon-fri'")
    if not _PLAIN_FIELDS <= len(texts) <= _MOST_FIELDS:
        raise refuse(
            "expression",
            f"has {len(texts)} fields",
            "write five: minute, hour, day of month, month, day of week",
        )
    if len(texts) > _PLAIN_FIELDS and seconds is None:
        raise refuse(
            "expression",
            f"has {len(texts)} fields, and conventions differ on where the seconds stand",
            'say seconds="first" (as Quartz) or seconds="last" (as croniter)',
        )
    if len(texts) > _PLAIN_FIELDS and seconds == "first":
        texts.insert(_PLAIN_FIELDS, texts.pop(0))
    return dict(zip(FIELDS, texts, strict=False))


def _join(parts: Mapping[str, str], seconds: Seconds | None) -> str:
    texts = list(parts.values())
    if len(texts) > _PLAIN_FIELDS and seconds == "first":
        texts.insert(0, texts.pop(_PLAIN_FIELDS))
    return " ".join(texts)


def _alias(expression: str) -> str:
    word = expression.lower()
    if word in ALIASES:
        return ALIASES[word]
    if word.startswith("@every"):
        raise refuse("expression", "is an @every", "use an interval")
    if word == "@reboot":
        raise refuse(
            "expression", "is @reboot, which no clock can tell", "send the task when your program starts"
        )
    raise refuse("expression", f"is the unknown alias {expression!r}", f"write one of {', '.join(ALIASES)}")


@lru_cache(maxsize=4096)
def _fields(expression: str, seconds: Seconds | None) -> Fields:
    """Return the field sets of a cron string, or raise ``ScheduleError`` naming the field at fault."""
    parts = {name: spread(name, text, "") for name, text in _split(expression, seconds).items()}
    for name, text in parts.items():
        check_field(name, text)
    read = _parse(parts)
    numbers = {name: _numbers(name, values) for name, values in zip(parts, read.expanded, strict=True)}
    days = _days(read, numbers["day_of_month"], numbers["day_of_week"])
    check_day_fields(parts, days)
    fields = Fields(
        minutes=numbers["minute"],
        hours=numbers["hour"],
        months=numbers["month"],
        days=days,
        seconds=numbers.get("second", frozenset({0})),
        years=None if parts.get("year", "*") == "*" else numbers["year"],
    )
    _refuse_never(fields)
    return fields


def _parse(parts: Mapping[str, str]) -> Any:
    """Return croniter's reading of the fields."""
    from croniter import croniter  # noqa: PLC0415 - slow to import, and no other kind needs it

    try:
        return croniter(" ".join(parts.values()), 0.0)
    except (ValueError, KeyError) as error:
        raise _at_fault(parts) from error


def _at_fault(parts: Mapping[str, str]) -> ScheduleError:
    """Return the refusal of the first field that croniter does not take on its own."""
    from croniter import croniter  # noqa: PLC0415 - likewise

    for name, text in parts.items():
        alone = [text if other == name else "*" for other in parts]
        try:
            croniter(" ".join(alone), 0.0)
        except (ValueError, KeyError):
            first, last = FIELDS[name]
            return refuse(name, f"has {text!r}", f"write values from {first} to {last}")
    return refuse("expression", "combines fields that exclude each other", "write a simpler one")


def _numbers(name: str, values: list[int | str]) -> frozenset[int]:
    first, last = FIELDS[name]
    if "*" in values:
        return frozenset(range(first, last + 1))
    return frozenset(value for value in values if isinstance(value, int))


def _days(read: Any, dom: frozenset[int], dow: frozenset[int]) -> Days:
    """Return the day rule; if both day fields leave days out, a day of either matches."""
    special: Mapping[int, set[int | str]] = read.nth_weekday_of_month
    by_weekday = dow < ALL_WEEKDAYS or bool(special)
    return Days(
        dom=dom - read.nearest_weekday,
        dow=dow - set(special),
        last_day="l" in read.expanded[_DAY_OF_MONTH],
        nearest=next(iter(read.nearest_weekday), None),
        nth=frozenset((day, n) for day, ns in special.items() for n in ns if isinstance(n, int)),
        last_dow=frozenset(day for day, ns in special.items() if "l" in ns),
        either=dom < ALL_DAYS and by_weekday,
    )


def _refuse_never(fields: Fields) -> None:
    if fields.ever_fires():
        return
    if fields.years is not None and replace(fields, years=None).ever_fires():
        raise refuse(
            "year", "leaves out every year that has such a day: this can never fire", "add such a year"
        )
    raise refuse(
        "day_of_month",
        "has no day that one of the months ever has: this can never fire",
        "choose another day or month",
    )
