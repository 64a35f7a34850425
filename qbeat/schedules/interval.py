"""An interval: a grid of equal steps from an anchor, in elapsed time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final, Self

from qbeat.schedules.base import LATEST, SECOND, Schedule, ScheduleError, Span, from_us, to_us
from qbeat.schedules.codec import from_data
from qbeat.schedules.durations import parse_duration
from qbeat.schedules.words import describe_duration
from qbeat.schedules.zones import DAY, HOUR, MINUTE, zone, zone_name

SHORTEST: Final = 1000
"""Microseconds; a shorter interval is refused."""

_PLACES: Final = {DAY: "at midnight", HOUR: "on the hour", MINUTE: "on the minute", SECOND: "on the second"}


class Interval(Schedule):
    """Fires at anchor + k * every for k = 1, 2, …: elapsed time, whatever the clocks do.

    ``every`` is a ``timedelta``, a number of seconds or a text such as ``"1h30m"``, from a millisecond to a
    century. With ``relative=True`` fire times are rounded down to the unit of the interval (day, hour, minute,
    second) on the local clock, as Celery does; that is what ``timezone`` is for. Raises ``ScheduleError``.
    """

    def __init__(
        self,
        every: timedelta | float | str,
        relative: bool = False,
        timezone: str | tzinfo | None = None,
    ) -> None:
        self._every_us = parse_duration(every, field="every")
        if self._every_us < SHORTEST:
            raise ScheduleError(f"every is {every!r}", field="every", cure="give at least a millisecond")
        self.relative = bool(relative)
        self.timezone = zone_name(timezone) if relative else None
        self._unit = next((unit for unit in _PLACES if self._every_us >= unit), 0) if relative else 0

    @property
    def every(self) -> timedelta:
        """The length of a step."""
        return timedelta(microseconds=self._every_us)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the interval that ``to_data`` wrote down."""
        return cls(**{name: value for name, value in data.items() if name != "kind"})

    def next_us(self, after: int, anchor: int = 0) -> int | None:
        """Return the first point of the grid strictly later than ``after``; all are later than the anchor."""
        if self._unit:
            found = self._next_rounded(after, anchor)
        else:
            every = self._every_us
            found = anchor + every * max(1, (after - anchor) // every + 1)
        return found if found <= LATEST else None

    def next_after(self, instant: datetime, anchor: datetime | None = None) -> datetime | None:
        """Return the first fire time strictly later than ``instant``, on the grid from ``anchor`` (default: 1970)."""
        found = self.next_us(to_us(instant), 0 if anchor is None else to_us(anchor))
        return None if found is None else from_us(found)

    def span(self, after: int, until: int, anchor: int = 0) -> Span | None:
        """Return what fires in ``(after, until]``, by arithmetic alone."""
        if self._unit:
            return super().span(after, until, anchor)
        every = self._every_us
        first = max(1, (after - anchor) // every + 1)
        last = (until - anchor) // every
        if last < first:
            return None
        return Span(anchor + first * every, anchor + last * every, last - first + 1)

    def to_data(self) -> dict[str, Any]:
        """Return ``{"kind": "interval", "every": seconds}``, with ``relative`` and ``timezone`` if it is relative."""
        seconds = self._every_us // SECOND if self._every_us % SECOND == 0 else self._every_us / SECOND
        data: dict[str, Any] = {"kind": "interval", "every": seconds}
        return data | {"relative": True, "timezone": self.timezone} if self.relative else data

    def describe(self) -> str:
        """Say in English when this fires."""
        text = f"every {describe_duration(self.every)}"
        if not self._unit:
            return text
        where = f" ({self.timezone})" if self.timezone else ""
        return f"{text}, {_PLACES[self._unit]}{where}"

    def resolve(self, *, name: str, timezone: str) -> Self:  # noqa: ARG002 - the contract of every schedule
        """Return this interval in ``timezone`` if it is relative and has no zone of its own."""
        return (
            type(self)(self.every, relative=True, timezone=timezone)
            if self.relative and self.timezone is None
            else self
        )

    def __reduce__(self) -> tuple[Callable[..., Schedule], tuple[dict[str, Any]]]:
        return from_data, (self.to_data(),)

    def _next_rounded(self, after: int, anchor: int) -> int:
        return (self._next_day if self._unit == DAY else self._next_unit)(max(after, anchor), anchor)

    def _next_day(self, after: int, anchor: int) -> int:
        """Return the next local midnight of the days that are whole steps of days away from the first one."""
        where = zone(self.timezone or "UTC")
        step = self._every_us // DAY
        first = (where.local(anchor) + self._every_us) // DAY
        day = first + max(0, (where.high_water(after) // DAY - first) // step) * step
        while True:
            for midnight in where.instants(day * DAY) or [where.first_instant(day * DAY)]:
                if midnight > after:
                    return midnight
            day += step

    def _next_unit(self, after: int, anchor: int) -> int:
        """Return the next point of an elapsed grid, each rounded down to the unit on the local clock."""
        where = zone(self.timezone or "UTC")
        unit = self._unit
        step = self._every_us // unit * unit
        first = self._rounded(anchor + self._every_us)
        point = first + max(0, (after - first) // step) * step
        while True:
            rounded = point - where.local(point) % unit
            if rounded > after:
                return rounded
            point += step

    def _rounded(self, instant: int) -> int:
        return instant - zone(self.timezone or "UTC").local(instant) % self._unit
