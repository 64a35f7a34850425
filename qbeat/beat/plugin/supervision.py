"""Watches over the beat that a worker has embedded: Celery would leave a dead one lying."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

from celery import bootsteps
from celery.beat import EmbeddedService
from celery.utils.imports import load_extension_class_names, symbol_by_name
from celery.worker import state

from qbeat.beat.own_loggers import hear_own_loggers
from qbeat.beat.plugin.scheduler import QbeatScheduler

logger = logging.getLogger("qbeat.plugin")

CHECK: Final = 0.5
"""Seconds between two looks at the process."""
MIN_PAUSE: Final = 1.0
MAX_PAUSE: Final = 60.0
"""Seconds before a process that died is started again; doubled for one that dies soon."""


def refusal(worker: Any) -> str | None:
    """Return why a worker cannot have qbeat inside, which Celery says in a traceback; ``None`` if it can."""
    pool = worker.pool_cls if isinstance(worker.pool_cls, str) else worker.pool_cls.__module__
    for green in ("gevent", "eventlet"):
        if pool.endswith(green) and is_qbeat(worker.scheduler):
            return f"a worker with the pool {green} cannot have qbeat inside: leave out -B, and run qbeat beside it."
    return None


def is_qbeat(scheduler: Any) -> bool:
    """Whether ``scheduler``, a class or a name as Celery takes it, is qbeat's or a subclass of it."""
    aliases = dict(load_extension_class_names("celery.beat_schedulers"))
    try:
        found = symbol_by_name(scheduler, aliases=aliases)
    except (ImportError, AttributeError):
        return False  # Celery says it better
    return isinstance(found, type) and issubclass(found, QbeatScheduler)


def is_ending() -> bool:
    """Whether the worker of this process has been told to end; it may still have work to finish."""
    return any(flag is not None and flag is not False for flag in (state.should_stop, state.should_terminate))


class Supervision(bootsteps.StartStopStep):
    """The step of a worker that has qbeat embedded; it starts after the beat and stops before it."""

    label = "qbeat"
    requires = ("celery.worker.components:Beat",)

    def include_if(self, worker: Any) -> bool:
        """Take part only where the scheduler of the embedded beat is qbeat's."""
        service = getattr(worker.beat, "service", None)
        return hasattr(worker.beat, "is_alive") and service is not None and is_qbeat(service.scheduler_cls)

    def create(self, worker: Any) -> Supervisor:
        """Return what ``start`` and ``stop`` of this step act on."""
        return Supervisor(worker)


class Supervisor:
    """A thread that starts ``worker.beat`` again when it has ended and nobody has asked it to."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._first = worker.beat
        self._stopping = threading.Event()
        self._pause = MIN_PAUSE
        self._thread = threading.Thread(target=self._run, name="qbeat-supervisor", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        hear_own_loggers()
        self._thread.start()

    def stop(self) -> None:
        """End the watch, and the process that is watched; the first one is Celery's to end."""
        self._stopping.set()
        if self._worker.beat is not self._first:
            self._worker.beat.stop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2 * CHECK)

    terminate = stop

    def _run(self) -> None:
        # This thread lives as long as the worker: the kernel ends a process whose parent *thread* has ended.
        started = time.monotonic()
        while not self._stopping.wait(CHECK):
            if self._worker.beat.is_alive():
                if time.monotonic() - started > MAX_PAUSE:
                    self._pause = MIN_PAUSE
                continue
            # A signal may have come to all processes of the worker, and this one may be the last to say so.
            if is_ending() or self._stopping.wait(CHECK) or is_ending():
                continue
            self._start_again()
            started = time.monotonic()

    def _start_again(self) -> None:
        dead = self._worker.beat
        logger.error(
            "The embedded qbeat (process %s) has ended with exit code %s; it is started again in %g s.",
            *(dead.pid, dead.exitcode, self._pause),
        )
        if self._stopping.wait(self._pause) or is_ending():
            return
        self._pause = min(2 * self._pause, MAX_PAUSE)
        service = dead.service
        try:
            successor = EmbeddedService(
                self._worker.app,
                schedule_filename=service.schedule_filename,
                scheduler_cls=service.scheduler_cls,
            )
            successor.start()
        except OSError as error:
            logger.error("The embedded qbeat cannot be started: %s", error)  # noqa: TRY400 - no bug to trace
            return
        self._worker.beat = successor
        if self._stopping.is_set():
            successor.stop()
        logger.warning("The embedded qbeat is started again, as process %s.", successor.pid)
