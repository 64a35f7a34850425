"""The watchdog: a thread beside the loop that looks at the loop's turns and, seldom, into the store's index.

It shares no code path with what it watches. It looks through a connection of its own, so a store call that
hangs in the loop does not blind it, and what it looks at is what the store says is overdue, not what the
replica believes. Two things make it red:

1. the loop has not turned for ``bound`` seconds;
2. an entry that this replica could fire stays overdue, with its cursor where it was, for ``bound`` seconds.

A broker that is away makes it neither: then overdue entries are not claimed on purpose.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from qbeat.beat.entries import Entry
from qbeat.beat.health.vitals import Vitals
from qbeat.schedules.base import SECOND
from qbeat.store.base import MAX_BATCH, Store, StoreError
from qbeat.store.records import EntryRecord

logger = logging.getLogger("qbeat.health")

PAUSE: Final = 5.0
"""Seconds between two looks into the store."""
START_PAUSE: Final = 0.2
"""Seconds between two looks at a loop that has not turned yet."""
MAX_PAUSE_SHARE: Final = 4
"""So many looks fit into the bound, should it be short."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the store showed at one look."""

    overdue: int
    """Entries that are overdue; counted up to ``MAX_BATCH``."""
    oldest_overdue: float
    """Seconds by which the longest overdue entry is late; 0 if none is."""
    backlog: int
    """Firings in the outbox."""
    replicas: int
    """Live replicas."""
    clock_offset: float
    """Seconds by which this machine's clock is ahead of the store's."""


class Watchdog:
    """Judges one replica. ``red`` and ``look`` may be read by any thread.

    ``open_store`` opens the watchdog's own connection; with ``None`` (a store that lives in this process
    alone) only the loop is watched. ``is_postponed`` says whether the replica leaves an entry alone on
    purpose, because its schedule fails.
    """

    def __init__(
        self,
        vitals: Vitals,
        entries: Mapping[str, Entry],
        open_store: Callable[[], Store] | None,
        *,
        bound: float,
        takeover_delay: float,
        live_within: float,
        is_postponed: Callable[[str, int], bool],
    ) -> None:
        self._vitals = vitals
        self._entries = entries
        self._open_store = open_store
        self._bound = bound
        self._takeover_delay = round(takeover_delay * SECOND)
        self._live_within = round(live_within * SECOND)
        self._is_postponed = is_postponed
        self._store: Store | None = None
        self._unclaimed: dict[tuple[str, int], tuple[str, float]] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qbeat-watchdog", daemon=True)
        self._was_red = False
        self.look: Look | None = None
        self.store_trouble: str | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching; a look that is under way ends by itself."""
        self._ending.set()

    def red(self) -> str | None:
        """Return why this replica is not alive, ``None`` if it is."""
        age = self._vitals.age()
        if age > self._bound:
            return f"the loop has not turned for {age:.0f} s"
        now = time.monotonic()
        for name, since in list(self._unclaimed.values()):
            if now - since > self._bound:
                return f"the entry {name!r} is overdue and has not been claimed for {now - since:.0f} s"
        return None

    def watch(self) -> None:
        """Look once, and log if something has changed."""
        self._try_to_look()
        red = self.red()
        if red and not self._was_red:
            logger.error("The watchdog is red: %s.", red)
        elif self._was_red and not red:
            logger.warning("The watchdog is green again.")
        self._was_red = red is not None

    def _run(self) -> None:
        pause = min(PAUSE, self._bound / MAX_PAUSE_SHARE)
        while not self._ending.is_set():
            self.watch()
            self._ending.wait(pause if self._vitals.has_loaded else min(pause, START_PAUSE))
        self._let_go()

    def _try_to_look(self) -> None:
        if self._open_store is None or not self._vitals.has_loaded:
            return
        try:
            if self._store is None:
                self._store = self._open_store()
            self._look(self._store)
        except StoreError as error:
            self._blind(str(error))
        except Exception as error:
            # The watchdog must outlive whatever a driver raises, or nobody watches any more.
            logger.exception("The watchdog cannot look into the store.")
            self._blind(f"{type(error).__name__}: {error}")

    def _blind(self, why: str) -> None:
        """Note that nothing is known: without a store, nobody can claim."""
        self.store_trouble, self.look = why, None
        self._unclaimed = {}
        self._let_go()

    def _look(self, store: Store) -> None:
        before, wall = time.monotonic(), time.time()
        now = store.now()
        latency = time.monotonic() - before
        overdue = store.overdue(now - self._takeover_delay, MAX_BATCH)
        live = [each for each in store.replicas() if each.heartbeat_at >= now - self._live_within]
        self.look = Look(
            overdue=len(overdue),
            oldest_overdue=(now - (overdue[0].due_at or now)) / SECOND if overdue else 0.0,
            backlog=store.unsettled(),
            replicas=len(live),
            clock_offset=wall + latency / 2 - now / SECOND,
        )
        self.store_trouble = None
        self._follow(overdue, now)

    def _follow(self, overdue: list[EntryRecord], now: int) -> None:
        """Remember since when each entry has been overdue without a claim that moves its cursor."""
        if self._vitals.waits_for_broker:
            self._unclaimed = {}
            return
        monotonic = time.monotonic()
        self._unclaimed = {
            (each.uid, each.cursor): self._unclaimed.get((each.uid, each.cursor), (each.name, monotonic))
            for each in overdue
            if self._is_ours(each, now)
        }

    def _is_ours(self, record: EntryRecord, now: int) -> bool:
        entry = self._entries.get(record.name)
        if entry is None or entry.fingerprint != record.fingerprint:
            return False
        return not self._is_postponed(record.uid, now)

    def _let_go(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            try:
                store.close()
            except Exception:  # it is broken already
                logger.debug("closing the watchdog's connection failed", exc_info=True)
