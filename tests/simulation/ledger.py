"""What really happened in a history, noted where it took effect, for the invariants to judge."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from qbeat.store.records import Claim, EntryRecord, Won


@dataclass(frozen=True, slots=True)
class Saved:
    """An entry as it was written."""

    at: int
    record: EntryRecord


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim that was tried, and how it ended."""

    at: int
    replica: str
    claim: Claim
    won: Won


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that the broker has taken in."""

    at: int
    replica: str
    uid: str
    fire_time: int
    lane: str
    task_id: str


Slot = tuple[str, int, str]
"""An entry, a fire time and a lane."""


@dataclass
class Ledger:
    """All instants in true time."""

    saved: list[Saved] = field(default_factory=list)
    claimed: list[Claimed] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    ticks: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often a replica ticked in one second of true time."""
    dropped: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How many messages of a replica the broker's marks have dropped in one second of true time."""
    errors: list[str] = field(default_factory=list)
    """What a replica raised that it should not have."""
    holds: dict[Slot, tuple[str, int]] = field(default_factory=dict)
    """Who was given a firing to publish, and when."""
    skipped_at: dict[Slot, int] = field(default_factory=dict)
    """When a firing that had been claimed was skipped; by the store's clock."""
    ended: list[tuple[int, str, frozenset[str]]] = field(default_factory=list)
    """When a replica was killed or told to stop on purpose, and the entries with unsettled firings then."""
