"""``H`` in a cron string: a number that the entry's name chooses, the same on every replica and at every start."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

from qbeat.schedules.cron_policy import FIELDS, refuse

_SPREAD: Final = re.compile(
    r"h(?:\(([0-9]{1,4})-([0-9]{1,4})\))?(?:/([0-9]{1,4}))?", re.ASCII | re.IGNORECASE
)
_SAFE_DAY: Final = 28


def has_spread(text: str) -> bool:
    """Whether a field's text leaves its numbers to the entry's name."""
    return _SPREAD.fullmatch(text) is not None


def spread(field: str, text: str, name: str) -> str:
    """Return the field's text with its ``H`` replaced by what ``name`` chooses; other texts stay as they are.

    ``H`` is one value of the whole range (of the days of a month: those that every month has), ``H(3-7)`` one of
    that range, and with ``/step`` the first of a series. Each field of each name is chosen on its own.
    """
    match = _SPREAD.fullmatch(text)
    if match is None:
        return text
    if field == "year":
        raise refuse(field, f"is {text!r}", "write years")
    low, high = _bounds(field, match[1], match[2])
    if match[3] is None:
        last = min(high, _SAFE_DAY) if field == "day_of_month" and match[1] is None else high
        return str(low + _number(field, name, last - low + 1))
    step = int(match[3])
    if step == 0:
        raise refuse(field, f"has the step 0 in {text!r}", "write a step of at least 1")
    start = low + _number(field, name, min(step, high - low + 1))
    return ",".join(map(str, range(start, high + 1, step)))


def _bounds(field: str, low: str | None, high: str | None) -> tuple[int, int]:
    first, last = FIELDS[field]
    if low is None or high is None:
        return first, last
    if not first <= int(low) <= int(high) <= last:
        raise refuse(field, f"has H({low}-{high})", f"write a rising range within {first} to {last}")
    return int(low), int(high)


def _number(field: str, name: str, size: int) -> int:
    """Return a number below ``size``, evenly spread over names and independent between fields."""
    digest = sha256(f"{field}|{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % size
