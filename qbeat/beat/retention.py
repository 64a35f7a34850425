"""Keeps the history within its bounds: prunes what is too old or too much, a batch at a time, in quiet ticks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from qbeat.beat.clock import Clock
from qbeat.schedules.base import SECOND
from qbeat.store.base import MAX_BATCH, Store

logger = logging.getLogger("qbeat")

EVERY: Final = 60.0
"""Seconds between two looks for something to prune; after an error too."""
SOON: Final = 0.2
"""Seconds between two batches while there is more."""
COUNT_EVERY: Final = 600.0
"""Seconds between two counts: a store may have to pass over as many records as are kept."""
LULL: Final = 0.5
"""Seconds without anything due that a count is given; it takes less with a million records."""
PATIENCE: Final = 600.0
"""After so many seconds without a lull the work is done all the same: a history has a bound."""

_DAY: Final = 86_400 * SECOND


@dataclass(frozen=True)
class Keep:
    """How much of the history is kept. The newest published record of each entry stays in any case."""

    days: float = 30.0
    """Records of fire times that lie longer ago go."""
    count: int = 1_000_000
    """Records beyond about so many go, the oldest first."""


class Retention:
    """Prunes one store's history; ``now`` returns the store's time in microseconds since the epoch."""

    def __init__(self, store: Store, keep: Keep, clock: Clock, now: Callable[[], int]) -> None:
        self._store = store
        self._keep = keep
        self._clock = clock
        self._now = now
        self._next_batch = clock.monotonic() + EVERY
        self._next_count = self._next_batch
        self._enough_after = 0
        """From this instant on there are as many records as are kept."""

    def work(self, *, lull: float) -> None:
        """Prune a batch if it is time to; ``lull`` is the seconds until something is due, 0 if it is now."""
        monotonic = self._clock.monotonic()
        if monotonic < self._next_batch + (0.0 if lull > 0 else PATIENCE):
            return
        self._next_batch = monotonic + EVERY  # before anything can fail
        pruned = self._store.prune(self._before(monotonic, lull), MAX_BATCH)
        if pruned:
            logger.debug("Pruned %d records of the history.", pruned)
        if pruned == MAX_BATCH:
            self._next_batch = monotonic + SOON

    def wait(self) -> float:
        """Return the seconds until there may be something to prune, more than 0."""
        return max(SOON, self._next_batch - self._clock.monotonic())

    def _before(self, monotonic: float, lull: float) -> int:
        """Return the instant before which nothing is kept."""
        if monotonic >= self._next_count + (0.0 if lull > LULL else PATIENCE):
            self._next_count = monotonic + COUNT_EVERY
            self._enough_after = self._store.history_before(self._keep.count) or self._enough_after
        return max(self._now() - round(self._keep.days * _DAY), self._enough_after)
