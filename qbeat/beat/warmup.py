"""Makes messages ready while nothing is due, so that an entry's first firing costs no more than the next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from qbeat.beat.clock import Clock
from qbeat.beat.publishing.fused import Fusion
from qbeat.beat.roster import Roster, Tracked

LULL: Final = 0.05
"""Seconds: if something is due sooner, there is no time for it."""
SLICE: Final = 0.01
"""Seconds that one go may take."""
CHECK: Final = 16
"""Entries between two looks at the clock."""


class Warmup:
    """Goes once through the entries of this replica's share after each ``restart``, those due next first."""

    def __init__(self, fusion: Fusion | None, roster: Roster, clock: Clock) -> None:
        self._fusion = fusion
        self._roster = roster
        self._clock = clock
        self._ahead: Iterator[Tracked] | None = None

    def restart(self) -> None:
        """Begin anew: there are other entries."""
        self._ahead = None if self._fusion is None else self._roster.by_due()

    def work(self, *, lull: float) -> None:
        """Make some messages ready; ``lull`` is the seconds until something is due."""
        if self._fusion is None or self._ahead is None or lull < LULL:
            return
        self._fusion.refresh()
        until = self._clock.monotonic() + SLICE
        for number, tracked in enumerate(self._ahead, 1):
            if not self._fusion.get_ready(tracked.entry, tracked.uid):
                break
            if number % CHECK == 0 and self._clock.monotonic() >= until:
                return
        self._ahead = None

    def wait(self, *, lull: float) -> float:
        """Return the seconds until there is more to do: none, or any number."""
        return math.inf if self._ahead is None or lull < LULL else 0.0
