"""Which entries are ordinary: nothing but Celery's own code and plain data shape their messages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import celery
import kombu
from celery import Celery, signals
from celery.app.task import Task
from celery.beat import Scheduler
from celery.utils.saferepr import saferepr

from qbeat.beat.entries import Entry
from qbeat.beat.firing_ids import task_id_of
from qbeat.store.records import AUTO, Firing

MAX_SIMPLE: Final = 16
"""Lists of so few numbers are written the same by ``repr`` and by Celery's own, slower, text."""

_MOMENTARY: Final = frozenset(
    {"countdown", "eta", "expires", "retries", "stamped_headers", "group_id", "reply_to"}
)
"""Options whose message depends on when it is sent, or on more than this entry."""

_HOMES: Final = tuple(str(Path(inspect.getfile(package)).parent) for package in (celery, kombu))
"""Where Celery and Kombu lie."""


def is_ordinary(app: Celery, entry: Entry) -> bool:
    """Whether an entry's messages differ by nothing but their ids and fire times."""
    if not entry.is_quick or entry.options.keys() & _MOMENTARY:
        return False
    if not (is_plain(entry.args) and is_plain(entry.kwargs) and is_plain(entry.options)):
        return False
    task = app.tasks.get(entry.task)
    return task is None or _takes(task, entry)


def nobody_watches(app: Celery) -> bool:
    """Whether no code but Celery's own wants to see each message on its way."""
    if signals.before_task_publish.receivers or signals.after_task_publish.receivers:
        return False
    if "send_task" in vars(app):
        return False
    conf = app.conf
    if conf.task_send_sent_event or conf.task_always_eager or conf.task_protocol != 2:  # noqa: PLR2004
        return False
    if any(callable(router) or isinstance(router, str) for router in _routers(conf.task_routes)):
        return False
    sending = (type(app).send_task, Task.apply_async, Scheduler.apply_entry, Scheduler.apply_async)
    producing = (app.amqp.Producer.publish, type(app.amqp).as_task_v2)
    return all(is_from(function, *_HOMES) for function in (*sending, *producing))


def samples(entry: Entry, uid: str) -> list[Firing]:
    """Return two firings that nobody publishes."""
    times = (1_000_000, 2_345_678_900_000)
    return [Firing(uid, entry.name, at, AUTO, task_id_of(uid, at, "template")) for at in times]


def text_maker(app: Celery) -> Callable[[Any, int], str]:
    """Return what makes the text of arguments, of a length at most, that Celery puts into headers."""
    levels = app.conf.get("task_repr_maxlevels")
    options = {} if levels is None else {"maxlevels": levels}

    def text(value: Any, maxsize: int) -> str:
        if not value:
            return repr(value)
        if type(value) is list and len(value) < MAX_SIMPLE and all(type(item) is int for item in value):
            short = repr(value)
            if len(short) < maxsize:
                return short
        return str(saferepr(value, maxsize, **options))

    return text


def is_plain(value: Any) -> bool:
    """Whether a value is made of JSON's own types only, so that no serializer has a say in it."""
    kind = type(value)
    if kind in {str, int, bool, float} or value is None:
        return True
    if kind in {list, tuple}:
        return all(map(is_plain, value))
    return kind is dict and all(type(key) is str and is_plain(item) for key, item in value.items())


def is_from(function: Any, *homes: str) -> bool:
    """Whether a function is the one that a package in ``homes`` defines: nobody has put a wrapper around it."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__"):
        return False
    return str(code.co_filename).startswith(homes)


def _takes(task: Any, entry: Entry) -> bool:
    """Whether an ordinary task accepts the entry's arguments."""
    if type(task).apply_async is not Task.apply_async or "apply_async" in vars(task):
        return False
    if not task.typing:
        return True
    try:
        task.__header__(*entry.args, **entry.kwargs)
    except TypeError:
        return False
    return True


def _routers(routes: Any) -> Sequence[Any]:
    if routes is None:
        return ()
    return routes if isinstance(routes, (list, tuple)) else (routes,)
