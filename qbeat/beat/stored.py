"""A stored entry's schedule, read back without the app."""

from __future__ import annotations

from qbeat.schedules.base import Schedule, ScheduleError
from qbeat.schedules.codec import from_data
from qbeat.store.records import EntryRecord


def stored_schedule(record: EntryRecord) -> Schedule | None:
    """Return the schedule that a record holds, ``None`` for one that only its app's code can make."""
    try:
        return from_data(record.schedule)
    except ScheduleError:
        return None
