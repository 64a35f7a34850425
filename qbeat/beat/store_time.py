"""The store's clock as one replica knows it, carried on by the monotonic clock between two looks."""

from __future__ import annotations

from qbeat.beat.clock import Clock
from qbeat.schedules.base import SECOND
from qbeat.store.base import Store


class StoreTime:
    """Tells the store's time without asking the store each time.

    All replicas fire by the store's clock, so a replica whose own wall clock is wrong, or jumps, neither
    fires early nor late. Each look at the store bounds the difference between its clock and the monotonic
    one: the answer was read after the question went out and before it came back. Of these bounds the lower
    one is used, so that nothing is early; later looks can only tighten it, or show that the clock jumped.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ahead: int | None = None

    def observe(self) -> int:
        """Look at the store's clock; return by how many microseconds it jumped since the last look, mostly 0."""
        before = self._monotonic()
        now = self._store.now()
        after = self._monotonic()
        earliest, latest = now - after, now - before
        known = self._ahead
        self._ahead = earliest if known is None else min(max(known, earliest), latest)
        if known is None or abs(self._ahead - known) < SECOND:
            return 0
        return self._ahead - known

    def now(self) -> int:
        """Return the store's time in microseconds since the epoch."""
        if self._ahead is None:
            self.observe()
        assert self._ahead is not None
        return self._ahead + self._monotonic()

    def _monotonic(self) -> int:
        return round(self._clock.monotonic() * SECOND)
