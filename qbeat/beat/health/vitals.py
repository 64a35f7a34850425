"""What the loop says of itself, for whoever watches it: written by the loop's thread, read by any."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Vitals:
    """How the last turn of the loop went."""

    turned_at: float = field(default_factory=time.monotonic)
    """By the monotonic clock; the start counts as a turn."""
    turned_at_time: float = 0.0
    """By the wall clock, in seconds since the epoch; 0 before the first turn."""
    has_loaded: bool = False
    """Whether all entries of app and store are loaded."""
    store_trouble: str | None = None
    """Why the last turn could not reach the store."""
    waits_for_broker: bool = True
    """Whether nothing is claimed because the broker is away, or has not answered for what it was sent."""
    entries: int = 0
    """How many entries this replica may fire."""

    def turned(self) -> None:
        """Note the end of a turn."""
        self.turned_at, self.turned_at_time = time.monotonic(), time.time()

    def age(self) -> float:
        """Return the seconds since the last turn."""
        return time.monotonic() - self.turned_at
