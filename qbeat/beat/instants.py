"""How instants are written at the edges: ISO 8601 in UTC, ending in ``Z``."""

from __future__ import annotations

from contextlib import suppress
from zoneinfo import ZoneInfo

from qbeat.schedules.base import SECOND, from_us
from qbeat.schedules.zones import zone


def iso(microseconds: int) -> str:
    """Return ``2026-11-21T07:30:00Z``, with as many decimals as the instant needs: none, three or six."""
    rest = microseconds % SECOND
    precision = "seconds" if rest == 0 else "milliseconds" if rest % 1_000 == 0 else "microseconds"
    return from_us(microseconds).isoformat(timespec=precision).replace("+00:00", "Z")


def iso_or_none(microseconds: int | None) -> str | None:
    """Return the instant as ``iso`` does, and ``None`` for none."""
    return None if microseconds is None else iso(microseconds)


def local_text(microseconds: int, timezone: str) -> str:
    """Return what the clocks of a zone show then, such as ``Mon 2026-11-23 09:00:00 CET``."""
    zone(timezone)
    at = from_us(microseconds)
    with suppress(OverflowError):  # in the last hours that UTC can show, some zones can show none any more
        at = at.astimezone(ZoneInfo(timezone))
    return at.strftime("%a %Y-%m-%d %H:%M:%S %Z")
