"""The running process: builds the parts, turns the loop, obeys signals, outlives a store that is away."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from celery import Celery, signals
from celery._state import _set_task_join_will_block

from qbeat import __version__
from qbeat.beat.clock import Clock, SystemClock
from qbeat.beat.entries import Entry, generation_of
from qbeat.beat.errors import SettingError
from qbeat.beat.garbage import calm_collector
from qbeat.beat.health.sdnotify import Notifier
from qbeat.beat.health.vitals import Vitals
from qbeat.beat.instants import iso
from qbeat.beat.observer import SILENT
from qbeat.beat.publishing.choice import publisher_for
from qbeat.beat.publishing.fused import fusion_for
from qbeat.beat.publishing.plain import PlainScheduler
from qbeat.beat.scheduler import Scheduler
from qbeat.beat.settings import Settings
from qbeat.beat.store_time import StoreTime
from qbeat.schedules.tzdb import database
from qbeat.store.base import Store, StoreUnavailable
from qbeat.store.records import ReplicaRecord

if TYPE_CHECKING:
    from qbeat.beat.health.monitor import Monitor

logger = logging.getLogger("qbeat")

MIN_BACKOFF: Final = 0.2
MAX_BACKOFF: Final = 5.0
"""Seconds between two tries: the shortest first, doubled after each that fails, up to the longest."""


class Service:
    """One replica as a process: ``run`` returns after ``stop`` was called or a signal came.

    It is also the sender of Celery's signal ``beat_init``, so it has what a receiver of that expects:
    ``app``, ``scheduler``, ``sync`` and ``stop``. The plug-in, whose loop is Celery's, calls ``start``, ``turn``
    and ``finish`` instead of ``run``; ``plain`` is then the scheduler that it shows to Celery.
    """

    def __init__(
        self,
        app: Celery,
        store: Store,
        entries: Iterable[Entry],
        settings: Settings,
        clock: Clock | None = None,
        *,
        plain: PlainScheduler | None = None,
    ) -> None:
        self.app = app
        self._settings = settings
        self._is_guest = plain is not None
        self._clock = clock or SystemClock()
        by_name = {entry.name: entry for entry in entries}
        self._entries = by_name
        self._vitals = Vitals()
        self._notifier = Notifier()
        self._monitor = _monitor(settings, self._vitals)
        observer = self._monitor.metrics if self._monitor else SILENT
        if self._monitor:
            store = self._monitor.timed(store)
        store_time = StoreTime(store, self._clock)
        self.scheduler = Scheduler(
            store=store,
            publisher=publisher_for(app, self._clock, store_time.now, plain, observer),
            clock=self._clock,
            entries=by_name,
            replica=describe_replica(by_name.values(), self._clock.now()),
            timings=settings.timings,
            time=store_time,
            fusion=fusion_for(app, store, plain),
            observer=observer,
            keep=settings.keep,
        )
        self.max_interval = self.effective_max_interval = settings.max_interval
        self.hostname: str | None = None
        """What answers to ``celery inspect ping`` is called so."""
        self._last_tick: float | None = None
        self._backoff = MIN_BACKOFF
        self._stopping = False

    def run(self) -> None:
        """Fire until told to stop, then finish what is under way."""
        keep_off_result_backend(self.app)
        signals.beat_init.send(sender=self)
        self.start()
        while not self._stopping:
            wait = self.turn()
            if not self._stopping:
                self._clock.wait(wait)
        self.finish()

    def start(self) -> None:
        """Begin; the first turn reads the store."""
        self._last_tick = time.monotonic()
        self._open_health()
        self.scheduler.start()

    def turn(self) -> float:
        """Tick once; return after how many seconds there may be more to do. Outlives a store that is away."""
        try:
            wait = self.scheduler.tick()
        except StoreUnavailable as error:
            logger.error("%s; nothing new fires until it is back.", error)  # noqa: TRY400 - no bug to trace
            wait, self._backoff = self._backoff, min(2 * self._backoff, MAX_BACKOFF)
            self._vitals.store_trouble = str(error)
            self._notifier.waiting(f"{error}; nothing new fires until it is back.")
        else:
            self._note_turn()
            if self._backoff > MIN_BACKOFF:
                logger.warning("The store is there again.")
                self._backoff = MIN_BACKOFF
        # By its name in Celery's own service: what answers pings falls silent when it grows old.
        self._last_tick = time.monotonic()
        self._vitals.turned()
        return wait

    def finish(self) -> None:
        """Finish the firings that are being published, settle them and leave; once, after the last turn."""
        logger.info("qbeat is stopping: it finishes the firings that are being published.")
        self._notifier.stopping()
        self.leave()

    def leave(self) -> None:
        """Do what ``finish`` does, when another service takes this one's place in the process."""
        try:
            self.scheduler.stop(self._settings.shutdown_timeout)
        except StoreUnavailable as error:
            logger.warning("%s; other replicas, or the next start, find what is left in the outbox.", error)
        finally:
            if self._monitor:
                self._monitor.close()

    def stop(self) -> None:
        """End ``run`` soon; callable from a signal handler and from other threads."""
        self._stopping = True
        self._clock.wake()

    def sync(self) -> None:
        """Do nothing: what has fired is in the store already."""

    def _open_health(self) -> None:
        if self._monitor is None:
            return
        try:
            self._monitor.start(self._entries, self.scheduler.is_postponed)
        except SettingError as error:
            if not self._is_guest:
                raise
            # Several workers of one machine share a configuration, and only one of them can have the port.
            logger.error("%s; qbeat goes on without it.", error)  # noqa: TRY400 - no bug to trace

    def _note_turn(self) -> None:
        """Tell whoever watches how the turn went."""
        vitals = self._vitals
        if not vitals.has_loaded and self.scheduler.has_loaded:
            vitals.has_loaded = True
            if not self._is_guest:  # a guest's process is not its own to tune
                calm_collector()
        vitals.store_trouble = None
        vitals.waits_for_broker = self.scheduler.waits_for_broker
        vitals.entries = self.scheduler.outlook()[0]
        self._notifier.turned(self._status)

    def _status(self) -> str:
        entries, next_due = self.scheduler.outlook()
        upcoming = "nothing to come" if next_due is None else f"next firing {iso(next_due)}"
        waiting = "; waiting for the broker" if self.scheduler.waits_for_broker else ""
        loading = "" if self.scheduler.has_loaded else "; still loading"
        return f"{entries} entries, {upcoming}{waiting}{loading}"

    def obey_signals(self) -> None:
        """Stop on SIGTERM and SIGINT; a second one of them ends the process at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - what signals hand over
        signal.signal(number, signal.SIG_DFL)
        self.stop()


def _monitor(settings: Settings, vitals: Vitals) -> Monitor | None:
    if settings.health is None:
        return None
    from qbeat.beat.health.monitor import Monitor  # noqa: PLC0415 - most starts need none

    return Monitor(settings, vitals)


def describe_replica(entries: Iterable[Entry], now: int) -> ReplicaRecord:
    """Return the record of this process as a replica; its id is new each time."""
    host = socket.gethostname()
    return ReplicaRecord(
        id=f"{host}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
        host=host,
        pid=os.getpid(),
        version=__version__,
        generation=generation_of(entries),
        started_at=now,
        details={"tz_database": list(database()[:2])},
    )


def keep_off_result_backend(app: Celery) -> None:
    """Keep ``apply_async`` from subscribing to each result: this process never reads one.

    Otherwise each publishing leaks a subscription, and a result backend that is away stalls it for seconds.
    The tables of a database for results are left to the workers, which make them too.
    """
    app.conf.database_create_tables_at_setup = False
    make_backend = app._get_backend  # noqa: SLF001 - groups subscribe to their results without being asked

    def make_deaf_backend() -> Any:
        backend = make_backend()
        backend.add_pending_result = _ignore_result
        return backend

    app._get_backend = make_deaf_backend  # noqa: SLF001 - likewise
    if app._backend is not None:  # noqa: SLF001 - made while the app was loaded
        app._backend.add_pending_result = _ignore_result  # noqa: SLF001 - likewise
    _set_task_join_will_block(True)  # noqa: FBT003 - Celery's signature


def _ignore_result(result: Any, *_: Any, **__: Any) -> Any:
    return result
