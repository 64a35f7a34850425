"""The intervals by which a replica lives, all in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """The intervals of one replica; all replicas of a store should have the same."""

    heartbeat: float = 1.0
    """Between heartbeats while no other replica is live."""
    heartbeat_among_others: float = 0.2
    """Between heartbeats while there are others: a graceful stop delays nothing by more than this."""
    silent_after: float = 0.4
    """The overdue entries of a replica that has been silent for longer are fair game."""
    live_within: float = 3.0
    """A replica that has been silent for longer is taken for dead, and its share is divided."""
    takeover_delay: float = 0.5
    """An entry is overdue, for those whose share it is not, when it is this late."""
    watchdog_delay: float = 5.0
    """Entries that are this late are swept up even from a replica that lives."""
    sweep: float = 0.2
    """Between sweeps for overdue entries while there are other replicas; alone, with each heartbeat."""
    outbox: float = 1.0
    """Between looks into the outbox while nothing is known to be there; as often as sweeps where there are other
    replicas and publishing again does no harm."""
    uncertain_after: float = 10.0
    """A claimed firing that nobody has settled for so long is published again."""
    settle_within: float = 0.05
    """Published firings are settled with the next claim, or after so long."""
    max_wait: float = 1.0
    """The longest wait between two ticks, so that a jump of the clock is noticed."""
