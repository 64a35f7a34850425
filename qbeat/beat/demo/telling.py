"""Tells a demo as it happens: one line for each firing and for each answer of the worker."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

import click

from qbeat.beat.demo.journal import Event, Executed, Published
from qbeat.beat.demo.verdict import Verdict

_COLOURS: Final = {"fires": "36", "answers": "32", "fails": "31"}
_WIDTH: Final = 18


class Teller:
    """Writes the events to a terminal or a file; in colour only on a terminal, and never with ``NO_COLOR``."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._in_colour = out.isatty() and not os.environ.get("NO_COLOR")
        self._entries: dict[str, str] = {}

    def say(self, text: str = "") -> None:
        """Write a line."""
        click.echo(text, file=self._out)

    def tell(self, event: Event) -> None:
        """Write the line of one event, if it has one."""
        if isinstance(event, Published):
            self._entries[event.task_id] = event.entry
            lateness = event.at - datetime.fromisoformat(event.fire_time).timestamp()
            self._line(event.at, "fires", event.entry, f"{lateness * 1000:.0f} ms after its fire time")
        elif isinstance(event, Executed):
            entry = self._entries.get(event.root_id, event.task)
            follows = " (the chain goes on)" if event.continues and event.succeeded else ""
            self._line(event.at, "answers" if event.succeeded else "fails", entry, event.answer + follows)

    def _line(self, at: float, what: str, entry: str, text: str) -> None:
        time = datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        word = f"{what:<8}"
        if self._in_colour:
            word = f"\x1b[{_COLOURS[what]}m{word}\x1b[0m"
        self.say(f"{time}  {word}  {entry:<{_WIDTH}}  {text}")


def in_words(verdict: Verdict, *, kept: Path | None) -> str:
    """Return what the demo came to; ``kept`` is the folder that stays, if one does."""
    lines = [
        (
            f"\n{verdict.planned} fire times: {verdict.published} published, {verdict.executed} executed. "
            f"{verdict.tasks_run} tasks ran, {verdict.tasks_failed} of them failed (one task always does)."
        ),
        *(f"  {problem}" for problem in verdict.problems),
        _conclusion(verdict),
        *([f"Everything is still in {kept}."] if kept else []),
    ]
    return "\n".join(lines)


def _conclusion(verdict: Verdict) -> str:
    if verdict.ok:
        return "Every fire time was published once and executed once."
    return "That is not as it should be." if verdict.problems else "It ended before anything was due."
