"""Publishing exactly once on a Redis broker: a mark beside the queue keeps each entry's last fire time.

One script compares the mark, moves it and sends, to queues and to fanout exchanges. A firing that is published
again after a crash finds the mark where the first try left it, and sends nothing. This rests on the order in
which an entry's firings are published, which the outbox keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import redis
from celery import Celery

from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Submission, Verdict
from qbeat.beat.publishing.capture import STEPS, Capture, Command
from qbeat.beat.publishing.plain import Answer, PlainScheduler, PlainSender, explain
from qbeat.beat.publishing.refusals import is_refusal, speaks_of_state, tells_state
from qbeat.beat.publishing.templates import Templates, instant
from qbeat.store.records import AUTO, Firing, Message

MARKS: Final = "qbeat:marks"
"""The hash of marks, in the broker's database."""

_SCRIPT: Final = files(__package__).joinpath("push_marked.lua").read_text("utf-8")
_TRY: Final = files(__package__).joinpath("try_write.lua").read_text("utf-8")
_PUSH: Final = STEPS["lpush"]


class UnansweredError(ConnectionError):
    """The broker could not be asked for what a message needs; ``verdict`` says how that try ended."""

    def __init__(self, verdict: Verdict, error: str | None) -> None:
        super().__init__(error)
        self.verdict = verdict
        self.error = error


@dataclass(frozen=True, slots=True)
class Rendered:
    """What sends a firing's messages."""

    firing: Firing
    steps: str
    """A letter for each command."""
    arguments: Sequence[str | int]
    """The key and the value of each command, one after the other."""


class MarkedSender(PlainSender):
    """Lets Celery render each firing, captures what would be sent, and sends a batch through the script."""

    exactly_once = True
    batch = 500

    def __init__(self, app: Celery, scheduler: PlainScheduler, templates: Templates | None = None) -> None:
        super().__init__(app, scheduler)
        self._templates = Templates(app) if templates is None else templates
        self._capture: Capture | None = None
        self._push: Any = None
        self._try: Any = None

    def connect(self) -> None:
        if self.is_connected:
            return
        super().connect()
        channel = self._producer.channel
        self._capture = Capture(channel)
        # A client of its own on the channel's connections: Kombu's would put its key prefix before the marks.
        client = redis.Redis(connection_pool=channel.pool)
        self._push, self._try = client.register_script(_SCRIPT), client.register_script(_TRY)

    def check(self) -> None:
        """Try a write: a Redis that is full, or a replica now, answers readers as if it were well."""
        self.connect()
        self._try(keys=[MARKS])

    def render(self, submission: Submission) -> Sequence[Message]:
        """Return the messages that Kombu would have pushed for a submission; nothing is sent.

        Raises ``ValueError`` if more is to be done than to push them, ``UnansweredError``, or what connecting raises,
        if the broker had to be asked and did not answer.
        """
        self.connect()
        (verdict, error), commands = self._captured(submission)
        if verdict in {Verdict.UNSENT, Verdict.UNCERTAIN}:
            raise UnansweredError(verdict, error)
        if verdict is not Verdict.PUBLISHED or not commands:
            raise ValueError(error or "it sends no message")
        if any(command.step != _PUSH for command in commands):
            raise ValueError("its queue expires, or it goes to subscribers")
        return [Message(command.key, str(command.value)) for command in commands]

    def get_ready(self, entries: Sequence[tuple[Entry, str]]) -> bool:
        self._templates.refresh(watched=self._scheduler.is_watched)
        return all(self._templates.get_ready(entry, uid, self.render) for entry, uid in entries)

    def send(self, submissions: Sequence[Submission]) -> list[Answer]:
        rendered: list[Rendered] = []
        self._templates.refresh(watched=self._scheduler.is_watched)
        answers = [self._fill_in(submission, rendered) for submission in submissions]
        pushed = iter(self._push_all(rendered) if rendered else ())
        return [next(pushed) if answer is None else answer for answer in answers]

    def _fill_in(self, submission: Submission, rendered: list[Rendered]) -> Answer | None:
        """Render one firing the fast way if it is an ordinary one, the plain way otherwise."""
        firing = submission.firing
        try:
            at = instant(firing.fire_time)
            message = self._templates.message(submission.entry, firing.uid, firing.task_id, at, self.render)
        except UnansweredError as unanswered:
            return unanswered.verdict, unanswered.error
        except Exception as error:  # noqa: BLE001 - each transport has its own errors
            self.close()
            return Verdict.UNSENT, explain(error)
        if message is None:
            return self._render(submission, rendered)
        rendered.append(Rendered(firing, _PUSH, message))
        return None

    def _render(self, submission: Submission, rendered: list[Rendered]) -> Answer | None:
        """Render one firing; return the answer if that is already how it ended."""
        answer, commands = self._captured(submission)
        if not commands:
            # Refused, run eagerly, or dropped by a router: nothing is left to send.
            return answer
        steps = "".join(command.step for command in commands)
        rendered.append(
            Rendered(submission.firing, steps, [part for command in commands for part in command[1:]])
        )
        return None

    def _captured(self, submission: Submission) -> tuple[Answer, list[Command]]:
        """Have Celery send a firing, and take what it would have sent, none of it if something went wrong."""
        if self._capture is not None:
            self._capture.take()
        answer = self.send_one(submission)
        if answer[0] is not Verdict.PUBLISHED or self._capture is None:
            return answer, []
        return answer, self._capture.take()

    def _judge(self, error: BaseException) -> Verdict:
        # The connection has done its work.
        return Verdict.FAILED if is_refusal(error) else super()._judge(error)

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
            # A Redis that refuses all may be a master no longer: the next try looks for the one that is.
            self.close()
            # In such a state the first write of a script is refused, or none.
            verdict = Verdict.UNSENT if tells_state(error) else Verdict.UNCERTAIN
            return [(verdict, explain(error))] * len(rendered)
        answers = [_answer(result) for result in results]
        if any(verdict is Verdict.UNSENT for verdict, _ in answers):
            self.close()
        return answers


def _answer(result: int | bytes) -> Answer:
    """Return how one push ended: refused by a queue, or by a Redis that takes nothing now."""
    if isinstance(result, int):
        return Verdict.PUBLISHED, None
    refusal = result.decode(errors="replace")
    verdict = Verdict.UNSENT if speaks_of_state(refusal) else Verdict.FAILED
    return verdict, f"Redis: {refusal}"


def _arguments(rendered: Sequence[Rendered]) -> list[str | int]:
    arguments: list[str | int] = []
    for one in rendered:
        arguments += (mark_field(one.firing), one.firing.fire_time, one.steps, *one.arguments)
    return arguments


def mark_field(firing: Firing) -> str:
    """Return the field of a firing's entry and lane in the hash of marks."""
    return firing.uid if firing.lane == AUTO else f"{firing.uid}|{firing.lane}"
