"""Publishes on a few threads, so that neither a slow entry nor an absent broker holds up the loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from qbeat.beat.clock import Clock
from qbeat.beat.entries import Entry
from qbeat.beat.observer import SILENT, Observer
from qbeat.beat.publishing.base import Publisher, Result, Submission, Verdict
from qbeat.beat.publishing.plain import Answer, PlainSender, explain
from qbeat.beat.publishing.turns import Turns
from qbeat.store.records import Firing

logger = logging.getLogger("qbeat.publishing")

MAX_THREADS: Final = 16
SLOW_AFTER: Final = 0.1
"""Seconds that the next firing waits for a busy thread before another thread is started."""
AHEAD: Final = 16
"""Entries whose messages are made ready in one go, and so the longest that a firing waits for that."""
REST: Final = 0.002
"""Seconds between two such goes: the loop has to come to its turn, too."""
MIN_BACKOFF: Final = 0.2
MAX_BACKOFF: Final = 5.0
"""Seconds between two tries: the shortest first, doubled after each that fails, up to the longest."""


class PooledPublisher(Publisher):
    """Gives firings to the first thread that is free; each thread has a sender with its own connection.

    The submissions of one entry form a queue that one thread at a time works off, so their order holds. One thread
    is enough until an entry is slow; then another is started, up to ``MAX_THREADS``. When the broker is
    away, all that waits comes back as unsent, and one thread knocks with growing pauses until it answers.
    """

    def __init__(
        self,
        make_sender: Callable[[], PlainSender],
        clock: Clock,
        now: Callable[[], int],
        observer: Observer = SILENT,
    ) -> None:
        self._make_sender = make_sender
        self._clock = clock
        self._now = now
        self._observer = observer
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._turns = Turns()
        self._held: set[tuple[str, int, str]] = set()
        self._results: list[Result] = []
        self._stuck: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._connected: list[PlainSender] = []
        self._idle = 0
        self._ahead: Iterator[tuple[Entry, str]] | None = None
        self._waiting_since: float | None = None
        self._ready = False
        self._closing = False
        self._knocker: threading.Thread | None = None
        self._stop_knocking = threading.Event()
        self._pause = 0.0
        """Seconds before the broker is asked again; none once it has taken something."""
        self._exactly_once = make_sender().exactly_once

    def start(self) -> None:
        with self._lock:
            self._look_for_broker()

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def exactly_once(self) -> bool:
        return self._exactly_once

    @property
    def in_flight(self) -> int:
        return len(self._held)

    def holds(self, firing: Firing) -> bool:
        return _key(firing) in self._held

    def submit(self, submissions: Sequence[Submission]) -> None:
        with self._lock:
            for submission in submissions:
                self._enqueue(submission)
            self._work_waits(len(submissions))
            self._grow()

    def get_ready(self, ahead: Iterator[tuple[Entry, str]]) -> None:
        with self._lock:
            self._ahead = ahead
            if not self._threads and not self._closing:
                self._start_thread()
            self._work.notify()

    def collect(self) -> list[Result]:
        with self._lock:
            self._grow()
            results, self._results = self._results, []
            self._stuck.clear()
            self._held.difference_update(_key(result.submission.firing) for result in results)
            return results

    def close(self, timeout: float) -> list[Result]:
        deadline = time.monotonic() + timeout
        with self._lock:
            self._closing = True
            self._stop_knocking.set()
            self._work.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for sender in self._connected:
            sender.close()
        return self.collect()

    # --- handing out work; all of these hold the lock

    def _enqueue(self, submission: Submission) -> None:
        uid = submission.firing.uid
        self._held.add(_key(submission.firing))
        if uid in self._stuck:
            self._results.append(Result(submission, Verdict.UNSENT, self._now()))
            return
        self._turns.add(submission)

    def _work_waits(self, count: int) -> None:
        if self._turns and self._waiting_since is None:
            self._waiting_since = time.monotonic()
        self._work.notify(count)

    def _grow(self) -> None:
        """Start a thread if work waits and nobody is free; the first at once, more only when all are slow."""
        if not self._turns or self._idle or self._closing or len(self._threads) >= MAX_THREADS:
            return
        waited = time.monotonic() - (self._waiting_since or time.monotonic())
        if not self._threads or waited >= SLOW_AFTER:
            self._waiting_since = time.monotonic()
            self._start_thread()

    def _start_thread(self) -> None:
        name = f"qbeat-publish-{len(self._threads)}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _take_submissions(self, limit: int) -> list[Submission]:
        """Take the next submission of some entries: many at a time, unless it may be slow."""
        taken = self._turns.take(limit)
        self._waiting_since = time.monotonic() if self._turns else None
        return taken

    def _note(self, result: Result) -> None:
        """Keep a result, and let the entry's next firing have its turn, or come back if this one failed."""
        self._results.append(result)
        uid = result.submission.firing.uid
        if result.verdict is Verdict.PUBLISHED:
            self._pause = 0.0
        else:
            self._give_back(uid)
        self._turns.done(uid)

    def _give_back(self, uid: str) -> None:
        """Return the later submissions of an entry whose turn failed: the outbox keeps their order."""
        self._stuck.add(uid)
        self._results += [
            Result(submission, Verdict.UNSENT, self._now()) for submission in self._turns.give_up(uid)
        ]

    def _broker_is_away(self, error: str | None) -> None:
        if self._ready:
            logger.error("The broker is away (%s); firings wait in the outbox until it is back.", error)
            self._ready = False
        for uid in self._turns.give_up_turns():
            self._give_back(uid)
            self._turns.done(uid)
        self._look_for_broker()

    def _look_for_broker(self) -> None:
        if self._closing or (self._knocker is not None and self._knocker.is_alive()):
            return
        self._knocker = threading.Thread(target=self._knock, name="qbeat-knock", daemon=True)
        self._knocker.start()

    # --- the threads

    def _run(self) -> None:
        with self._lock:
            sender = self._connected.pop() if self._connected else self._make_sender()
        try:
            while submissions := self._wait_for_submissions(sender):
                self._work_off(submissions, sender)
        finally:
            sender.close()

    def _wait_for_submissions(self, sender: PlainSender) -> list[Submission]:
        """Wait for work and take it; nothing when the publisher closes and all is done."""
        while True:
            with self._lock:
                ahead = self._ahead if self._ready else None
                if not self._turns and not self._closing:
                    self._idle += 1
                    self._work.wait(None if ahead is None else REST)
                    self._idle -= 1
                if self._turns:
                    return self._take_submissions(sender.batch)
                if self._closing:
                    return []
                entries = [*islice(ahead or (), AHEAD)]
            if ahead is not None:
                self._get_some_ready(entries, sender, ahead)

    def _get_some_ready(
        self, entries: Sequence[tuple[Entry, str]], sender: PlainSender, ahead: Iterator[tuple[Entry, str]]
    ) -> None:
        """Make messages ready in a lull, until there are no more or something is in the way."""
        try:
            more = bool(entries) and sender.get_ready(entries)
        except Exception as error:  # noqa: BLE001 - each transport has its own errors
            sender.close()
            logger.debug("No message is made ahead now: %s", explain(error))
            more = False
        with self._lock:
            if not more and self._ahead is ahead:
                self._ahead = None

    def _work_off(self, submissions: list[Submission], sender: PlainSender) -> None:
        now = self._clock.monotonic()
        in_time = [submission for submission in submissions if now <= submission.start_before]
        answers = self._send(in_time, sender) if in_time else []
        away = self._broker_trouble(answers, sender)
        finished_at = self._now()
        with self._lock:
            for submission in submissions:
                if now > submission.start_before:
                    self._note(Result(submission, Verdict.EXPIRED, finished_at))
            for submission, answer in zip(in_time, answers, strict=True):
                if answer is None:
                    self._turns.put_back(submission)
                else:
                    verdict, error = answer
                    self._note(Result(submission, verdict, finished_at, error))
            self._work_waits(answers.count(None))
            if away is not None:
                self._broker_is_away(away)
        self._clock.wake()

    def _send(self, submissions: list[Submission], sender: PlainSender) -> Sequence[Answer | None]:
        started = time.perf_counter()
        answers = sender.send(submissions)
        if tried := len(answers) - answers.count(None):
            self._observer.sent(tried, time.perf_counter() - started)
        return answers

    def _broker_trouble(self, answers: Iterable[Answer | None], sender: PlainSender) -> str | None:
        """Return why the broker is thought to be away; where nobody knows what it has, it is asked once more."""
        tried = [answer for answer in answers if answer is not None]
        for verdict, error in tried:
            if verdict is Verdict.UNSENT:
                return error or "no connection"
        if any(verdict is Verdict.UNCERTAIN for verdict, _ in tried):
            try:
                sender.check()
            except Exception as reason:  # noqa: BLE001 - each transport has its own errors
                sender.close()
                return explain(reason)
        return None

    def _knock(self) -> None:
        complained = False
        while not self._stop_knocking.wait(self._pause):
            self._pause = min(max(2 * self._pause, MIN_BACKOFF), MAX_BACKOFF)
            sender = self._make_sender()
            try:
                sender.check()
            except Exception as error:  # noqa: BLE001 - each transport has its own errors
                sender.close()
                if not complained:
                    logger.warning(
                        "No answer from the broker (%s); trying again until it is there.", explain(error)
                    )
                    complained = True
            else:
                self._broker_is_there(sender, log=complained)
                return

    def _broker_is_there(self, sender: PlainSender, *, log: bool) -> None:
        """Take up work again; the connection that was made goes to the next thread."""
        if log:
            logger.warning("The broker is there again.")
        with self._lock:
            self._knocker = None
            self._ready = True
            self._work.notify()
            if self._threads or self._closing:
                sender.close()
            else:
                self._connected.append(sender)
        self._clock.wake()


def _key(firing: Firing) -> tuple[str, int, str]:
    return firing.uid, firing.fire_time, firing.lane
