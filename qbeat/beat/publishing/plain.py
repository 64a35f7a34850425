"""The plain way to the broker: Celery's own ``apply_entry``, one firing at a time; right for everything."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from celery import Celery
from celery.beat import BeatLazyFunc, ScheduleEntry, Scheduler, SchedulingError
from kombu.exceptions import OperationalError

from qbeat.beat.celery_view import celery_schedule_of
from qbeat.beat.entries import Entry
from qbeat.beat.instants import iso
from qbeat.beat.publishing import canvas
from qbeat.beat.publishing.base import Submission, Verdict

logger = logging.getLogger("qbeat.publishing")

CONNECT_TIMEOUT: Final = 4.0
SOCKET_TIMEOUT: Final = 5.0
"""Seconds that one call to the broker may take; shorter than ``uncertain_after`` of the scheduler."""


Answer = tuple[Verdict, str | None]
"""How one try to publish ended and, where it went wrong, why."""


class FiringEntry(ScheduleEntry):
    """Celery's view of one firing: a copy of the entry, made for this firing only.

    Whoever patches ``Scheduler.apply_entry`` may write into it (Sentry puts headers into ``options``);
    nothing of that reaches the next firing.
    """

    def __init__(self, app: Celery, submission: Submission, options: dict[str, Any]) -> None:
        entry, firing = submission.entry, submission.firing
        super().__init__(
            name=entry.name,
            task=entry.task,
            args=copied(entry.args),
            kwargs=copied(entry.kwargs),
            options=options,
            last_run_at=datetime.fromtimestamp(firing.fire_time / 1e6, UTC),
            app=app,
        )
        # Given to the constructor it would be told its app, and schedules are shared between entries.
        self.schedule = celery_schedule_of(entry, app)
        self.submission = submission
        self.error: BaseException | None = None


class PlainScheduler(Scheduler):
    """Celery's scheduler with its loop left idle: only its way of sending one entry is used.

    ``apply_entry`` is inherited, because that is the method which Sentry and Datadog patch.
    """

    def __init__(self, app: Celery) -> None:
        super().__init__(app, lazy=True)
        self.schedule: dict[str, ScheduleEntry] = {}

    @property
    def is_watched(self) -> bool:
        """Whether code that is not Celery's stands in the way of each firing, put there on this object."""
        return False

    def apply_async(
        self,
        entry: FiringEntry,
        producer: Any = None,
        advance: bool = False,  # noqa: ARG002 - Celery's signature
        **kwargs: Any,  # noqa: ARG002 - likewise
    ) -> Any:
        """Send the entry; its error is kept in ``entry.error``, because ``apply_entry`` would swallow it."""
        try:
            if entry.submission.entry.canvas is not None:
                return self._apply_canvas(entry, producer)
            return super().apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            entry.error = error.__cause__ or error.__context__ or error
        except Exception as error:  # noqa: BLE001 - reported by whoever reads ``entry.error``
            entry.error = error
        return None

    def should_sync(self) -> bool:
        """Nothing to write: what has fired is in the store."""
        return False

    def _apply_canvas(self, entry: FiringEntry, producer: Any) -> Any:
        options = dict(entry.options)
        task_id = options.pop("task_id")
        plan = entry.submission.entry.canvas
        assert plan is not None
        signature = canvas.build(self.app, plan, task_id)
        with canvas.publishing_with(self.app, producer):
            return signature.apply_async(producer=producer, task_id=task_id, **options)


