"""A moment that a person wrote down: an instant, or a local time that waits for its zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from qbeat.schedules.base import EARLIEST, LATEST, ScheduleError, from_us, to_us
from qbeat.schedules.zones import Zone, naive_of, wall_of, zone, zone_name


@dataclass(frozen=True, slots=True)
class Moment:
    """Microseconds since the epoch, or, if ``local``, a wall: what a local clock is to show (see ``zones``)."""

    microseconds: int
    local: bool
    field: str
    """The argument that it was given as."""

    @classmethod
    def of(cls, value: object, *, field: str) -> Self:
        """Return the moment of a datetime or of ISO 8601 text; naive ones are local times.

        Raises ``ScheduleError`` naming ``field`` for anything else.
        """
        at = _parse(value, field) if isinstance(value, str) else value
        if not isinstance(at, datetime):
            raise ScheduleError(f"{field} is {value!r}", field=field, cure="give a datetime or ISO 8601 text")
        if at.utcoffset() is None:
            return cls(wall_of(at.replace(tzinfo=None)), local=True, field=field)
        return cls(_instant(at, field), local=False, field=field)

    def at(self, where: Zone) -> int:
        """Return the instant in microseconds: for a local time the first at which the clock shows it or later.

        Raises ``ScheduleError`` for a local time that is not in the years 1 to 9999 in UTC.
        """
        if not self.local:
            return self.microseconds
        found = where.first_instant(self.microseconds)
        if not EARLIEST <= found <= LATEST:
            raise _too_far(f"{naive_of(self.microseconds).isoformat()} in {where.name}", self.field, found)
        return found

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


def _instant(at: datetime, field: str) -> int:
    """Return an aware datetime in microseconds, one inside a gap by the rule for named times."""
    instant = to_us(at)
    if not EARLIEST <= instant <= LATEST:
        raise _too_far(at.isoformat(), field, instant)
    naive = at.replace(tzinfo=None)
    if at.tzinfo is UTC or from_us(instant).astimezone(at.tzinfo).replace(tzinfo=None) == naive:
        return instant
    name = zone_name(at.tzinfo)
    return zone(name).first_instant(wall_of(naive)) if name else instant


def _too_far(written: str, field: str, instant: int) -> ScheduleError:
    return ScheduleError(
        f"{field} is {written}, which is not in the years 1 to 9999 in UTC",
        field=field,
        cure="give an earlier one" if instant > 0 else "give a later one",
    )
