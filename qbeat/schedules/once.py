"""Once: a single fire time, an instant or a local time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any, Self

from qbeat.schedules.base import Schedule
from qbeat.schedules.codec import from_data
from qbeat.schedules.dst import LocalTimes
from qbeat.schedules.moments import Moment
from qbeat.schedules.zones import zone, zone_name


class Once(Schedule):
    """Fires once: at an aware datetime, or at a naive one as local time in ``timezone`` (default: the app's).

    A local time that the clock skips fires when the clock comes out of the gap; one that it shows twice fires on
    the first pass. ``at`` may be ISO 8601 text too. Raises ``ScheduleError``.
    """

    def __init__(self, at: datetime | str, timezone: str | tzinfo | None = None) -> None:
        self._moment = Moment.of(at, field="at")
        self.timezone = zone_name(timezone) if self._moment.local else None
        self._at = self._moment.at(zone(self.timezone or "UTC"))

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_data`` wrote down."""
        return cls(data["at"], data.get("timezone"))

    def next_us(self, after: int, anchor: int = 0) -> int | None:  # noqa: ARG002 - the contract of every schedule
        """Return the one fire time if it is strictly later than ``after``."""
        return self._at if self._at > after else None

    @property
    def local_times(self) -> LocalTimes | None:
        """The one local time, or ``None`` for an instant."""
        if not self._moment.local:
            return None
        wall = self._moment.microseconds
        return LocalTimes(zone(self.timezone or "UTC"), lambda after: wall if wall > after else None)

    def to_data(self) -> dict[str, Any]:
        """Return ``{"kind": "once", "at": ISO 8601}``, with ``timezone`` for a local time."""
        data: dict[str, Any] = {"kind": "once", "at": self._moment.to_data()}
        return data | {"timezone": self.timezone} if self._moment.local else data

    def describe(self) -> str:
        """Say in English when this fires."""
        return f"once, at {self._moment.describe()}" + (f" {self.timezone}" if self.timezone else "")

    def resolve(self, *, name: str, timezone: str) -> Self:  # noqa: ARG002 - the contract of every schedule
        """Return this in ``timezone`` if it is a local time without a zone of its own."""
        if self.timezone or not self._moment.local:
            return self
        return type(self)(self._moment.to_data(), timezone)

    def __reduce__(self) -> tuple[Callable[..., Schedule], tuple[dict[str, Any]]]:
        return from_data, (self.to_data(),)
