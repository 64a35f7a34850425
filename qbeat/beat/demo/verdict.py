"""Judges a demo: was every fire time published once and executed once?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from qbeat.beat.demo.journal import Event, Executed, Published
from qbeat.beat.instants import iso
from qbeat.schedules.codec import from_data
from qbeat.store.records import AUTO, EntryRecord, HistoryRecord

Fire = tuple[str, int]
"""An entry's name and one of its fire times, in microseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts of a demo. Without ``problems`` every fire time was published once and executed once."""

    entries: int
    planned: int
    """Fire times of the span."""
    published: int
    """Of these, how many the history shows as published."""
    executed: int
    """Of these, how many a worker came to the end of, succeeding or not."""
    tasks_run: int
    """Executions in all: the tasks of a chain count each."""
    tasks_failed: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is amiss, and anything fired at all."""
        return not self.problems and self.planned > 0

    def as_json(self) -> dict[str, Any]:
        """Return the counts, ``ok`` and the problems, ready for JSON."""
        names = ("entries", "planned", "published", "executed", "tasks_run", "tasks_failed")
        return {
            "ok": self.ok,
            **{name: getattr(self, name) for name in names},
            "problems": list(self.problems),
        }


def planned_fires(records: Iterable[EntryRecord], until: int) -> set[Fire]:
    """Return the fire times of all entries from their first registration to ``until`` (microseconds)."""
    return {(record.name, fire_time) for record in records for fire_time in _fire_times(record, until)}


def judge(
    plan: set[Fire], until: int, history: Collection[HistoryRecord], events: Collection[Event]
) -> Verdict:
    """Compare what should have fired up to ``until`` with what the store, the broker and the worker saw.

    What fired after ``until`` is not asked for, but what was published must be executed once, too.
    """
    rows = [row for row in history if row.lane == AUTO]
    published = {(row.entry, row.fire_time): row for row in rows if row.outcome == "published"}
    runs = Counter(event.task_id for event in events if isinstance(event, Executed))
    executed = {fire for fire, row in published.items() if runs[row.task_id or ""] == 1}
    problems = [
        *_unpublished(plan - set(published), rows),
        *_unplanned({fire for fire in published if fire[1] <= until} - plan),
        *_published_more_than_once(rows, events),
        *(
            f"{_named(fire)} was published and not executed"
            for fire in sorted(published)
            if not runs[published[fire].task_id or ""]
        ),
        *_executed_wrongly(events),
    ]
    return Verdict(
        entries=len({name for name, _ in plan}),
        planned=len(plan),
        published=len(plan & set(published)),
        executed=len(plan & executed),
        tasks_run=runs.total(),
        tasks_failed=sum(isinstance(event, Executed) and not event.succeeded for event in events),
        problems=tuple(problems),
    )


def is_complete(plan: set[Fire], history: Collection[HistoryRecord]) -> bool:
    """Say whether the history has an outcome for each planned fire time."""
    settled = {(row.entry, row.fire_time) for row in history if row.lane == AUTO and row.outcome != "claimed"}
    return plan <= settled


def all_executed(history: Collection[HistoryRecord], events: Collection[Event]) -> bool:
    """Say whether each published firing has come to its end, a chain at its last task."""
    ended = {event.task_id for event in events if isinstance(event, Executed)}
    return {row.task_id for row in history if row.outcome == "published"} <= ended


def _fire_times(record: EntryRecord, until: int) -> Iterator[int]:
    schedule = from_data(record.schedule)
    fire_time = schedule.next_us(record.anchor, record.anchor)
    while fire_time is not None and fire_time <= until:
        yield fire_time
        fire_time = schedule.next_us(fire_time, record.anchor)


def _unpublished(missing: set[Fire], rows: Collection[HistoryRecord]) -> Iterator[str]:
    outcomes = {(row.entry, row.fire_time): row for row in rows}
    for fire in sorted(missing):
        row = outcomes.get(fire)
        became = f"the history says {row.outcome} ({row.reason})" if row else "the history does not know it"
        yield f"{_named(fire)} was not published: {became}"


def _unplanned(fires: set[Fire]) -> Iterator[str]:
    for fire in sorted(fires):
        yield f"{_named(fire)} was published, and is no fire time of its schedule"


def _published_more_than_once(rows: Collection[HistoryRecord], events: Collection[Event]) -> Iterator[str]:
    recorded = Counter((row.entry, iso(row.fire_time)) for row in rows if row.outcome == "published")
    sent = Counter((event.entry, event.fire_time) for event in events if isinstance(event, Published))
    for entry, fire_time in sorted(recorded | sent):
        count = max(recorded[entry, fire_time], sent[entry, fire_time])
        if count > 1:
            yield f"{entry!r} at {fire_time} was published {count} times"


def _executed_wrongly(events: Collection[Event]) -> Iterator[str]:
    executions = [event for event in events if isinstance(event, Executed)]
    roots = {event.task_id for event in events if isinstance(event, Published)}
    runs = Counter(event.task_id for event in executions)
    children = Counter(event.parent_id for event in executions)
    for event in executions:
        if runs[event.task_id] > 1:
            yield f"task {event.task} {event.task_id} was executed {runs[event.task_id]} times"
        if event.root_id not in roots:
            yield f"task {event.task} {event.task_id} was executed, and nothing published it"
        if event.continues and event.succeeded and children[event.task_id] != 1:
            yield f"the chain after task {event.task} {event.task_id} went on {children[event.task_id]} times"


def _named(fire: Fire) -> str:
    return f"{fire[0]!r} at {iso(fire[1])}"
