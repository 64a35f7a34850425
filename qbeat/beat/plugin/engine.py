"""The scheduler that runs inside the plug-in: the same service as ``qbeat -A``, on a store of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from celery import Celery

from qbeat.beat.clock import SystemClock
from qbeat.beat.entries import Entry, generation_of
from qbeat.beat.publishing.plain import PlainScheduler
from qbeat.beat.service import MAX_BACKOFF, MIN_BACKOFF, Service
from qbeat.beat.settings import Settings
from qbeat.store import open_store
from qbeat.store.base import Store, StoreUnavailable

logger = logging.getLogger("qbeat.plugin")


@dataclass(slots=True)
class _Running:
    """What there is while the store is open."""

    store: Store
    service: Service


class Engine:
    """Opens the store with the first turn, tries again while it is away, and is turned by Celery's loop.

    It belongs to the process that made it: a forked child must leave it alone and make its own.
    """

    def __init__(
        self, app: Celery, settings: Settings, entries: Sequence[Entry], plain: PlainScheduler
    ) -> None:
        self.pid: Final = os.getpid()
        self._app = app
        self._settings = settings
        self._entries = entries
        self._plain = plain
        self._running: _Running | None = None
        self._backoff = MIN_BACKOFF
        self._not_before = 0.0
        self._clock = SystemClock()

    def turn(self) -> float:
        """Do what is due; return after how many seconds there may be more to do."""
        if self._running is None:
            left = self._not_before - self._clock.monotonic()
            if left > 0:
                return left
            try:
                self._running = self._open()
            except StoreUnavailable as error:
                return self._wait_for_store(error)
        return self._running.service.turn()

    def redeclare(self, entries: Sequence[Entry]) -> bool:
        """Go on with other entries, as a new replica: a declaration is what a replica stands for.

        Return whether they are any different.
        """
        if generation_of(entries) == generation_of(self._entries):
            return False
        self._entries = entries
        if self._running is not None:
            self._running.service.leave()
            self._running.service = self._begin(self._running.store)
        return True

    def progress(self) -> list[tuple[str, int, int]]:
        """Return of each entry its name, its last fire time accounted for, and how often it has fired."""
        return [] if self._running is None else self._running.service.scheduler.progress()

    def close(self) -> None:
        """Finish what is being published, and let go of everything."""
        running, self._running = self._running, None
        if running is not None:
            try:
                running.service.finish()
            finally:
                running.store.close()
        # The clock stays: a thread that still looks for the broker may wake it.

    def _open(self) -> _Running:
        store = open_store(self._settings.store)
        try:
            service = self._begin(store)
        except BaseException:
            store.close()
            raise
        logger.info("qbeat keeps its store at %s.", store.url)
        return _Running(store, service)

    def _begin(self, store: Store) -> Service:
        service = Service(self._app, store, self._entries, self._settings, self._clock, plain=self._plain)
        service.start()
        return service

    def _wait_for_store(self, error: StoreUnavailable) -> float:
        if self._backoff == MIN_BACKOFF:
            logger.error("%s; nothing fires until it is there.", error)
        wait, self._backoff = self._backoff, min(2 * self._backoff, MAX_BACKOFF)
        self._not_before = self._clock.monotonic() + wait
        return wait
