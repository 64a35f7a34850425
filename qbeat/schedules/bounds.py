"""Bounds: another schedule from a start, until an end, and at most so many times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final, Self

from qbeat.schedules.base import EPOCH, Schedule, ScheduleError
from qbeat.schedules.codec import from_data
from qbeat.schedules.interval import Interval
from qbeat.schedules.moments import Moment
from qbeat.schedules.wrapping import Wrapping, innermost, layers, zone_of
from qbeat.schedules.zones import zone, zone_name

_EARLIEST: Final = (datetime(1900, 1, 1, tzinfo=EPOCH.tzinfo) - EPOCH) // timedelta(microseconds=1)


class Bounded(Wrapping):
    """Fires when ``inner`` does, from ``start`` until ``end``, both included.

    ``start`` and ``end`` are aware datetimes, or naive ones (or ISO 8601 text) as local time in ``timezone``
    (default: the zone of ``inner``, then the app's). An interval counts from ``start`` when that is later than its
    anchor, and fires at ``start`` itself. ``max_runs`` is carried for the caller, who knows how often the entry has
    fired: see ``firings_left``. Raises ``ScheduleError``.
    """

    def __init__(
        self,
        inner: Schedule,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        max_runs: int | None = None,
        timezone: str | tzinfo | None = None,
    ) -> None:
        self.inner = inner
        self.max_runs = _checked_runs(max_runs)
        self._start = None if start is None else Moment.of(start, field="start")
        self._end = None if end is None else Moment.of(end, field="end")
        self.timezone = zone_name(timezone) or zone_of(inner)
        where = zone(self.timezone or "UTC")
        self._start_us = None if self._start is None else self._start.at(where)
        self._end_us = None if self._end is None else self._end.at(where)
        self._step = _step_of(inner)
        self._refuse_backwards()

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_data`` wrote down."""
        arguments = {name: value for name, value in data.items() if name not in {"kind", "inner"}}
        return cls(from_data(data["inner"]), **arguments)

    def next_us(self, after: int, anchor: int = 0) -> int | None:
        """Return the first fire time of ``inner`` strictly later than ``after`` and within the bounds."""
        start = self._start_us
        if start is not None:
            after = max(after, start - 1)
            anchor = start - self._step if start > anchor else anchor
        if self._end_us is not None and after >= self._end_us:
            return None
        found = self.inner.next_us(after, anchor)
        return None if found is None or (self._end_us is not None and found > self._end_us) else found

    def to_data(self) -> dict[str, Any]:
        """Return ``{"kind": "bounded", "inner": …}`` and those bounds that are set."""
        data: dict[str, Any] = {"kind": "bounded", "inner": self.inner.to_data()}
        bounds = {"start": self._start, "end": self._end}
        data |= {name: moment.to_data() for name, moment in bounds.items() if moment is not None}
        if self.max_runs is not None:
            data["max_runs"] = self.max_runs
        return data | {"timezone": self.timezone} if self._has_local else data

    def describe(self) -> str:
        """Say in English when this fires."""
        parts = [self.inner.describe()]
        if self._start is not None:
            parts.append(f"from {self._start.describe()}")
        if self._end is not None:
            parts.append(f"until {self._end.describe()}")
        if self.max_runs is not None:
            parts.append("once at most" if self.max_runs == 1 else f"at most {self.max_runs} times")
        return ", ".join(parts)

    def resolve(self, *, name: str, timezone: str) -> Self:
        """Return this with ``inner`` as the entry uses it, its local bounds in ``timezone`` unless they have a zone.

        Raises ``ScheduleError`` if nothing can fire between ``start`` and ``end``.
        """
        inner = self.inner.resolve(name=name, timezone=timezone)
        data = self.to_data() | {"inner": inner.to_data()}
        if self._has_local:
            data["timezone"] = self.timezone or zone_of(inner) or timezone
        resolved = self if data == self.to_data() else self.from_data(data)
        resolved._refuse_never()  # noqa: SLF001 - another of this class
        return resolved

    @property
    def _has_local(self) -> bool:
        return any(moment is not None and moment.local for moment in (self._start, self._end))

    def _refuse_backwards(self) -> None:
        if self._start_us is not None and self._end_us is not None and self._end_us < self._start_us:
            raise ScheduleError("end lies before start", field="end", cure="give an end after the start")

    def _refuse_never(self) -> None:
        if self._end_us is not None and self.next_us(_EARLIEST, _EARLIEST) is None:
            raise ScheduleError(
                f"{self.inner.describe()} has no fire time within the bounds: this can never fire",
                field="end",
                cure="move start or end",
            )


def firings_left(max_runs: int | None, fired: int) -> int | None:
    """Return how often an entry that has fired ``fired`` times may still fire (``None``: as often as it likes)."""
    return None if max_runs is None else max(0, max_runs - fired)


def max_runs_of(schedule: Schedule) -> int | None:
    """Return the smallest ``max_runs`` among the bounds that the schedule is wrapped in, ``None`` if there is none."""
    bounds = (layer for layer in layers(schedule) if isinstance(layer, Bounded))
    return min((each.max_runs for each in bounds if each.max_runs is not None), default=None)


def _checked_runs(max_runs: object) -> int | None:
    if max_runs is None:
        return None
    if isinstance(max_runs, bool) or not isinstance(max_runs, int) or max_runs < 1:
        raise ScheduleError(
            f"max_runs is {max_runs!r}", field="max_runs", cure="give a whole number from 1 on"
        )
    return max_runs


def _step_of(schedule: Schedule) -> int:
    """Return the step of the interval that the schedule is or wraps, 0 if there is none."""
    inner = innermost(schedule)
    return inner.every // timedelta(microseconds=1) if isinstance(inner, Interval) else 0
