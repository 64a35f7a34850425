"""Records of the store as the objects that ``--json`` prints. Needs no app."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Any

from qbeat.beat.instants import iso, iso_or_none
from qbeat.beat.stored import stored_schedule
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


def upcoming(records: list[EntryRecord], after: int, limit: int) -> list[tuple[str, int]]:
    """Return the next ``limit`` fire times of all ``records`` together: (entry, microseconds)."""
    streams = [_fire_times(record, after) for record in records]
    return [(name, fire_time) for fire_time, name in islice(merge(*streams), limit)]


def _fire_times(record: EntryRecord, after: int) -> Iterator[tuple[int, str]]:
    schedule = stored_schedule(record)
    if schedule is None:
        if record.next_fire_time is not None:
            yield record.next_fire_time, record.name
        return
    fire_time = schedule.next_us(max(after, record.cursor), record.anchor)
    while fire_time is not None:
        yield fire_time, record.name
        fire_time = schedule.next_us(fire_time, record.anchor)
