"""What may surprise in the entries of an app, found without running them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from celery import Celery
from celery.app.task import Task

from qbeat.beat.app.celery_schedules import CustomSchedule
from qbeat.beat.app.reading import read_entries
from qbeat.beat.clock import SystemClock
from qbeat.beat.entries import Entry
from qbeat.beat.publishing.options import misspelt
from qbeat.beat.publishing.rehearsal import Rehearsal, is_celerys
from qbeat.schedules.base import from_us
from qbeat.schedules.calendars import Calendar
from qbeat.schedules.lint import advice
from qbeat.schedules.wrapping import layers


@dataclass(frozen=True, slots=True)
class Finding:
    """One warning about one entry; ``code`` stays the same when the words change."""

    entry: str
    code: str
    text: str


def check_app(app: Celery) -> tuple[list[Finding], int]:
    """Return the warnings about a loaded app's entries, and how many entries there are."""
    entries = read_entries(app, tell_unknown=False)
    rehearsal = Rehearsal(app)
    with closing(SystemClock()) as clock:
        now = clock.now()
    found = [
        finding
        for entry in entries
        for finding in (*_on_message(app, entry, rehearsal), *_on_schedule(entry, now))
    ]
    return found, len(entries)


def _on_message(app: Celery, entry: Entry, rehearsal: Rehearsal) -> Iterator[Finding]:
    """Yield what is odd about what an entry sends."""
    if entry.canvas is None and entry.task not in app.tasks:
        yield Finding(entry.name, "unknown-task", f"the task {entry.task!r} is not registered in this app")
    error = rehearsal.error_of(entry)
    if error is not None:
        yield Finding(entry.name, "cannot-be-published", f"it cannot be published: {error}")
    if _takes_celerys_options(app, entry):
        for option, meant in misspelt(entry.options):
            yield Finding(
                entry.name, "unknown-option", f"Celery has no option {option!r}; did you mean {meant!r}?"
            )


def _takes_celerys_options(app: Celery, entry: Entry) -> bool:
    task = app.tasks.get(entry.task)
    return task is None or is_celerys(task, Task, "apply_async")


def _on_schedule(entry: Entry, now: int) -> Iterator[Finding]:
    """Yield what may surprise in when an entry fires, asked at ``now`` (microseconds since the epoch)."""
    if entry.policies.move != "skip" and not isinstance(entry.policies.exclude, Calendar):
        yield Finding(
            entry.name,
            "move-without-days",
            f"move={entry.policies.move!r} does nothing: give exclude=Calendar(...), which says what days are off",
        )
    warnings = advice(entry.schedule, from_us(now))
    for warning in warnings:
        yield Finding(entry.name, warning.code, warning.text)
    if not any(warning.code == "years-over" for warning in warnings):
        yield from _on_never(entry, now)


def _on_never(entry: Entry, now: int) -> Iterator[Finding]:
    """Look whether anything lies ahead of ``now`` (microseconds); a schedule of the user's own may raise anything."""
    try:
        upcoming = entry.schedule.next_us(now, now)
    except Exception as error:  # noqa: BLE001 - what it raises is what there is to say
        raised = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
        yield Finding(entry.name, "schedule-fails", f"its schedule cannot say when it fires: {raised}")
        return
    if upcoming is not None:
        return
    if any(isinstance(layer, CustomSchedule) for layer in layers(entry.schedule)):
        yield Finding(
            entry.name,
            "never-due",
            "its is_due says of no time ahead that it is due, as far as qbeat asks: it does not fire before the "
            "next start; its answer should follow from last_run_at and self.now() alone",
        )
        return
    yield Finding(
        entry.name,
        "never-fires",
        f"nothing of it lies ahead, so it never fires from now on: {entry.schedule.describe()}",
    )
