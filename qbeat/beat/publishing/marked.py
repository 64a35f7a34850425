"""Publishing exactly once on a Redis broker: a mark beside the queue keeps each entry's last fire time.

One script compares the mark, pushes and moves it. A firing that is published again after a crash finds the
mark where the first try left it, and sends nothing. This rests on the order in which an entry's firings are
published, which the outbox keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, cast

import redis
from celery import Celery

from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Job, Verdict
from qbeat.beat.publishing.capture import Capture
from qbeat.beat.publishing.plain import PlainScheduler, PlainSender, explain
from qbeat.beat.publishing.templates import Templates, instant
from qbeat.store.records import AUTO, Firing, Message

MARKS: Final = "qbeat:marks"
"""The hash of marks, in the broker's database."""

_SCRIPT: Final = files(__package__).joinpath("push_marked.lua").read_text("utf-8")

Answer = tuple[Verdict, str | None]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A firing's messages, ready to be pushed."""

    firing: Firing
    messages: Sequence[Message]


class MarkedSender(PlainSender):
    """Lets Celery render each firing, captures what would be pushed, and pushes a batch through the script."""

    exactly_once = True
    batch = 500

    def __init__(self, app: Celery, scheduler: PlainScheduler, templates: Templates | None = None) -> None:
        super().__init__(app, scheduler)
        self._templates = Templates(app) if templates is None else templates
        self._capture: Capture | None = None
        self._push: Any = None

    def connect(self) -> None:
        if self.is_connected:
            return
        super().connect()
        channel = self._producer.channel
        self._capture = Capture(channel)
        # A client of its own on the channel's connections: Kombu's would put its key prefix before the marks.
        client = redis.Redis(connection_pool=channel.pool)
        self._push = client.register_script(_SCRIPT)

    def render(self, job: Job) -> Sequence[Message]:
        """Return the messages that Kombu would have pushed for a job.

        Raises ``ValueError`` if there are none, ``ConnectionError`` while the broker is away.
        """
        self.connect()
        rendered: list[Rendered] = []
        answer = self._render(job, rendered)
        if answer is not None:
            verdict, error = answer
            away = verdict in {Verdict.UNSENT, Verdict.UNCERTAIN}
            raise (ConnectionError if away else ValueError)(error or "it sends no message to a queue")
        return rendered[0].messages

    def get_ready(self, entries: Sequence[tuple[Entry, str]]) -> bool:
        self._templates.refresh(watched=self._scheduler.is_watched)
        return all(self._templates.get_ready(entry, uid, self.render) for entry, uid in entries)

    def send(self, jobs: Sequence[Job]) -> list[Answer]:
        rendered: list[Rendered] = []
        self._templates.refresh(watched=self._scheduler.is_watched)
        answers = [self._fill_in(job, rendered) for job in jobs]
        pushed = iter(self._push_all(rendered) if rendered else ())
        return [next(pushed) if answer is None else answer for answer in answers]

    def _fill_in(self, job: Job, rendered: list[Rendered]) -> Answer | None:
        """Render one firing the fast way if it is an ordinary one, the plain way otherwise."""
        firing = job.firing
        try:
            at = instant(firing.fire_time)
            message = self._templates.message(job.entry, firing.uid, firing.task_id, at, self.render)
        except Exception as error:  # noqa: BLE001 - each transport has its own errors
            self.close()
            return Verdict.UNSENT, explain(error)
        if message is None:
            return self._render(job, rendered)
        rendered.append(Rendered(firing, [message]))
        return None

    def _render(self, job: Job, rendered: list[Rendered]) -> Answer | None:
        """Render one firing; return the answer if that is already how it ended."""
        if self._capture is not None:
            self._capture.reset()
        verdict, error = self.send_one(job)
        if verdict is not Verdict.PUBLISHED:
            return verdict, error
        capture = cast("Capture", self._capture)
        if not capture.messages:
            # Run eagerly, dropped by a router, or let out by Kombu's own way: nothing is left to push.
            return verdict, None
        rendered.append(Rendered(job.firing, capture.messages))
        return None

    def _push_all(self, rendered: Sequence[Rendered]) -> list[Answer]:
        try:
            # What others have made ready is filled in without a connection.
            self.connect()
        except Exception as error:  # noqa: BLE001 - each transport has its own errors
            self.close()
            return [(Verdict.UNSENT, explain(error))] * len(rendered)
        try:
            results = self._push(keys=[MARKS], args=_arguments(rendered))
        except (redis.RedisError, OSError) as error:
            self.close()
            return [(Verdict.UNCERTAIN, explain(error))] * len(rendered)
        return [_answer(result) for result in results]


def _answer(result: int | bytes) -> Answer:
    """Return how one push ended: refused by a key that is no queue, or by a Redis that takes nothing now."""
    if isinstance(result, int):
        return Verdict.PUBLISHED, None
    refusal = result.decode(errors="replace")
    return Verdict.FAILED if refusal.startswith("WRONGTYPE") else Verdict.UNCERTAIN, f"Redis: {refusal}"


def _arguments(rendered: Sequence[Rendered]) -> list[str | int]:
    arguments: list[str | int] = []
    for one in rendered:
        arguments += [mark_field(one.firing), one.firing.fire_time, len(one.messages)]
        for message in one.messages:
            arguments += [message.key, message.payload]
    return arguments


def mark_field(firing: Firing) -> str:
    """Return the field of a firing's entry and lane in the hash of marks."""
    return firing.uid if firing.lane == AUTO else f"{firing.uid}|{firing.lane}"
