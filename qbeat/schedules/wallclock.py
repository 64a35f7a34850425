"""Schedules of calendar fields in a time zone: what Celery's crontab and cron strings have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any

from qbeat.schedules.base import Schedule, Span
from qbeat.schedules.codec import from_data
from qbeat.schedules.dst import Fold, Gap, LocalTimes, checked_fold, checked_gap, next_instant
from qbeat.schedules.search import Fields, compiled
from qbeat.schedules.tally import count_fires
from qbeat.schedules.zones import Zone, zone, zone_name


class FieldSchedule(Schedule):
    """Field sets, a time zone and the rule across clock changes.

    ``timezone`` is the zone's name or ``None`` until ``resolve`` fills it in; until then the fields count in UTC.
    """

    timezone: str | None
    fold: Fold
    gap: Gap

    def _set_up(self, fields: Fields, timezone: str | tzinfo | None, fold: str, gap: str) -> None:
        self.timezone = zone_name(timezone)
        self.fold = checked_fold(fold)
        self.gap = checked_gap(gap)
        self._zone = zone(self.timezone or "UTC")
        self._search = compiled(fields)

    @property
    def fields(self) -> Fields:
        """The field sets."""
        return self._search.fields

    @property
    def zone(self) -> Zone:
        """The time zone in which the fields count."""
        return self._zone

    @property
    def local_times(self) -> LocalTimes:
        """The walls that match and how clock changes are taken."""
        search = self._search
        return LocalTimes(self._zone, search.next_wall, search.all_hours, self.fold, self.gap)

    def next_us(self, after: int, anchor: int = 0) -> int | None:  # noqa: ARG002 - the contract of every schedule
        """Return the first fire time strictly later than ``after``, in microseconds since the epoch."""
        search = self._search
        return next_instant(self._zone, search.next_wall, after, search.all_hours, self.fold, self.gap)

    def span(self, after: int, until: int, anchor: int = 0) -> Span | None:
        """Return what fires in ``(after, until]``, counted by arithmetic however long that is."""
        first = self.next_us(after, anchor)
        if first is None or first > until:
            return None
        count = count_fires(self.fields, self._zone, after, until, self.fold, self.gap)
        return Span(first, self._last_us(first, until, anchor), count)

    def _zone_data(self) -> dict[str, Any]:
        """Return the plain data of what is not in the fields, defaults left out."""
        data: dict[str, Any] = {"timezone": self.timezone}
        if self.fold != "once":
            data["fold"] = self.fold
        if self.gap != "fire":
            data["gap"] = self.gap
        return data

    def __reduce__(self) -> tuple[Callable[..., Schedule], tuple[dict[str, Any]]]:
        return from_data, (self.to_data(),)
