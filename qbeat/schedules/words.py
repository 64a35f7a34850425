"""Schedules in words: canonical field texts and English descriptions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from qbeat.schedules.search import Fields

_MICROSECOND: Final = timedelta(microseconds=1)
_UNITS: Final = (
    ("day", timedelta(days=1)),
    ("hour", timedelta(hours=1)),
    ("minute", timedelta(minutes=1)),
    ("second", timedelta(seconds=1)),
    ("millisecond", timedelta(milliseconds=1)),
    ("microsecond", _MICROSECOND),
)


def canonical(numbers: frozenset[int], first: int, last: int) -> str:
    """Return the one text of a field's numbers: ``*``, ``*/n``, or a list of numbers, ranges and ranges with steps."""
    ordered = sorted(numbers)
    whole = range(first, last + 1)
    for step in range(1, len(whole)):
        if len(ordered) > 1 and ordered == list(whole[::step]):
            return "*" if step == 1 else f"*/{step}"
    return ",".join(_runs(ordered))


def _runs(ordered: list[int]) -> list[str]:
    """Return the numbers as texts, three or more at equal distances as one range."""
    texts: list[str] = []
    i = 0
    while i < len(ordered):
        end = _run_end(ordered, i)
        low, high = ordered[i], ordered[end]
        if end - i < 2:  # noqa: PLR2004 -- a range pays from three numbers on
            texts.append(str(low))
            i += 1
            continue
        step = ordered[i + 1] - low
        texts.append(f"{low}-{high}" if step == 1 else f"{low}-{high}/{step}")
        i = end + 1
    return texts


def _run_end(ordered: list[int], start: int) -> int:
    end = start + 1
    if end >= len(ordered):
        return start
    step = ordered[end] - ordered[start]
    while end + 1 < len(ordered) and ordered[end + 1] - ordered[end] == step:
        end += 1
    return end


def describe_duration(duration: timedelta) -> str:
    """Say a duration in English: ``minute``, ``90 seconds`` or ``1 day 12 hours``, exactly."""
    for name, unit in _UNITS:
        if duration % unit == timedelta(0):
            count = duration // unit
            if count == 1:
                return name
            small = _smaller_parts(duration)
            return small or f"{count} {name}s"
    raise AssertionError("every duration is a whole number of microseconds")


def _smaller_parts(duration: timedelta) -> str | None:
    """Return a duration of two or more units in parts, if its largest unit occurs and the number would be long."""
    parts = []
    rest = duration
    for name, unit in _UNITS:
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    return " ".join(parts) if len(parts) == 2 and duration > timedelta(hours=2) else None  # noqa: PLR2004


def describe_fields(fields: Fields, timezone: str | None) -> str:
    """Say in English when fields match."""
    return f"{fields} {timezone}"
