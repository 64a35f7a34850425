"""Says which fire times there should have been, and holds them against what the store and the broker have."""

from __future__ import annotations

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from kombu.connection import Connection

from qbeat.beat.instants import iso
from qbeat.schedules.codec import from_data
from qbeat.store import open_store
from qbeat.store.records import EntryRecord, HistoryRecord


def write_app(folder: Path, broker: str, entries: str) -> None:
    """Write `tasks.py` with a task `tick` and these lines in its hook."""
    lines = dedent(entries).strip().replace("\n", "\n    ")
    (folder / "tasks.py").write_text(
        f"""
from celery import Celery

app = Celery("tasks", broker={broker!r})
app.conf.result_expires = None


@app.task
def tick(name):
    return name


@app.on_after_finalize.connect
def set_up(sender, **kwargs):
    {lines}
"""
    )


@dataclass(frozen=True)
class Message:
    """A published firing as the broker holds it."""

    task_id: str
    entry: str
    fire_time: str


def messages_in(redis: Any, queue: str = "celery") -> list[Message]:
    """Read all that waits in a Redis queue, without taking it."""
    return [_message(json.loads(raw)) for raw in redis.lrange(queue, 0, -1)]


def _message(payload: Mapping[str, Any]) -> Message:
    headers = payload["headers"]
    return Message(headers["id"], headers["qbeat"]["entry"], headers["qbeat"]["fire_time"])


def body_of(raw: bytes) -> Any:
    """Decode the body of a message in a Redis queue."""
    return json.loads(base64.b64decode(json.loads(raw)["body"]))


class Ledger:
    """What a store says happened, read once."""

    def __init__(self, url: str) -> None:
        with open_store(url, create=False) as store:
            self.entries: dict[str, EntryRecord] = {record.name: record for record in store.entries()}
            self.history: list[HistoryRecord] = list(store.history())

    def problems(self) -> list[str]:
        """Return every fire time of every entry up to its cursor that does not have exactly one outcome."""
        found: list[str] = []
        for record in self.entries.values():
            outcomes = self._outcomes(record.name)
            expected = _fire_times(record)
            found += [f"{record.name} {iso(at)}: no outcome" for at in expected if not outcomes[at]]
            found += [f"{record.name} {iso(at)}: {n} outcomes" for at, n in outcomes.items() if n > 1]
            extra = outcomes.keys() - set(expected)
            found += [f"{record.name} {iso(at)}: is no fire time" for at in sorted(extra)]
        return found

    def fire_times(self) -> int:
        """Return how many fire times there were up to the cursors, of all entries."""
        return sum(len(_fire_times(record)) for record in self.entries.values())

    def _outcomes(self, name: str) -> Counter[int]:
        schedule, anchor = self._schedule(name)
        outcomes: Counter[int] = Counter()
        for record in self.history:
            if record.entry != name:
                continue
            at: int | None = record.fire_time
            covered = 0
            while at is not None and at <= record.last_fire_time:
                outcomes[at] += 1
                covered += 1
                at = schedule.next_us(at, anchor)
            assert record.count in {covered, None}, f"{record} covers {covered} fire times"
        return outcomes

    def _schedule(self, name: str) -> tuple[Any, int]:
        record = self.entries[name]
        return from_data(record.schedule), record.anchor

    def count(self, outcome: str, reason: str | None = None) -> int:
        """Return how many fire times ended so."""
        return sum(
            record.count or 0
            for record in self.history
            if record.outcome == outcome and (reason is None or record.reason == reason)
        )

    def task_ids(self, *outcomes: str) -> set[str]:
        return {
            record.task_id
            for record in self.history
            if record.task_id is not None and (not outcomes or record.outcome in outcomes)
        }


def _fire_times(record: EntryRecord) -> list[int]:
    schedule = from_data(record.schedule)
    found: list[int] = []
    at = schedule.next_us(record.anchor, record.anchor)
    while at is not None and at <= record.cursor:
        found.append(at)
        at = schedule.next_us(at, record.anchor)
    return found


def under_two_ids(messages: Iterable[Message]) -> dict[tuple[str, str], set[str]]:
    """Return the fire times that were published under more than one task id."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for message in messages:
        ids[message.entry, message.fire_time].add(message.task_id)
    return {key: found for key, found in ids.items() if len(found) > 1}


def drain(url: str) -> list[Message]:
    """Take all messages out of RabbitMQ's queue `celery`."""
    found: list[Message] = []
    with Connection(url) as connection:
        queue: Any = connection.SimpleQueue("celery")
        while True:
            try:
                message = queue.get(timeout=1)
            except queue.Empty:
                return found
            headers = message.headers
            found.append(Message(headers["id"], headers["qbeat"]["entry"], headers["qbeat"]["fire_time"]))
            message.ack()
