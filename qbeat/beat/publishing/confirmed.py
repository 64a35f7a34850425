"""Publishing on AMQP: many messages at a time, each of them confirmed by the broker."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import amqp
from celery import Celery
from kombu.exceptions import OperationalError

from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Submission, Verdict
from qbeat.beat.publishing.blockage import Blockage, let_go
from qbeat.beat.publishing.confirms import Window
from qbeat.beat.publishing.frame_templates import FrameTemplates, Rendered, Route
from qbeat.beat.publishing.frames import MAX_SIZE
from qbeat.beat.publishing.plain import SOCKET_TIMEOUT, Answer, PlainScheduler, PlainSender, explain
from qbeat.beat.publishing.trial import Trial

MIN_BATCH: Final = 20
MAX_BATCH: Final = 500
SLOW: Final = 0.1
"""Seconds that a window may take; after a slower one the next is half as wide."""
CHANNEL: Final = 2
"""The channel of the windows; Kombu's own default channel, for the plain way and declarations, is 1."""
NOWHERE: Final = "qbeat.nowhere"
"""A queue that nobody has, for the default exchange to drop what is published to it."""

_LOSSES: Final = (OSError, OperationalError, amqp.ConnectionError)
"""After these errors there is nobody to say goodbye to."""


class ConfirmedSender(PlainSender):
    """Fills in the frames of ordinary entries, and collects the confirmations of a whole batch.

    One exchange at a time: the broker closes the channel over an exchange that it does not have, and what has
    been published on the channel behind that is lost. What is not ordinary comes back, to be sent alone.
    """

    def __init__(
        self, app: Celery, scheduler: PlainScheduler, blockage: Blockage, templates: FrameTemplates
    ) -> None:
        super().__init__(app, scheduler)
        self.batch = MAX_BATCH
        self._templates = templates
        self._blockage = blockage
        self._window: Window | None = None
        self._declared: set[Route] = set()
        """What has been declared on this connection."""
        self._is_blocked = False
        self._is_broken = False

    def connect(self) -> None:
        if self.is_connected:
            return
        self._blockage.check()
        super().connect()
        try:
            connection = self._connection.connection
            connection.on_blocked, connection.on_unblocked = self._on_blocked, self._on_unblocked
            assert self._producer.channel.channel_id != CHANNEL
            self._window = Window(connection.channel(CHANNEL))
        except BaseException:
            self._is_broken = True
            self.close()
            raise

    def check(self) -> None:
        """Publish what goes nowhere: a broker that has raised an alarm welcomes connections, but confirms nothing."""
        self.connect()
        channel = self._producer.channel
        try:
            channel.basic_publish(
                amqp.Message(b""), exchange="", routing_key=NOWHERE, confirm_timeout=SOCKET_TIMEOUT
            )
        except Exception as error:
            self._drop(error)
            if not isinstance(error, amqp.ChannelError):
                raise
            # This user may not publish there; that is an answer, too.
            self.connect()

    def close(self) -> None:
        """Let go of the connection: politely if it is in order, else at once."""
        blocked, broken, self._is_blocked, self._is_broken = self._is_blocked, self._is_broken, False, False
        window, self._window = self._window, None
        self._declared.clear()
        if not (blocked or broken):
            super().close()
            return
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None and not (blocked and self._blockage.keep(connection, window)):
            let_go(connection)

    def get_ready(self, entries: Sequence[tuple[Entry, str]]) -> bool:
        self._templates.refresh(watched=self._scheduler.is_watched)
        return all(self._templates.get_ready(entry, uid, self._render) for entry, uid in entries)

    def send(self, submissions: Sequence[Submission]) -> list[Answer | None]:
        started = time.monotonic()
        answers = [self._known_already(submission) for submission in submissions]
        try:
            self._send_filled(submissions, answers)
        except Exception as error:  # noqa: BLE001 - each transport has its own errors
            self._drop(error)
            return [answer or (Verdict.UNSENT, explain(error)) for answer in answers]
        if len(submissions) == 1 and answers[0] is None:
            return [self.send_one(submissions[0])]
        self._adapt(len(submissions), time.monotonic() - started)
        return answers

    def _known_already(self, submission: Submission) -> Answer | None:
        return (Verdict.PUBLISHED, None) if self._blockage.has_arrived(submission.firing.task_id) else None

    def _send_filled(self, submissions: Sequence[Submission], answers: list[Answer | None]) -> None:
        """Send what the templates can fill in; raises what connecting raises."""
        self._templates.refresh(watched=self._scheduler.is_watched)
        groups: dict[str, list[tuple[int, Route, bytes]]] = defaultdict(list)
        for place, submission in enumerate(submissions):
            found = self._templates.frames(submission, self._render) if answers[place] is None else None
            if found is not None:
                route, frames = found
                groups[route.exchange].append((place, route, frames))
        for group in groups.values():
            ready = self._ready(group)
            if ready:
                self._publish(ready, submissions, answers)

    def _ready(self, group: Sequence[tuple[int, Route, bytes]]) -> list[tuple[int, Route, bytes]]:
        """Connect and declare what is missing; return what then can go out. Raises what connecting raises.

        What might not fit into the frames that this broker takes stays behind: Kombu cuts it into smaller ones.
        """
        routes = {route for _, route, _ in group}
        while True:
            self._connect_and_heed()
            refused = next((route for route in routes - self._declared if not self._declare(route)), None)
            if refused is None:
                limit = self._connection.connection.frame_max or MAX_SIZE
                return [one for one in group if one[1] in routes and len(one[2]) <= limit]
            routes.remove(refused)

    def _connect_and_heed(self) -> None:
        """Connect if need be, once more if the broker has closed the connection since it was last used."""
        for last in (False, True):
            self.connect()
            assert self._window is not None
            try:
                self._heed(self._window)
                break
            except Exception as error:  # each transport has its own errors
                self._drop(error)
                if last:
                    raise

    def _heed(self, window: Window) -> None:
        window.heed()
        if self._is_blocked:
            raise OperationalError("the broker takes no messages now")

    def _declare(self, route: Route) -> bool:
        """Declare what a route needs, as Kombu would; ``False`` if the broker refuses that."""
        try:
            for entity in route.declared:
                self._producer.maybe_declare(entity)
            if route.exchange:
                self._producer.channel.exchange_declare(route.exchange, "", passive=True)
        except amqp.ChannelError as error:
            self._drop(error)
            self._templates.distrust(route)
            return False
        self._declared.add(route)
        return True

    def _publish(
        self,
        group: Sequence[tuple[int, Route, bytes]],
        submissions: Sequence[Submission],
        answers: list[Answer | None],
    ) -> None:
        """Publish on one exchange and take in how it went."""
        window = self._window
        assert window is not None
        task_ids = [submissions[place].firing.task_id for place, _, _ in group]
        ending: Answer = Verdict.PUBLISHED, None
        try:
            window.write(task_ids, [frames for _, _, frames in group])
            window.wait(SOCKET_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - each transport has its own errors
            ending = self._judge_group(error, [route for _, route, _ in group]), explain(error)
        unanswered, refused = window.unanswered, window.refused
        for (place, _, _), task_id in zip(group, task_ids, strict=True):
            if task_id in refused:
                answers[place] = Verdict.FAILED, refused[task_id]
            else:
                answers[place] = ending if task_id in unanswered else (Verdict.PUBLISHED, None)

    def _judge_group(self, error: BaseException, routes: Sequence[Route]) -> Verdict:
        """Say what has become of the messages that are not answered."""
        self._drop(error)
        if not isinstance(error, amqp.ChannelError):
            return Verdict.UNCERTAIN
        for route in set(routes):
            self._templates.distrust(route)
        return Verdict.FAILED if len(routes) == 1 else Verdict.UNCERTAIN

    def _render(self, submission: Submission) -> Rendered:
        """Have Celery render a submission, and keep what it would have published."""
        self.connect()
        trial = Trial()
        with trial.on(self._producer):
            verdict, error = self.send_one(submission)
        if verdict in {Verdict.UNSENT, Verdict.UNCERTAIN}:
            raise OperationalError(error)
        if verdict is not Verdict.PUBLISHED or len(trial.publications) != 1:
            raise ValueError(error or f"it sends {len(trial.publications)} messages")
        return Rendered(trial.publications[0], trial.declared)

    def _adapt(self, count: int, took: float) -> None:
        """Make the next window as wide as can be confirmed in time."""
        if took > SLOW:
            self.batch = max(MIN_BATCH, self.batch // 2)
        elif count == self.batch and took < SLOW / 2:
            self.batch = min(MAX_BATCH, self.batch * 2)

    def _judge(self, error: BaseException) -> Verdict:
        self._is_broken = isinstance(error, _LOSSES)
        return super()._judge(error)

    def _drop(self, error: BaseException) -> None:
        self._is_broken = not isinstance(error, amqp.ChannelError)
        self.close()

    def _on_blocked(self, _reason: str) -> None:
        """Break off whatever waits for the broker: an alarm may last for hours."""
        self._is_blocked = True
        raise OperationalError("the broker takes no messages now: it has raised an alarm")

    def _on_unblocked(self) -> None:
        self._is_blocked = False
