"""A scheduler of the plug-in's, built as Celery's service builds it, on a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from qbeat.beat.plugin.scheduler import QbeatScheduler
from qbeat.store import open_store
from qbeat.store.base import StoreUnusable
from qbeat.store.records import EntryRecord


def tick(*args: Any) -> Any:
    """Do nothing much."""
    return args


class Plugged:
    """An app with a task `tick` and the schedulers that are made for it, all on one store."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.store = folder / "store.db"
        self.app = Celery("plugged", broker=broker, set_as_current=False)
        self.app.conf.update(result_expires=None, qbeat_store=str(self.store))
        self.app.task(name="tasks.tick")(tick)
        self._made: list[QbeatScheduler] = []

    def declares(self, name: str, schedule: Any, *args: Any, **entry: Any) -> None:
        """Put an entry of the task into `beat_schedule`."""
        self.app.conf.beat_schedule[name] = {
            "task": "tasks.tick",
            "schedule": schedule,
            "args": args,
            **entry,
        }

    def scheduler(self, kind: type[QbeatScheduler] = QbeatScheduler, **arguments: Any) -> QbeatScheduler:
        """Build one with the arguments that Celery's service gives."""
        given = {"schedule_filename": "celerybeat-schedule", "max_interval": 0, "lazy": False, **arguments}
        made = kind(**{"app": self.app, **given})
        self._made.append(made)
        return made

    def records(self) -> dict[str, EntryRecord]:
        """The entries in the store that are not retired."""
        try:
            with open_store(str(self.store), create=False) as store:
                return {record.name: record for record in store.entries() if record.retired_at is None}
        except StoreUnusable:
            return {}  # it is still being made

    def ends(self) -> None:
        """Close what was made."""
        for made in self._made:
            made.close()
        self.app.close()


@pytest.fixture
def plugged(tmp_path: Path, redis_url: str) -> Iterator[Plugged]:
    """An app on an empty broker, with an empty store."""
    one = Plugged(tmp_path, redis_url)
    yield one
    one.ends()


def ticking(scheduler: QbeatScheduler, predicate: Callable[[], Any]) -> Callable[[], Any]:
    """Return a predicate for `eventually` that ticks before it looks."""

    def look() -> Any:
        scheduler.tick()
        return predicate()

    return look
