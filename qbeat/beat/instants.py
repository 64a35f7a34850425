"""How instants are written at the edges: ISO 8601 in UTC, ending in ``Z``."""

from __future__ import annotations

from qbeat.schedules.base import SECOND, from_us


def iso(microseconds: int) -> str:
    """Return ``2026-11-21T07:30:00Z``, with as many decimals as the instant needs: none, three or six."""
    rest = microseconds % SECOND
    precision = "seconds" if rest == 0 else "milliseconds" if rest % 1_000 == 0 else "microseconds"
    return from_us(microseconds).isoformat(timespec=precision).replace("+00:00", "Z")


def iso_or_none(microseconds: int | None) -> str | None:
    """Return the instant as ``iso`` does, and ``None`` for none."""
    return None if microseconds is None else iso(microseconds)
