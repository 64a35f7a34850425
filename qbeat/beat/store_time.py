"""The store's clock as one replica knows it, carried on by the monotonic clock between two looks."""

from __future__ import annotations

from typing import Final

from qbeat.beat.clock import Clock
from qbeat.schedules.base import SECOND
from qbeat.store.base import Store

DRIFT: Final = 500e-6
"""So much faster than the store's may a monotonic clock run: the most by which clocks are steered."""


class StoreTime:
    """Tells the store's time without asking the store each time.

    All replicas fire by the store's clock, so a replica whose own wall clock is wrong, or jumps, neither
    fires early nor late. Each look at the store bounds the difference between its clock and the monotonic
    one: the answer was read after the question went out and before it came back. Of these bounds the lower
    one is used, and from then on the time goes by ``DRIFT`` too slowly, so that nothing is early; later
    looks can only tighten it, or show that the clock jumped.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ahead: int | None = None
        self._looked_at = 0

    def observe(self) -> int:
        """Look at the store's clock; return by how many microseconds it jumped since the last look, mostly 0."""
        before = self._monotonic()
        now = self._store.now()
        after = self._monotonic()
        earliest, latest = now - after, now - before
        known = self._ahead
        if known is None:
            self._ahead = earliest
        else:
            self._ahead = min(max(known - self._allowance(after), earliest), latest)
        self._looked_at = after
        if known is None or abs(self._ahead - known) < SECOND:
            return 0
        return self._ahead - known

    def now(self) -> int:
        """Return the store's time in microseconds since the epoch."""
        if self._ahead is None:
            self.observe()
        assert self._ahead is not None
        monotonic = self._monotonic()
        return self._ahead + monotonic - self._allowance(monotonic)

    def until(self, instant: int) -> float:
        """Return the seconds of the monotonic clock after which ``now`` will say ``instant``."""
        return (instant - self.now()) / SECOND / (1 - DRIFT)

    def _allowance(self, monotonic: int) -> int:
        return round((monotonic - self._looked_at) * DRIFT)

    def _monotonic(self) -> int:
        return round(self._clock.monotonic() * SECOND)
