"""Publishes the plain way on a few threads, so that neither a slow entry nor an absent broker holds up the loop."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from celery import Celery

from qbeat.beat.clock import Clock
from qbeat.beat.publishing.base import Job, Publisher, Result, Verdict
from qbeat.beat.publishing.plain import PlainScheduler, PlainSender, explain
from qbeat.store.records import Firing

logger = logging.getLogger("qbeat.publishing")

MAX_THREADS: Final = 16
SLOW_AFTER: Final = 0.1
"""Seconds that the next firing waits for a busy thread before another thread is started."""
MIN_BACKOFF: Final = 0.2
MAX_BACKOFF: Final = 5.0


class PlainPublisher(Publisher):
    """Sends each firing through ``PlainSender`` on the first thread that is free.

    The jobs of one entry form a queue that one thread at a time works off, so their order holds. One thread
    is enough until an entry is slow; then another is started, up to ``MAX_THREADS``. When the broker is
    away, all that waits comes back as unsent, and one thread knocks with growing pauses until it answers.
    """

    def __init__(self, app: Celery, clock: Clock, now: Callable[[], int]) -> None:
        self._app = app
        self._clock = clock
        self._now = now
        self._scheduler = PlainScheduler(app)
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._queues: dict[str, deque[Job]] = {}
        self._runnable: deque[str] = deque()
        self._held: set[tuple[str, int, str]] = set()
        self._results: list[Result] = []
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._waiting_since: float | None = None
        self._ready = False
        self._closing = False
        self._probe: threading.Thread | None = None
        self._stop_probe = threading.Event()

    def start(self) -> None:
        with self._lock:
            self._look_for_broker()

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def in_flight(self) -> int:
        return len(self._held)

    def holds(self, firing: Firing) -> bool:
        return _key(firing) in self._held

    def submit(self, jobs: Sequence[Job]) -> None:
        with self._lock:
            for job in jobs:
                self._enqueue(job)
            if self._runnable and self._waiting_since is None:
                self._waiting_since = time.monotonic()
            self._work.notify(len(jobs))
            self._grow()

    def collect(self) -> list[Result]:
        with self._lock:
            self._grow()
            results, self._results = self._results, []
            self._held.difference_update(_key(result.job.firing) for result in results)
            return results

    def close(self, timeout: float) -> list[Result]:
        deadline = time.monotonic() + timeout
        with self._lock:
            self._closing = True
            self._stop_probe.set()
            self._work.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return self.collect()

    def _enqueue(self, job: Job) -> None:
        uid = job.firing.uid
        queue = self._queues.get(uid)
        if queue is None:
            queue = self._queues[uid] = deque()
            self._runnable.append(uid)
        queue.append(job)
        self._held.add(_key(job.firing))

    def _grow(self) -> None:
        """Start a thread if work waits and nobody is free; the first at once, more only when all are slow."""
        if not self._runnable or self._idle or self._closing or len(self._threads) >= MAX_THREADS:
            return
        waited = time.monotonic() - (self._waiting_since or time.monotonic())
        if not self._threads or waited >= SLOW_AFTER:
            self._waiting_since = time.monotonic()
            thread = threading.Thread(
                target=self._run, name=f"qbeat-publish-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        sender = PlainSender(self._app, self._scheduler)
        try:
            while (uid := self._next_queue()) is not None:
                self._work_off(uid, sender)
        finally:
            sender.close()

    def _next_queue(self) -> str | None:
        """Wait for a queue with work and take it; ``None`` when the publisher closes and all is done."""
        with self._lock:
            while not self._runnable:
                if self._closing:
                    return None
                self._idle += 1
                self._work.wait()
                self._idle -= 1
            uid = self._runnable.popleft()
            self._waiting_since = time.monotonic() if self._runnable else None
            return uid

    def _work_off(self, uid: str, sender: PlainSender) -> None:
        """Publish one job of the queue, then let other entries have their turn."""
        with self._lock:
            job = self._queues[uid].popleft()
        verdict, error = self._send(sender, job)
        with self._lock:
            self._results.append(Result(job, verdict, self._now(), error))
            if verdict is not Verdict.PUBLISHED:
                self._give_back(uid)
            if verdict is Verdict.UNSENT:
                self._broker_is_away(error)
            if self._queues[uid]:
                self._runnable.append(uid)
            else:
                del self._queues[uid]
        self._clock.wake()

    def _send(self, sender: PlainSender, job: Job) -> tuple[Verdict, str | None]:
        if self._clock.monotonic() > job.start_before:
            return Verdict.EXPIRED, None
        verdict, error = sender.send(job)
        if verdict is Verdict.UNCERTAIN:
            try:
                sender.connect()
            except Exception as reason:  # noqa: BLE001 - each transport has its own errors
                sender.close()
                with self._lock:
                    self._broker_is_away(explain(reason))
        return verdict, error

    def _give_back(self, uid: str) -> None:
        """Return the later jobs of an entry whose turn failed: their order is kept by the outbox."""
        queue = self._queues[uid]
        while queue:
            self._results.append(Result(queue.popleft(), Verdict.UNSENT, self._now()))

    def _broker_is_away(self, error: str | None) -> None:
        if self._ready:
            logger.error("The broker is away (%s); firings wait in the outbox until it is back.", error)
            self._ready = False
        while self._runnable:
            uid = self._runnable.popleft()
            self._give_back(uid)
            del self._queues[uid]
        self._look_for_broker()

    def _look_for_broker(self) -> None:
        if self._closing or (self._probe is not None and self._probe.is_alive()):
            return
        self._probe = threading.Thread(target=self._knock, name="qbeat-knock", daemon=True)
        self._probe.start()

    def _knock(self) -> None:
        backoff, complained = MIN_BACKOFF, False
        while not self._stop_probe.is_set():
            sender = PlainSender(self._app, self._scheduler)
            try:
                sender.connect()
            except Exception as error:  # noqa: BLE001 - each transport has its own errors
                if not complained:
                    logger.warning(
                        "No answer from the broker (%s); trying again until it is there.", explain(error)
                    )
                    complained = True
                self._stop_probe.wait(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF)
            else:
                self._broker_is_back(log=complained)
                return
            finally:
                sender.close()

    def _broker_is_back(self, *, log: bool) -> None:
        if log:
            logger.warning("The broker is there again.")
        with self._lock:
            self._probe = None
            self._ready = True
        self._clock.wake()


def _key(firing: Firing) -> tuple[str, int, str]:
    return firing.uid, firing.fire_time, firing.lane
