"""What shapes messages on their way, and whether it is still Celery's own: not overridden, wrapped or replaced."""

from __future__ import annotations

import inspect
from operator import is_
from pathlib import Path
from typing import Any, Final

import celery
import celery.app.amqp
import kombu
from celery import Celery, signals
from celery.app.amqp import AMQP, Queues
from celery.app.routes import MapRoute, Router
from celery.app.task import Task
from celery.beat import Scheduler
from celery.utils.saferepr import saferepr
from kombu.serialization import registry

from qbeat.beat.entries import Entry

_HOMES: Final = tuple(str(Path(inspect.getfile(package)).parent) for package in (celery, kombu))
"""Where Celery and Kombu lie."""

_SIGNALS: Final = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)

_METHODS: Final = (
    "apply_async",
    "shadow_name",
    "_get_exec_options",
    "_get_app",
    "_dump_pydantic_arguments",
    "__v2_compat__",
    "__getattribute__",
    "__getattr__",
)
"""What a task is asked for when it is sent, with its arguments or by itself."""
_VALUES: Final = (
    "queue",
    "routing_key",
    "exchange",
    "priority",
    "expires",
    "serializer",
    "delivery_mode",
    "compression",
    "time_limit",
    "soft_time_limit",
    "immediate",
    "mandatory",
    "ignore_result",
    "typing",
)
"""What stands on a task and goes into its messages."""


class Way:
    """The way of an app's messages to the broker."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._trusted: tuple[Any, ...] = ()

    def is_celerys_own(self) -> bool:
        """Whether no code but Celery's wants to see each message; quick where nothing has changed since last time."""
        app = self._app
        if any(signal.receivers for signal in _SIGNALS) or "send_task" in vars(app):
            return False
        conf = app.conf
        if conf.task_send_sent_event or conf.task_always_eager or conf.task_protocol != 2:  # noqa: PLR2004 - protocol 2
            return False
        return _routes_by_name(app) and self._trusts(_on_the_way(app))

    def _trusts(self, functions: tuple[Any, ...]) -> bool:
        # By identity: what tracers wrap says of itself that it is equal.
        if len(self._trusted) != len(functions) or not all(map(is_, functions, self._trusted)):
            self._trusted = functions if all(map(_is_celerys, functions)) else ()
        return bool(self._trusted)


def is_usual(app: Celery, entry: Entry) -> bool:
    """Whether the messages of an entry's task are made of its options and arguments by Celery alone."""
    task = app.tasks.get(entry.task)
    if task is not None and not (task.app == app and _is_usual_task(task)):
        return False
    serializer = entry.options.get("serializer") or getattr(task, "serializer", None)
    return bool((serializer or app.conf.task_serializer) == "json")


def _routes_by_name(app: Celery) -> bool:
    """Whether a message's queue follows from its task's name and its options.

    Routers that are objects or functions may look at the arguments, and say another thing each time.
    """
    amqp = app.amqp
    router = amqp.router
    if type(amqp) is not AMQP or type(router) is not Router or type(router.queues) is not Queues:
        return False
    if "route" in vars(router):
        return False
    return all(type(route) is MapRoute for route in router.routes)


def _on_the_way(app: Celery) -> tuple[Any, ...]:
    """Return the functions that each message goes through."""
    amqp = app.amqp
    producer = amqp.Producer
    encoding = registry._encoders.get("json")  # noqa: SLF001 - there is no other way to ask
    return (
        Scheduler.apply_entry,
        Scheduler.apply_async,
        Scheduler.send_task,
        Task.apply_async,
        Task.shadow_name,
        type(app).send_task,
        Router.route,
        amqp.create_task_message,
        amqp.send_task_message,
        celery.app.amqp.saferepr if celery.app.amqp.saferepr is saferepr else None,
        producer.publish,
        producer._prepare,  # noqa: SLF001 - tracers patch what they like
        producer._publish,  # noqa: SLF001 - likewise
        encoding and encoding.encoder,
    )


def _is_usual_task(task: Any) -> bool:
    if not vars(task).keys().isdisjoint(_METHODS):
        return False
    kind = type(task)
    if any(_static(kind, name) is not _static(Task, name) for name in _METHODS):
        return False
    # A property may say another thing each time.
    return not any(hasattr(type(_static(kind, name)), "__get__") for name in _VALUES)


def _static(kind: type, name: str) -> Any:
    return inspect.getattr_static(kind, name, None)


def _is_celerys(function: Any) -> bool:
    """Whether a function is the one that Celery or Kombu defines: nobody has put a wrapper around it."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__"):
        return False
    return str(code.co_filename).startswith(_HOMES)
