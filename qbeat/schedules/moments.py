"""A moment that a person wrote down: an instant, or a local time that waits for its zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from qbeat.schedules.base import ScheduleError, from_us, to_us
from qbeat.schedules.zones import Zone, naive_of, wall_of, zone, zone_name


@dataclass(frozen=True, slots=True)
class Moment:
    """Microseconds since the epoch, or, if ``local``, a wall: what a local clock is to show (see ``zones``)."""

    microseconds: int
    local: bool

    @classmethod
    def of(cls, value: object, *, field: str) -> Self:
        """Return the moment of a datetime or of ISO 8601 text; naive ones are local times.

        Raises ``ScheduleError`` naming ``field`` for anything else.
        """
        at = _parse(value, field) if isinstance(value, str) else value
        if not isinstance(at, datetime):
            raise ScheduleError(f"{field} is {value!r}", field=field, cure="give a datetime or ISO 8601 text")
        if at.utcoffset() is None:
            return cls(wall_of(at.replace(tzinfo=None)), local=True)
        return cls(_instant(at), local=False)

    def at(self, where: Zone) -> int:
        """Return the instant in microseconds: for a local time the first at which the clock shows it or later."""
        return where.first_instant(self.microseconds) if self.local else self.microseconds

    def to_data(self) -> str:
        """Return ISO 8601 text, ending in ``Z`` for an instant and without any offset for a local time."""
        if self.local:
            return naive_of(self.microseconds).isoformat()
        return from_us(self.microseconds).replace(tzinfo=None).isoformat() + "Z"

    def describe(self) -> str:
        """Say it in English; a local time without its zone."""
        at = naive_of(self.microseconds) if self.local else from_us(self.microseconds)
        shown = f"{at:%Y-%m-%d %H:%M:%S}" + (f".{at.microsecond:06}" if at.microsecond else "")
        return shown.removesuffix(":00") + ("" if self.local else " UTC")


def _parse(text: str, field: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ScheduleError(
            f"{field} is {text[:100]!r}, which is no date and time",
            field=field,
            cure='write it like "2026-12-24T18:00" (local) or "2026-12-24T17:00Z"',
        ) from None


def _instant(at: datetime) -> int:
    """Return an aware datetime in microseconds, one inside a gap by the rule for named times."""
    instant = to_us(at)
    naive = at.replace(tzinfo=None)
    if at.tzinfo is UTC or from_us(instant).astimezone(at.tzinfo).replace(tzinfo=None) == naive:
        return instant
    name = zone_name(at.tzinfo)
    return zone(name).first_instant(wall_of(naive)) if name else instant
