"""qbeat's schedules as Celery's objects, for code that looks at the schedule of a Celery entry."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedstate
from celery.schedules import schedule as celery_interval

from qbeat.beat.entries import Entry
from qbeat.schedules import Cron, Crontab, Interval, Schedule
from qbeat.schedules.base import to_us
from qbeat.schedules.wrapping import innermost, layers, zone_of


class FireTimes(BaseSchedule):
    """A schedule of qbeat's that Celery has no word for: it is due when a fire time has passed."""

    def __init__(self, schedule: Schedule, app: Celery | None = None) -> None:
        super().__init__(app=app)
        self.original = schedule

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return the time until the next fire time; a day where there is none any more."""
        after = _instant(last_run_at)
        upcoming = self.original.next_us(after, after)
        if upcoming is None:
            return timedelta(days=1)
        return timedelta(microseconds=upcoming - _instant(self.now()))

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Return whether a fire time has passed since, and the seconds until the one after."""
        left = self.remaining_estimate(last_run_at).total_seconds()
        if left > 0:
            return schedstate(is_due=False, next=left)
        return schedstate(is_due=True, next=self.remaining_estimate(self.now()).total_seconds())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FireTimes) and self.original == other.original

    def __hash__(self) -> int:
        return hash(self.original)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.original,)

    def __repr__(self) -> str:
        return f"<{self.original!r}>"


class CronFireTimes(FireTimes, crontab):
    """A cron string of five fields, or a crontab with a zone of its own: monitors read its fields' texts."""

    def __init__(self, schedule: Schedule, app: Celery | None = None) -> None:
        FireTimes.__init__(self, schedule, app)
        [inner] = [layer for layer in layers(schedule) if isinstance(layer, (Cron, Crontab))]
        for field, text in _texts(inner).items():
            setattr(self, f"_orig_{field}", text)
        zone = zone_of(inner)
        if zone is not None:
            self.tz = ZoneInfo(zone)

    __hash__ = FireTimes.__hash__


def celery_schedule_of(entry: Entry, app: Celery) -> BaseSchedule:
    """Return the schedule of ``entry`` as Celery would have it: what the code declares, or its nearest kin."""
    if entry.celery_schedule is not None:
        found: BaseSchedule = entry.celery_schedule
        return found
    inner = innermost(entry.schedule)
    return as_celery(inner if isinstance(inner, Interval) else entry.schedule, app)


def as_celery(schedule: Schedule, app: Celery | None) -> BaseSchedule:
    """Return an object that Celery's code takes for a schedule of its own."""
    inner = innermost(schedule)
    if isinstance(schedule, Interval):
        return celery_interval(schedule.every, schedule.relative, app=app)
    if isinstance(inner, Crontab) or (isinstance(inner, Cron) and inner.seconds is None):
        return CronFireTimes(schedule, app)
    return FireTimes(schedule, app)


def _texts(schedule: Cron | Crontab) -> dict[str, str]:
    if isinstance(schedule, Crontab):
        return schedule.texts
    names = {"month": "month_of_year"}
    return {names.get(name, name): text for name, text in schedule.parts.items()}


def _instant(moment: datetime) -> int:
    """Return microseconds since the epoch; a naive moment is local time, as in Celery."""
    return to_us(moment if moment.tzinfo else moment.astimezone())
