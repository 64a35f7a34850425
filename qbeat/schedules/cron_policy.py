"""What qbeat accepts of croniter's grammar: its traps are refused, each with the field, the reason and the cure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from qbeat.schedules.base import ScheduleError
from qbeat.schedules.search import Days

FIELDS: Final = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day_of_month": (1, 31),
    "month": (1, 12),
    "day_of_week": (0, 6),
    "second": (0, 59),
    "year": (1970, 2099),
}
"""The fields in croniter's order, each with its first and last value."""

ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES: Final = {
    "month": {name: number for number, name in enumerate(_MONTHS, start=1)},
    "day_of_week": {name: number for number, name in enumerate(_WEEKDAYS)},
}
_DAY_FIELDS: Final = ("day_of_month", "day_of_week")
_SUNDAY: Final = 7

_VALUE: Final = r"[0-9]{1,4}|[a-z]{3}"
_RANGE: Final = re.compile(rf"(?:(\*)|({_VALUE})(?:-({_VALUE}))?)(?:/([0-9]{{1,4}}))?", re.ASCII)
_LAST_DAY: Final = re.compile(r"l", re.ASCII)
_NEAREST: Final = re.compile(r"[0-9]{1,2}w|w[0-9]{1,2}", re.ASCII)
_LAST_WEEKDAY: Final = re.compile(r"l[0-7]", re.ASCII)
_NTH: Final = re.compile(r"(?:([0-7])|([a-z]{3})(?:-([a-z]{3}))?)#([1-5])", re.ASCII)

_HINTS: Final = (
    (r"", "take away the superfluous comma"),
    (r"r(\(.*\))?(/\d+)?", "R differs at each start: write H, which the entry's name decides"),
    (r"\?", "only a day field may be ?, and only alone: write *"),
    (r"[0-7]l", "write L first: L5 is the last Friday"),
    (r"lw|wl", "the last working day has no notation here: use an RRULE"),
    (r"l-\d+|\d+-l", "L stands alone or in a list: write a range of numbers"),
    (r".*/0+", "a step is at least 1"),
    (r".*/", "write a number after the /"),
    (r"-\d+", "there are no negative values"),
    (r".*#.*", "write a weekday and a number from 1 to 5, as in mon#2"),
    (r"h.*", "write H, H(low-high), H/step or H(low-high)/step, alone in its field"),
    (r"\d{5,}.*", "write smaller numbers"),
)


def refuse(field: str, problem: str, cure: str) -> ScheduleError:
    """Return the error that refuses a field of a cron string."""
    return ScheduleError(f"{field} {problem}", field=field, cure=cure)


def check_field(name: str, text: str) -> None:
    """Raise ``ScheduleError`` unless this field's text is croniter's grammar without its traps."""
    if text == "?" and name in _DAY_FIELDS:
        return
    parts = text.split(",")
    for part in parts:
        _check_part(name, part)
    if len(parts) > 1:
        _check_list(name, parts)


def check_day_fields(parts: Mapping[str, str], days: Days) -> None:
    """Raise ``ScheduleError`` where croniter joins ``W`` or ``#`` with the other day field in a way of its own."""
    if days.nearest is not None and days.either:
        raise refuse("day_of_month", f"is {parts['day_of_month']!r} beside a restricted day_of_week",
                     "W needs a * there: declare two entries")  # fmt: skip
    if "#" in parts["day_of_week"] and days.either:
        raise refuse("day_of_week", f"is {parts['day_of_week']!r} beside a restricted day_of_month",
                     "# needs a * there: declare two entries")  # fmt: skip


def _check_part(name: str, part: str) -> None:
    match = _RANGE.fullmatch(part.lower())
    if match is not None:
        _, low, high, step = match.groups()
        _check_range(name, part, _value(name, low), _value(name, high), step)
    elif not _is_special_day(name, part):
        raise refuse(name, f"has {part!r}", _hint(part))


def _value(name: str, text: str | None) -> int | None:
    """Return the number of a value or a name, checked against the field's range; Sunday may be 7."""
    if text is None:
        return None
    first, last = FIELDS[name]
    names = _NAMES.get(name, {})
    number = int(text) if text.isdigit() else names.get(text)
    if number is None:
        known = f"numbers or names such as {', '.join(list(names)[:3])}" if names else "numbers"
        raise refuse(name, f"has the unknown name {text!r}", f"write {known}")
    if not first <= number <= (_SUNDAY if name == "day_of_week" else last):
        raise refuse(name, f"has {number}, which is out of range", f"write values from {first} to {last}")
    return number


def _check_range(name: str, part: str, low: int | None, high: int | None, step: str | None) -> None:
    if step is not None and int(step) == 0:
        raise refuse(name, f"has the step 0 in {part!r}", "write a step of at least 1")
    if low is None:
        return
    if high is None:
        if step is not None and name == "day_of_week" and low == _SUNDAY:
            raise refuse(name, f"has {part!r}, which starts at the second Sunday", f"write 0/{step}")
        return
    start, stop = (low % _SUNDAY, high % _SUNDAY) if name == "day_of_week" else (low, high)
    if start == stop and (low, high) != (0, _SUNDAY):
        raise refuse(name, f"has {part!r}, which means one value to some and every value to others",
                     f"write {part.partition('-')[0]} or *")  # fmt: skip
    if start > stop and step is not None:
        meant = _wrapped(name, start, stop, int(step))
        raise refuse(name, f"has {part!r}, a step in a range that wraps around, which is read in different ways",
                     f"write {meant}")  # fmt: skip


def _wrapped(name: str, start: int, stop: int, step: int) -> str:
    first, last = FIELDS[name]
    numbers = [*range(start, last + 1), *range(first, stop + 1)][::step]
    return ",".join(map(str, sorted(numbers)))


def _is_special_day(name: str, part: str) -> bool:
    """Whether this part is one of the notations that only the day fields have."""
    part = part.lower()
    if name == "day_of_month":
        return bool(_LAST_DAY.fullmatch(part) or _NEAREST.fullmatch(part))
    if name != "day_of_week":
        return False
    match = _NTH.fullmatch(part)
    if match is None:
        return _LAST_WEEKDAY.fullmatch(part) is not None
    _, low, high, _ = match.groups()
    _check_range(name, f"{low}-{high}" if high else part, _value(name, low), _value(name, high), None)
    return True


def _check_list(name: str, parts: list[str]) -> None:
    if any(_NEAREST.fullmatch(part.lower()) for part in parts) and name == "day_of_month":
        raise refuse(
            name, f"has a W in the list {','.join(parts)!r}", "W stands alone: declare one entry for each"
        )
    special = [part for part in parts if name == "day_of_week" and _is_special_day(name, part)]
    if special and len(special) < len(parts):
        raise refuse(name, f"mixes {special[0]!r} with plain weekdays", "declare two entries")


def _hint(part: str) -> str:
    for pattern, hint in _HINTS:
        if re.fullmatch(pattern, part, re.ASCII | re.IGNORECASE):
            return hint
    return "write numbers, names, ranges, steps and lists, such as 1,5-20/3"
