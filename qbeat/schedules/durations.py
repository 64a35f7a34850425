"""Durations as people write them: ``"90s"``, ``"1h30m"``, ``"500ms"``, in microseconds."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from math import isfinite
from typing import Final

from qbeat.schedules.base import SECOND, ScheduleError
from qbeat.schedules.zones import DAY, HOUR, MINUTE

LONGEST: Final = 36_525 * DAY
"""A century; nothing that is measured as a duration is longer."""

_UNITS: Final = {"w": 7 * DAY, "d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": 1000, "us": 1}
_WRITTEN: Final = {unit: size for unit, size in _UNITS.items() if unit != "w"}
_PART: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*(ms|us|[wdhms])\s*", re.ASCII)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_CURE: Final = 'write it like "90s", "1h30m" or "500ms"'


def parse_duration(value: str | timedelta | float, *, field: str) -> int:
    """Return a duration in microseconds: a ``timedelta``, a number of seconds, or a text such as ``"1h30m"``.

    Raises ``ScheduleError`` naming ``field`` for anything else, for a negative one and for more than a century.
    """
    duration = _microseconds(value, field)
    if not 0 <= duration <= LONGEST:
        cure = "give a positive duration" if duration < 0 else "give a century at most"
        raise ScheduleError(f"{field} is {value!r}", field=field, cure=cure)
    return duration


def duration_text(duration: int) -> str:
    """Return so many microseconds as the text that ``parse_duration`` reads: ``"1h30m"``, ``"0s"``."""
    parts = []
    rest = duration
    for unit, size in _WRITTEN.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _microseconds(value: object, field: str) -> int:
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, str):
        return _from_text(value, field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ScheduleError(f"{field} is {value!r}", field=field, cure=_CURE)
    return round(max(-1, min(value, LONGEST)) * SECOND)


def _from_text(text: str, field: str) -> int:
    if len(text) > 100 or not _WHOLE.fullmatch(text.strip()):  # noqa: PLR2004 - any honest duration is shorter
        raise ScheduleError(f"{field} is {text[:100]!r}", field=field, cure=_CURE)
    parts = (Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return int(sum(parts, Decimal(0)))
