"""Jitter: how much later than its fire time a firing is due, the same on every replica and after every restart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Final

from qbeat.schedules.base import ScheduleError
from qbeat.schedules.durations import duration_text, parse_duration

_MILLION: Final = 1_000_000
_PERCENT: Final = re.compile(r"\s*([0-9]{1,3})(?:\.([0-9]{1,4}))?\s*%\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Jitter:
    """At most a duration (microseconds) or a share (parts per million) of the gap to the next fire time."""

    duration: int = 0
    share: int = 0

    def __str__(self) -> str:
        """Return the text that ``parse_jitter`` reads: ``"30s"`` or ``"12.5%"``."""
        if not self.share:
            return duration_text(self.duration)
        whole, parts = divmod(self.share, _MILLION // 100)
        return f"{whole}.{parts:04}".rstrip("0").rstrip(".") + "%"

    def describe(self) -> str:
        """Say in English how much later a firing may be due."""
        return f"up to {self} of the gap later" if self.share else f"up to {self} later"


def parse_jitter(value: str | timedelta | float | Jitter) -> Jitter:
    """Return the jitter of ``"30s"``, ``"50%"`` (of the gap to the next fire time), a ``timedelta`` or seconds.

    Raises ``ScheduleError`` for anything else and for more than 100 %.
    """
    if isinstance(value, Jitter):
        return value
    if isinstance(value, str) and "%" in value:
        return Jitter(share=_share(value))
    return Jitter(duration=parse_duration(value, field="jitter"))


def jitter_us(entry_uid: str, fire_time: int, following: int | None, jitter: Jitter) -> int:
    """Return how many microseconds after ``fire_time`` the firing is due.

    ``fire_time`` and ``following``, the fire time after it (``None``: there is none), are microseconds since the
    epoch. The answer is a hash of the entry and the fire time, never negative, and ``fire_time`` plus the answer is
    before ``following``. A share of the gap is nothing where no fire time follows.
    """
    bound = jitter.duration
    if following is not None:
        gap = max(0, following - fire_time)
        bound = gap * jitter.share // _MILLION if jitter.share else min(bound, gap)
    return _hash(entry_uid, fire_time) * bound >> 64


def _hash(entry_uid: str, fire_time: int) -> int:
    """Return 64 bits that look random and depend on nothing but the two arguments."""
    digest = blake2b(f"{entry_uid}|{fire_time}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _share(text: str) -> int:
    match = _PERCENT.fullmatch(text)
    parts = int(match[1]) * 10_000 + int((match[2] or "").ljust(4, "0")) if match else _MILLION + 1
    if parts > _MILLION:
        raise ScheduleError(
            f"jitter is {text[:100]!r}", field="jitter", cure='write a percentage from "0%" to "100%"'
        )
    return parts
