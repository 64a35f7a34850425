"""What may surprise in the entries of an app, found without running them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from celery import Celery

from qbeat.beat.clock import SystemClock
from qbeat.beat.entries import Entry
from qbeat.beat.reading import read_entries
from qbeat.schedules.base import from_us
from qbeat.schedules.lint import advice


@dataclass(frozen=True, slots=True)
class Finding:
    """One warning about one entry; ``code`` stays the same when the words change."""

    entry: str
    code: str
    text: str


def check_app(app: Celery) -> tuple[list[Finding], int]:
    """Return the warnings about a loaded app's entries, and how many entries there are."""
    entries = read_entries(app)
    return [finding for entry in entries for finding in _findings(app, entry)], len(entries)


def _findings(app: Celery, entry: Entry) -> Iterator[Finding]:
    if entry.canvas is None and entry.task not in app.tasks:
        yield Finding(entry.name, "unknown-task", f"the task {entry.task!r} is not registered in this app")
    now = from_us(SystemClock().now())
    for warning in advice(entry.schedule, now):
        yield Finding(entry.name, warning.code, warning.text)
