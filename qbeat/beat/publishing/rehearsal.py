"""Has Celery send an entry's message to nobody, to see whether it can be sent: no broker and no backend is asked."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

from celery import Celery, signals
from celery.app.task import Task
from celery.beat import BeatLazyFunc
from kombu.connection import Connection
from kombu.messaging import Producer

from qbeat.beat.broker_url import broker_of
from qbeat.beat.entries import Entry
from qbeat.beat.errors import SettingError
from qbeat.beat.publishing.base import Submission
from qbeat.beat.publishing.ordinary import is_ordinary, samples
from qbeat.beat.publishing.plain import explain, firing_options

_SIGNALS: Final = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)


class Rehearsal:
    """One look at an app's entries. The user's code is left out: receivers of signals, lazy arguments, canvases."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._producer = _Nobody(Connection("memory://"))
        self._is_possible = _is_possible(app)
        self._passed: set[tuple[str, str]] = set()

    def error_of(self, entry: Entry) -> str | None:
        """Return in one line what stands in the way of every message of an entry, as far as can be told."""
        task = self._app.tasks.get(entry.task)
        if not self._is_possible or entry.canvas is not None:
            return None
        if task is not None and not is_celerys(task, Task, "apply_async"):
            return None
        like = entry.task, repr(entry.options)
        if like in self._passed and is_ordinary(self._app, entry):  # it takes the arguments, and JSON does
            return None
        error = self._try(task, entry)
        if error is None:
            self._passed.add(like)
            return None
        blamed = next((name for name in entry.options if self._passes_without(name, task, entry)), None)
        return f"{'' if blamed is None else f'its option {blamed}: '}{explain(error)}"

    def _passes_without(self, option: str, task: Any, entry: Entry) -> bool:
        others = {name: value for name, value in entry.options.items() if name != option}
        return self._try(task, replace(entry, options=others)) is None

    def _try(self, task: Any, entry: Entry) -> Exception | None:
        try:
            with _unheard():
                self._send(task, entry)
        except Exception as error:  # noqa: BLE001 - what it raises is what there is to say
            return error
        return None

    def _send(self, task: Any, entry: Entry) -> None:
        args = [_stand_in(value) for value in entry.args]
        kwargs = {name: _stand_in(value) for name, value in entry.kwargs.items()}
        options = {**firing_options(Submission(samples(entry, "check")[0], entry)), "ignore_result": True}
        if task is None:
            self._app.send_task(
                entry.task, args, kwargs, producer=self._producer, result_cls=_no_result, **options
            )
            return
        with _without_result(task):
            task.apply_async(args, kwargs, producer=self._producer, **options)


class _Nobody(Producer):
    """Makes a message's body as every producer does, and then drops it."""

    def maybe_declare(self, *_: Any, **__: Any) -> None:
        """Nothing is declared where nothing is sent."""

    def _publish(self, *_: Any, **__: Any) -> None:
        """Nothing is sent."""


def _is_possible(app: Celery) -> bool:
    """Whether sending would not run the task, is not the app's own affair, and the broker's transport is there."""
    if app.conf.task_always_eager or not is_celerys(app, Celery, "send_task"):
        return False
    try:
        broker_of(app)
    except SettingError:
        return False
    return True


def is_celerys(owner: Any, kind: type, name: str) -> bool:
    """Whether a method is not overridden; what tracers put around Celery's own for all classes does not count."""
    return name not in vars(owner) and inspect.getattr_static(owner, name) is inspect.getattr_static(
        kind, name
    )


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep the signals of sending from their receivers."""
    receivers = [signal.receivers for signal in _SIGNALS]
    for signal in _SIGNALS:
        signal.receivers = []
    try:
        yield
    finally:
        for signal, before in zip(_SIGNALS, receivers, strict=True):
            signal.receivers = before


@contextmanager
def _without_result(task: Any) -> Iterator[None]:
    """Have a task make no result, which would ask for the result backend."""
    before = vars(task).get("AsyncResult")
    task.AsyncResult = _no_result
    try:
        yield
    finally:
        del task.AsyncResult
        if before is not None:
            task.AsyncResult = before


def _no_result(*_: Any, **__: Any) -> Any:
    return SimpleNamespace()


def _stand_in(value: Any) -> Any:
    """Return nothing in place of what the user's code makes when the message is sent."""
    return None if isinstance(value, BeatLazyFunc) else value
