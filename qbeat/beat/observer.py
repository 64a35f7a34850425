"""What the firing of entries tells about itself, a batch at a time; this observer hears it and does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qbeat.store.records import Claim, Firing, Release, Settlement, Won


class Observer:
    """Is told what happened, never asked. Each call is for a whole batch, by the loop's thread if not said otherwise."""

    def claimed(self, claims: Sequence[Claim], outcomes: Sequence[Won], now: int) -> None:
        """Hear how claims ended, in their order, at ``now`` in microseconds since the epoch."""

    def settled(self, settlements: Sequence[Settlement], releases: Sequence[Release] = ()) -> None:
        """Hear what was written about how firings ended, and which went back into the outbox."""

    def taken_over(self, firings: Sequence[Firing]) -> None:
        """Hear what was taken from the outbox to be published."""

    def sent(self, count: int, seconds: float) -> None:
        """Hear that the broker has answered about ``count`` messages; any thread that publishes may call it."""

    def clock_jumped(self) -> None:
        """Hear that the store's clock jumped."""


SILENT: Final = Observer()
"""Nobody watches."""
