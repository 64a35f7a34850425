"""The contract of a store: a page of verbs, each atomic, that every store keeps and one suite tests.

A store is authoritative for what has fired. Its promise rests on one comparison: a claim is written only if
the entry's cursor and revision are still what the claimer read. There are no locks to hold and none to lose.

Every verb that takes a sequence is one round trip (or one transaction) whatever the length, and callers keep
the length at or below ``MAX_BATCH``. Each element is decided on its own: one that loses does not hold up the
others. Every call has a timeout. A store is used by one thread at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from qbeat.store.records import (
    Change,
    Claim,
    EntryRecord,
    Firing,
    HistoryRecord,
    Pulse,
    Release,
    ReplicaRecord,
    Settlement,
    Won,
)

MAX_BATCH: Final = 1_000
MAX_FIRINGS_PER_CLAIM: Final = 1_000
MAX_AHEAD: Final = 60_000_000
"""Microseconds: an instant in the store that lies further ahead was written before the store's clock went back.

No back-off is that long, and no two clocks of machines that keep time differ by as much.
"""


class StoreError(Exception):
    """A store cannot do what was asked; the text is one sentence with the cure."""


class StoreUnavailable(StoreError):  # noqa: N818 - it names a state that passes
    """The store cannot be reached, or is busy, now; trying again later is right."""


class StoreUnusable(StoreError):  # noqa: N818 - it names a state that stays
    """The store is corrupt, foreign, read-only, full or newer than this program: a person has to act."""


class StoreMissing(StoreUnusable):
    """There is none yet, and one can be made: the first start does."""


class Store(ABC):
    """Where entries, firings and replicas are remembered."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where this store is, without passwords."""

    @abstractmethod
    def now(self) -> int:
        """Return the store's clock, in microseconds since the epoch."""

    def pushes_to(self, broker_url: str) -> bool:  # noqa: ARG002 - for stores that can
        """Whether a claim can push messages into this broker in its own atomic step."""
        return False

    # --- entries

    @abstractmethod
    def entries(self, names: Collection[str] | None = None, *, changed_after: int = 0) -> list[EntryRecord]:
        """Return the entries, retired ones too, ordered by name.

        Only those in ``names`` where given (any number), and only those whose ``change`` is greater than
        ``changed_after``. A row that cannot be read is left out and logged, never deleted.
        """

    def scan(self) -> Iterator[EntryRecord]:
        """Yield all entries, a page at a time and in any order: for a million of them, which no list should hold.

        What is written meanwhile comes as it was or as it is, once or twice.
        """
        return iter(self.entries())

    @abstractmethod
    def save(self, changes: Sequence[Change]) -> list[bool]:
        """Write entries; ``True`` for each that was written.

        A change is written if the entry's revision and cursor are as expected (or, with
        ``expected_revision=None``, if no entry of that name exists). The written record has the next revision
        and a new change number; ``total_run_count`` and ``last_fire_time`` keep the store's values.
        """

    @abstractmethod
    def remove(self, names: Collection[str]) -> int:
        """Delete entries with their unsettled firings (settled as ``superseded``); return how many existed."""

    @abstractmethod
    def overdue(self, before: int, limit: int) -> list[EntryRecord]:
        """Return at most ``limit`` entries with ``due_at <= before``, the longest overdue first.

        Retired entries and those without a ``due_at`` are never among them, and cost nothing.
        """

    # --- firings

    @abstractmethod
    def claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> list[Won]:
        """Settle, then claim, in one durable step.

        A claim wins if the entry is not retired and still has the cursor and revision that the claimer read.
        Winning moves the cursor, next fire time and due instant, adds the firings to the outbox as
        ``claimed`` by ``replica`` (and to ``total_run_count``; the last one becomes ``last_fire_time``) and
        writes the skips to the history. Two claims of one entry in a batch are two tries in their order.
        """

    def begin_claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> Callable[[], list[Won]]:
        """Begin what ``claim`` does; the function returned waits for its end, once, and returns its result.

        A store that can do so works on it in the meantime, and takes other calls; with the others all is done
        by now. Either of the two calls raises what ``claim`` raises.
        """
        won = self.claim(claims, settlements, replica=replica)
        return lambda: won

    @abstractmethod
    def settle(self, settlements: Sequence[Settlement], releases: Sequence[Release] = ()) -> None:
        """Write how claimed firings ended, and give others back to the outbox; unknown ones do nothing."""

    @abstractmethod
    def take_over(self, *, replica: str, stale_after: int, limit: int) -> list[Firing]:
        """Take at most ``limit`` firings from the outbox for ``replica`` to publish, the oldest first.

        Taken are firings that were released (once ``not_before`` has come), and those that any replica, this
        one too, claimed or took over more than ``stale_after`` microseconds ago by the store's clock; the
        latter are ``uncertain``. A firing is left alone while an earlier unsettled firing of its entry and
        lane stays behind.

        That clock may go back. A ``not_before`` more than ``MAX_AHEAD`` ahead of it does not count, and a
        firing that is held since an instant so far ahead is held from now on instead: its holder may be about
        to publish it. Those count towards ``limit`` too.
        """

    @abstractmethod
    def unsettled(self) -> int:
        """Return how many firings are in the outbox."""

    @abstractmethod
    def history(
        self,
        *,
        entries: Collection[str] | None = None,
        since: int | None = None,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[HistoryRecord]:
        """Yield what became of fire times within ``[since, until]`` in the order of their fire times."""

    @abstractmethod
    def prune(self, before: int, limit: int) -> int:
        """Delete at most ``limit`` settled records of fire times before ``before``; return how many went.

        The newest published record of an entry stays whatever its age.
        """

    @abstractmethod
    def history_before(self, count: int) -> int | None:
        """Return the instant before which the records are that ``count`` newer ones make dispensable.

        At least ``count`` settled records begin at or after it, a run of skips being one, and there are
        records before it; ``None`` if there are not so many. It is for ``prune``, and may lie somewhat earlier
        than need be, up to ten minutes where a store counts in steps.
        """

    # --- replicas

    @abstractmethod
    def heartbeat(self, replica: ReplicaRecord, *, live_within: int) -> Pulse:
        """Record that ``replica`` lives; forget those silent for longer than ``live_within`` microseconds.

        A heartbeat more than ``MAX_AHEAD`` ahead is from before the store's clock went back: it counts from now.
        """

    @abstractmethod
    def leave(self, replica: str) -> None:
        """Forget ``replica`` and release, as uncertain, the firings that it still holds."""

    @abstractmethod
    def replicas(self) -> list[ReplicaRecord]:
        """Return the replicas that have not left, in the order of their ids, silent ones too."""

    # --- the store itself

    @abstractmethod
    def close(self) -> None:
        """Let go of connections; the store can be used again and then connects anew."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
