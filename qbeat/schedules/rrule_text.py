"""RFC 5545 text taken apart: the start, the rules, the extra and the excluded dates of a recurrence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from qbeat.schedules.base import ScheduleError
from qbeat.schedules.zones import wall_of, zone

_DATE_TIME: Final = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?", re.ASCII)
_LONGEST: Final = 100_000
_LISTS: Final = (
    "SECOND",
    "MINUTE",
    "HOUR",
    "DAY",
    "MONTHDAY",
    "YEARDAY",
    "WEEKNO",
    "MONTH",
    "SETPOS",
    "EASTER",
)
_KEYS: Final = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", *(f"BY{name}" for name in _LISTS))


class Stamp(NamedTuple):
    """A date with or without a time: a wall in microseconds, in UTC or another zone if it says so."""

    wall: int
    zone: str | None
    whole_day: bool

    def instant(self) -> int:
        """Return the first instant at which its zone's clock shows it or later; it must have a zone."""
        assert self.zone is not None
        return zone(self.zone).first_instant(self.wall)


@dataclass(frozen=True)
class RecurrenceText:
    """What the text says. ``lines`` is its canonical spelling; ``rules`` are the parts of each RRULE by their names."""

    lines: tuple[str, ...]
    start: Stamp
    rules: tuple[Mapping[str, str], ...]
    extra: tuple[Stamp, ...]
    excluded: tuple[Stamp, ...]


class _Line(NamedTuple):
    name: str
    parameters: Mapping[str, str]
    value: str

    def __str__(self) -> str:
        parameters = "".join(f";{name}={value}" for name, value in self.parameters.items())
        return f"{self.name}{parameters}:{self.value}"


def parse(text: str) -> RecurrenceText:
    """Return what RFC 5545 text (``DTSTART``, ``RRULE``, ``RDATE``, ``EXDATE`` lines) says, or raise ``ScheduleError``."""
    if len(text) > _LONGEST:
        raise _error(f"the text has {len(text)} characters", f"write at most {_LONGEST}")
    lines = [_line(line) for line in _unfolded(text)]
    starts = [_stamp(line, line.value) for line in lines if line.name == "DTSTART"]
    if len(starts) != 1:
        raise _error(
            f"the text has {len(starts) or 'no'} DTSTART",
            'begin with one line such as "DTSTART:20260105T090000", which the rule counts from',
        )
    return RecurrenceText(
        lines=tuple(str(line) for line in lines),
        start=starts[0],
        rules=tuple(_rule(line.value) for line in lines if line.name == "RRULE"),
        extra=_stamps(lines, "RDATE", starts[0]),
        excluded=_stamps(lines, "EXDATE", starts[0]),
    )


def until_of(rule: Mapping[str, str]) -> Stamp | None:
    """Return the UNTIL of a rule's parts."""
    value = rule.get("UNTIL")
    return None if value is None else _stamp(_Line("UNTIL", {}, value), value)


def _unfolded(text: str) -> list[str]:
    """Return the lines, long ones put together again (RFC 5545, 3.1)."""
    unfolded = re.sub(r"\r?\n[ \t]", "", text)
    return [line.strip() for line in unfolded.splitlines() if line.strip()]


def _line(line: str) -> _Line:
    head, colon, value = line.partition(":")
    if not colon:
        head, value = "RRULE", line
    name, *parameters = head.split(";")
    name = name.strip().upper()
    if name not in {"DTSTART", "RRULE", "RDATE", "EXDATE"}:
        raise _error(f"the text has a line {name[:40]!r}", _line_cure(name))
    known = {}
    for parameter in parameters:
        key, _, setting = parameter.partition("=")
        if key.upper() not in {"TZID", "VALUE"} or name == "RRULE":
            raise _error(f"{name} has {parameter[:80]!r}", "leave it out")
        known[key.upper()] = zone(setting).name if key.upper() == "TZID" else _value_type(setting)
    return _Line(name, known, value.strip().upper())


def _line_cure(name: str) -> str:
    if name == "EXRULE":
        return "EXRULE is deprecated: wrap the schedule in ExceptWhen instead"
    if name == "DTEND":
        return "leave it out: a fire time has no end"
    return "write DTSTART, RRULE, RDATE and EXDATE lines"


def _value_type(value: str) -> str:
    if value.upper() not in {"DATE", "DATE-TIME"}:
        raise _error(f"the text has VALUE={value[:40]}", "give dates and times, not periods")
    return value.upper()


def _rule(value: str) -> Mapping[str, str]:
    parts: dict[str, str] = {}
    for part in filter(None, value.split(";")):
        name, equals, setting = part.partition("=")
        if name not in _KEYS or not equals or not setting:
            raise _error(f"RRULE has {part[:80]!r}", f"its parts are NAME=VALUE with {', '.join(_KEYS)}")
        if name in parts:
            raise _error(f"RRULE has {name} twice", "leave one out")
        parts[name] = setting
    if "FREQ" not in parts:
        raise _error("RRULE has no FREQ", "add one such as FREQ=DAILY")
    if "COUNT" in parts and "UNTIL" in parts:
        raise _error("RRULE has both COUNT and UNTIL", "leave one out")
    return parts


def _stamps(lines: list[_Line], name: str, start: Stamp) -> tuple[Stamp, ...]:
    stamps = [_stamp(line, value) for line in lines if line.name == name for value in line.value.split(",")]
    if name == "RDATE" and not start.whole_day and any(stamp.whole_day for stamp in stamps):
        raise _error("RDATE has a date without a time", 'write it like "20260105T090000"')
    return tuple(stamps)


def _stamp(line: _Line, text: str) -> Stamp:
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise _error(
            f"{line.name} has {text[:80]!r}", 'write it like "20260105T090000" (local) or "20260105T080000Z"'
        )
    date, time, utc = match.groups(default="")
    try:
        naive = datetime.strptime(date + (time or "000000"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - a wall
    except ValueError:
        raise _error(f"{line.name} has {text!r}, a time that no calendar has", "correct it") from None
    where = line.parameters.get("TZID")
    if utc and where:
        raise _error(f"{line.name} has both TZID and a time in UTC", "take away the Z or the TZID")
    return Stamp(wall_of(naive), "UTC" if utc else where, whole_day=not time)


def _error(problem: str, cure: str) -> ScheduleError:
    return ScheduleError(problem, field="text", cure=cure)
