"""What happens in a demo, one JSON line each, in a file that its processes append to and the demo reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker takes tasks."""

    kind: ClassVar = "ready"
    at: float


@dataclass(frozen=True, slots=True)
class Published:
    """A message of a firing went to the broker. ``at`` is in seconds since the epoch."""

    kind: ClassVar = "published"
    at: float
    entry: str
    fire_time: str
    """ISO 8601, as in the message's header."""
    task_id: str
    """Of this message; for a chain, that of its first task."""


@dataclass(frozen=True, slots=True)
class Executed:
    """A worker came to the end of a task. ``at`` is in seconds since the epoch."""

    kind: ClassVar = "executed"
    at: float
    task: str
    task_id: str
    root_id: str
    parent_id: str | None
    answer: str
    """What it returned or how it failed."""
    _: KW_ONLY
    succeeded: bool
    continues: bool
    """Whether a chain goes on after this task."""


Event = Ready | Published | Executed
_KINDS: dict[str, type[Event]] = {kind.kind: kind for kind in (Ready, Published, Executed)}


def append(path: Path, event: Event) -> None:
    """Add an event; processes may do so at the same time."""
    line = json.dumps({"kind": event.kind, **asdict(event)}) + "\n"
    # One write of a file opened for appending is one line, whoever else writes.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


class Reader:
    """Reads a journal from its beginning, as far as it goes; asked again, what has come since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def events(self) -> Iterator[Event]:
        """Yield the events since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                fields = json.loads(line)
                yield _KINDS[fields.pop("kind")](**fields)
