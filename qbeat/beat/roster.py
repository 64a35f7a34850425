"""The entries that one replica may fire, how far each has come, and which of them are its share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from qbeat.beat.entries import Entry
from qbeat.beat.replicas import Shares
from qbeat.beat.timeline import Timeline
from qbeat.store.records import EntryRecord

SHARED_INSTANTS: Final = 1_000
"""Instants that are remembered so that equal ones can share an object."""


@dataclass(slots=True)
class Tracked:
    """An entry that this replica may fire, with what it last read of it from the store."""

    entry: Entry
    uid: str
    generation: str
    anchor: int
    cursor: int
    revision: int
    next_fire_time: int | None
    due_at: int | None
    """The next fire time plus jitter."""
    fired: int
    """How often it has fired."""
    fresh: bool = False
    """Whether it has been in this replica's share since it was read, so that nobody else has moved it."""


class Roster:
    """Follows the entries of which this replica has the definition that is in force.

    The timeline holds those of its share; of others it only remembers what it last knew, until they become
    its own or a sweep finds them overdue.
    """

    def __init__(self, entries: Mapping[str, Entry], shares: Shares) -> None:
        self._entries = entries
        self._shares = shares
        self._tracked: dict[str, Tracked] = {}
        self._timeline = Timeline()
        self._postponed: dict[str, int] = {}
        self._generations: dict[str, str] = {}  # each once, however many entries have it
        self._instants: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._tracked)

    def get(self, uid: str) -> Tracked | None:
        """Return what is known of an entry, ``None`` if it is not this replica's to fire."""
        return self._tracked.get(uid)

    def clear(self) -> None:
        """Forget everything."""
        self._tracked.clear()
        self._timeline = Timeline()

    def load(self, records: Iterable[EntryRecord]) -> int:
        """Take in entries of which some may have been read again, and moved, since; return how many came."""
        count = 0
        for count, record in enumerate(records, 1):  # noqa: B007 - it is how many there were
            known = self._tracked.get(record.uid)
            if known is None or record.revision > known.revision:
                self._follow_one(record)
        return count

    def sort(self) -> None:
        """Order those that are due together, so that a store finds neighbours: it is faster than strangers."""
        self._timeline.sort()

    def follow(self, records: Iterable[EntryRecord]) -> list[Tracked]:
        """Take in entries as they were just read; return those that are this replica's to fire."""
        return [tracked for record in records if (tracked := self._follow_one(record)) is not None]

    def divide(self) -> None:
        """Apply changed shares: look after the entries of the new one, and no longer after others."""
        for tracked in self._tracked.values():
            mine = self._shares.is_mine(tracked.uid, tracked.generation)
            tracked.fresh = tracked.fresh and mine
            self._timeline.place(tracked.uid, tracked.due_at if mine else None)

    def take_due(self, now: int, limit: int) -> list[Tracked]:
        """Take at most ``limit`` due entries of the share off the timeline."""
        return [self._tracked[uid] for uid in self._timeline.take_due(now, limit)]

    def by_due(self) -> Iterator[Tracked]:
        """Yield the entries of the share as they are now, more or less in the order in which they are due.

        Another thread may go through them while entries move; one may come twice.
        """
        return (tracked for uid in self._timeline.uids() if (tracked := self._tracked.get(uid)) is not None)

    def next_due(self) -> int | None:
        """Return when the next entry of the share is due."""
        return self._timeline.next_due()

    def progress(self) -> list[tuple[str, int, int]]:
        """Return name, cursor and number of firings of each entry that is followed."""
        return [(tracked.entry.name, tracked.cursor, tracked.fired) for tracked in [*self._tracked.values()]]

    def advance(
        self, tracked: Tracked, cursor: int, next_fire_time: int | None, due_at: int | None, fired: int = 0
    ) -> None:
        """Note that this replica has moved an entry's cursor and fired it ``fired`` times."""
        tracked.cursor, tracked.next_fire_time, tracked.due_at = cursor, next_fire_time, due_at
        tracked.fired += fired
        # Whether it is in the share was found out when it was read, and again when the shares changed.
        self._timeline.place(tracked.uid, due_at if tracked.fresh else None)

    def put_back(self, tracked: Tracked) -> None:
        """Put a due entry that was taken off the timeline, and not moved, where it was."""
        self._timeline.place(tracked.uid, tracked.due_at if tracked.fresh else None)

    def postpone(self, tracked: Tracked, until: int) -> None:
        """Look at an entry again at ``until``, and do not let a sweep find it before."""
        self._postponed[tracked.uid] = until
        self._timeline.place(tracked.uid, until if tracked.fresh else None)

    def resume(self, uid: str) -> None:
        """Look at an entry when it is due, for what it was postponed for has come to its end."""
        tracked = self._tracked.get(uid)
        if self._postponed.pop(uid, None) is not None and tracked is not None:
            self.put_back(tracked)

    def is_postponed(self, uid: str, now: int) -> bool:
        """Whether the entry is to be left alone at ``now``."""
        return self._postponed.get(uid, now) > now

    def _follow_one(self, record: EntryRecord) -> Tracked | None:
        entry = self._entries.get(record.name)
        if entry is None or record.retired_at is not None or record.fingerprint != entry.fingerprint:
            self._timeline.place(record.uid, None)
            self._tracked.pop(record.uid, None)
            return None
        shared, upcoming, due_at = self._shared, record.next_fire_time, record.due_at
        tracked = Tracked(
            entry,
            record.uid,
            self._generations.setdefault(record.generation, record.generation),
            shared(record.anchor),
            shared(record.cursor),
            record.revision,
            None if upcoming is None else shared(upcoming),
            None if due_at is None else shared(due_at),
            record.total_run_count,
        )
        self._tracked[record.uid] = tracked
        self._place(tracked)
        return tracked

    def _shared(self, instant: int) -> int:
        """Return one object for equal instants: most entries have theirs in common with others."""
        if len(self._instants) > SHARED_INSTANTS:
            self._instants.clear()
        return self._instants.setdefault(instant, instant)

    def _place(self, tracked: Tracked) -> None:
        tracked.fresh = self._shares.is_mine(tracked.uid, tracked.generation)
        self._timeline.place(tracked.uid, tracked.due_at if tracked.fresh else None)
