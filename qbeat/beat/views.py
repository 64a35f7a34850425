"""Records of the store as the objects that ``--json`` prints. Needs no app."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any

from qbeat.beat.instants import iso, iso_or_none
from qbeat.beat.stored import stored_schedule
from qbeat.schedules.base import Schedule, from_us
from qbeat.schedules.bounds import firings_left, max_runs_of
from qbeat.schedules.lint import note
from qbeat.store.records import EntryRecord, HistoryRecord


def entry_object(record: EntryRecord) -> dict[str, Any]:
    """Return an entry as ``list --json`` prints it."""
    return {
        "name": record.name,
        "task": record.task,
        "schedule": describe(record),
        "timezone": record.timezone,
        "origin": record.origin,
        "paused": record.pause is not None,
        "next_fire_time": iso_or_none(record.next_fire_time),
        "last_fire_time": iso_or_none(record.last_fire_time),
        "last_published_at": iso_or_none(record.last_published_at),
        "total_run_count": record.total_run_count,
    }


def history_object(record: HistoryRecord) -> dict[str, Any]:
    """Return a fire time's outcome as ``history --json`` prints it; a run of skips has ``until`` and ``count`` too."""
    late = None
    if record.published_at is not None:
        late = round((record.published_at - record.fire_time) / 1_000, 3)
    found = {
        "entry": record.entry,
        "fire_time": iso(record.fire_time),
        "lane": record.lane,
        "outcome": record.outcome,
        "reason": record.reason,
        "task_id": record.task_id,
        "published_at": iso_or_none(record.published_at),
        "lateness_ms": late,
    }
    if record.outcome == "skipped":
        found |= {"until": iso(record.last_fire_time), "count": record.count}
    return found


def describe(record: EntryRecord) -> str:
    """Say in English when the entry fires."""
    schedule = stored_schedule(record)
    if schedule is None:
        return str(record.schedule.get("text", record.schedule.get("kind")))
    return schedule.describe()


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A fire time to come, with a note where a change of the clock moves it."""

    entry: str
    fire_time: int
    note: str | None = None


def upcoming(records: list[EntryRecord], after: int, limit: int) -> list[Upcoming]:
    """Return the next ``limit`` fire times of all ``records`` together, after an instant in microseconds."""
    streams = [_fire_times(record, after) for record in records]
    schedules = {record.name: stored_schedule(record) for record in records}
    return [
        Upcoming(name, fire_time, _note(schedules[name], fire_time))
        for fire_time, name in islice(merge(*streams), limit)
    ]


def fire_times(schedule: Schedule, name: str, after: int, limit: int) -> list[Upcoming]:
    """Return the next ``limit`` fire times of one schedule."""
    return [
        Upcoming(name, fire_time, _note(schedule, fire_time))
        for fire_time in islice(_walk(schedule, after, 0), limit)
    ]


def _fire_times(record: EntryRecord, after: int) -> Iterator[tuple[int, str]]:
    schedule = stored_schedule(record)
    if schedule is not None:
        times = _walk(schedule, max(after, record.cursor), record.anchor)
        left = firings_left(max_runs_of(schedule), record.total_run_count)
        yield from ((at, record.name) for at in islice(times, left))
    elif record.next_fire_time is not None:
        yield record.next_fire_time, record.name


def _walk(schedule: Schedule, after: int, anchor: int) -> Iterator[int]:
    fire_time = schedule.next_us(after, anchor)
    while fire_time is not None:
        yield fire_time
        fire_time = schedule.next_us(fire_time, anchor)


def _note(schedule: Schedule | None, fire_time: int) -> str | None:
    return None if schedule is None else note(schedule, from_us(fire_time))