class PlainSender:
    """One connection to the broker and what it takes to publish on it. Used by one thread."""

    exactly_once = False
    """Whether sending a firing again sends nothing if the broker has it."""
    batch = 1
    """How many firings it is best given at a time."""

    def __init__(self, app: Celery, scheduler: PlainScheduler) -> None:
        self._app = app
        self._scheduler = scheduler
        self._connection: Any = None
        self._producer: Any = None
        self._confirms = driver_of(app) == "amqp"

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._producer is not None

    def connect(self) -> None:
        """Connect if need be; raises what the transport raises when the broker is away."""
        if not self.is_connected:
            connection = self._app.connection_for_write(**_connection_options(self._app))
            try:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_TIMEOUT)
                self._producer = self._app.amqp.Producer(connection, auto_declare=False)
            except BaseException:
                connection.release()
                raise
            self._connection = connection

    def check(self) -> None:
        """Raise what is in the way if the broker cannot be reached, or takes no messages now."""
        self.connect()

    def close(self) -> None:
        """Let go of the connection, whatever state it is in."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception as error:  # noqa: BLE001 - a broken connection may fail at anything
                logger.debug("closing a broken connection: %r", error)

    def send(self, submissions: Sequence[Submission]) -> Sequence[Answer | None]:
        """Publish firings, each of another entry; return for each how it went, ``None`` if nothing was tried.

        The latter is for one among others that wants to be sent alone. A firing by itself is always tried.
        """
        return [self.send_one(submission) for submission in submissions]

    def get_ready(self, entries: Sequence[tuple[Entry, str]]) -> bool:  # noqa: ARG002 - for senders that can
        """Make ahead what all messages of some entries have in common; return whether to go on with others.

        Each comes with its uid. Raises what connecting raises.
        """
        return False

    def send_one(self, submission: Submission) -> Answer:
        """Have Celery send one firing."""
        try:
            entry = self._prepared(submission)
        except Exception as error:  # noqa: BLE001 - a lazy argument is the user's code
            return Verdict.FAILED, explain(error)
        try:
            self.connect()
        except Exception as error:  # noqa: BLE001 - each transport has its own errors
            self.close()
            return Verdict.UNSENT, explain(error)
        contextvars.Context().run(self._scheduler.apply_entry, entry, producer=self._producer)
        if entry.error is None:
            return Verdict.PUBLISHED, None
        return self._judge(entry.error), explain(entry.error)

    def _prepared(self, submission: Submission) -> FiringEntry:
        options = firing_options(submission)
        if self._confirms:
            options.setdefault("confirm_timeout", SOCKET_TIMEOUT)
        entry = FiringEntry(self._app, submission, options)
        entry.args = [evaluated(value) for value in entry.args]
        entry.kwargs = {name: evaluated(value) for name, value in entry.kwargs.items()}
        return entry

    def _judge(self, error: BaseException) -> Verdict:
        """Say whether the connection or the entry is to blame."""
        suspects: tuple[type[BaseException], ...] = (OperationalError, OSError)
        refusals: tuple[type[BaseException], ...] = ()
        if self._connection is not None:
            suspects += (*self._connection.connection_errors, *self._connection.channel_errors)
            # AMQP closes the channel over a message that it does not take: no such exchange, another kind of queue.
            refusals = tuple(self._connection.channel_errors) if self._confirms else ()
        self.close()
        if isinstance(error, refusals) or not isinstance(error, suspects):
            return Verdict.FAILED
        return Verdict.UNCERTAIN


def firing_options(submission: Submission) -> dict[str, Any]:
    """Return a copy of the entry's options with what makes this firing known: its task id and its headers."""
    options: dict[str, Any] = copied(submission.entry.options)
    firing = submission.firing
    headers = dict(options.get("headers") or {})
    headers["celery_beat_task"] = True
    headers["periodic_task_name"] = firing.entry
    headers["qbeat"] = {"entry": firing.entry, "fire_time": iso(firing.fire_time), "lane": firing.lane}
    # Kombu must not try again behind our back: a second try after a lost answer is a second message.
    return {**options, "headers": headers, "task_id": firing.task_id, "retry": False}


def copied(value: Any) -> Any:
    """Return ``value`` with its dicts and lists copied all the way down, and all else as it is."""
    if type(value) is dict:
        return {key: copied(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(copied(item) for item in value)
    return value


def evaluated(value: Any) -> Any:
    """Return what a lazy argument stands for now, and any other value as it is."""
    return value() if isinstance(value, BeatLazyFunc) else value


def explain(error: BaseException) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")


def _connection_options(app: Celery) -> dict[str, Any]:
    """Return what to ask of the connection: confirms where the broker has them, and an end to every wait."""
    driver = driver_of(app)
    if driver == "amqp":
        ours = {"confirm_publish": True, "read_timeout": SOCKET_TIMEOUT, "write_timeout": SOCKET_TIMEOUT}
    elif driver == "redis":
        ours = {"socket_timeout": SOCKET_TIMEOUT, "socket_connect_timeout": CONNECT_TIMEOUT}
    else:
        ours = {}
    return {"transport_options": {**ours, **(app.conf.broker_transport_options or {})}}


def driver_of(app: Celery) -> str:
    """Return the kind of the app's broker as Kombu names it, such as ``redis`` or ``amqp``."""
    return str(app.connection_for_write().get_transport_cls().driver_type)
