"""What a store remembers: entries, firings and replicas, as plain immutable records.

Instants are integer microseconds since the Unix epoch in UTC. Nothing here knows what a schedule means. What
is made anew for each firing is a named tuple: a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

Origin = Literal["declared", "dynamic"]
Outcome = Literal["claimed", "published", "skipped", "failed"]
Reason = Literal["coalesced", "missed", "paused", "overlap", "excluded", "superseded"]

AUTO: Final = "auto"
"""The lane of firings that the schedule itself asks for."""


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """One entry as the store knows it: what it is, in printable form, and how far it has come."""

    name: str
    uid: str
    """32 hexadecimal digits; an entry that is removed and made again gets another one."""
    origin: Origin
    task: str
    schedule: Mapping[str, Any]
    """The schedule as plain data, always with a ``kind``."""
    timezone: str
    definition: Mapping[str, Any]
    """Arguments, options and policies: JSON-ready; printable only where ``origin`` is ``declared``."""
    fingerprint: str
    """Hash of all that the entry's declaration says; equal fingerprints fire the same messages."""
    generation: str
    """Hash of the whole declaration that last contained this entry; empty for a dynamic entry."""
    anchor: int
    """Where the entry's grid starts: its first registration."""
    cursor: int
    """The last instant accounted for; nothing at or before it can fire again automatically."""
    next_fire_time: int | None
    due_at: int | None
    """When the next firing is to go out: its fire time plus jitter; ``None`` while nothing is to come."""
    revision: int = 0
    """Counts the writes of ``save``; claims leave it alone."""
    change: int = 0
    """The store's change number at the last ``save``; set by the store."""
    pause: Mapping[str, Any] | None = None
    total_run_count: int = 0
    last_fire_time: int | None = None
    last_published_at: int | None = None
    """Filled in by ``entries``; ignored by ``save``."""
    retired_at: int | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """A run of equal skips: ``count`` fire times from ``first`` to ``last`` (``None``: too many to count)."""

    first: int
    last: int
    count: int | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Change:
    """A wish to write an entry: ``record`` replaces what is there if that is still what the writer read.

    ``expected_revision`` is ``None`` for an entry that must not exist yet. A write that moves the cursor
    says with ``skips`` what became of the fire times in between.
    """

    record: EntryRecord
    expected_revision: int | None
    expected_cursor: int | None = None
    skips: tuple[Skip, ...] = ()


class Message(NamedTuple):
    """A ready message for a list in Redis: what is pushed, and where."""

    key: str
    payload: str


class NewFiring(NamedTuple):
    """A firing that a claim brings into being, to be published under ``task_id``."""

    fire_time: int
    task_id: str
    message: Message | None = None
    """If given, winning the claim pushes it in the same atomic step and the firing is ``published`` at once.

    Only for a store for which ``pushes_to`` the broker is true. A claim that ends ``QUEUED`` pushes nothing.
    """


class Claim(NamedTuple):
    """A wish to account for an entry's fire times up to ``new_cursor``, if nobody else has in the meantime."""

    uid: str
    cursor: int
    """The cursor that the claimer read."""
    revision: int
    """The revision that the claimer read: an edited entry is never fired as it was before."""
    new_cursor: int
    next_fire_time: int | None
    due_at: int | None
    firings: tuple[NewFiring, ...] = ()
    """In the order of their fire times; at most ``MAX_FIRINGS_PER_CLAIM``."""
    skips: tuple[Skip, ...] = ()


class Won(Enum):
    """How a claim ended."""

    LOST = "lost"
    """The entry is not what the claimer read (or is gone): nothing was written, read it again."""
    YES = "yes"
    """Written: the claimer now publishes these firings."""
    QUEUED = "queued"
    """Written, but the new firings wait in the outbox: an earlier one of the entry is unsettled elsewhere, or a
    list has refused a message of the claim."""


class Firing(NamedTuple):
    """A firing in the outbox: claimed, not yet settled, and this replica's to publish."""

    uid: str
    entry: str
    fire_time: int
    lane: str
    task_id: str
    attempt: int = 1
    """1 for the claimer; one more for each time that somebody took it over."""
    uncertain: bool = False
    """Whether an earlier attempt may have reached the broker: it was not released, or released as uncertain."""


class Settlement(NamedTuple):
    """How a claimed firing ended. The first settlement stands; later ones of the same firing do nothing."""

    uid: str
    fire_time: int
    lane: str
    outcome: Literal["published", "skipped", "failed"]
    published_at: int | None = None
    reason: str | None = None
    """A ``Reason`` for a skip, the error's text for a failure."""
    attempt: int | None = None
    """If given, the settlement does nothing once somebody has taken the firing over from this attempt."""


@dataclass(frozen=True, slots=True)
class Release:
    """A claimed firing given back to the outbox, unpublished as far as is known.

    It does nothing once somebody has taken the firing over from this attempt.
    """

    uid: str
    fire_time: int
    lane: str
    attempt: int
    not_before: int
    """Nobody takes it over before this instant (the back-off of a failing entry)."""
    error: str | None = None
    uncertain: bool = False
    """Whether this attempt may have reached the broker all the same; stays with the firing once set."""


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """What became of one fire time, or of a run of equal skips from ``fire_time`` to ``last_fire_time``."""

    uid: str
    entry: str
    fire_time: int
    last_fire_time: int
    count: int | None
    lane: str
    outcome: Outcome
    reason: str | None
    task_id: str | None
    claimed_at: int
    published_at: int | None
    replica: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """One running beat process, as its last heartbeat told."""

    id: str
    host: str
    pid: int
    version: str
    generation: str
    """Hash of the declaration that this replica has loaded."""
    started_at: int
    heartbeat_at: int = 0
    """By the store's clock; set by the store."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a heartbeat brings back."""

    now: int
    """The store's clock."""
    change: int
    """The store's change number: grows with every successful ``save`` and ``remove``."""
    replicas: tuple[ReplicaRecord, ...]
    """The live replicas, this one included, in the order of their ids."""
