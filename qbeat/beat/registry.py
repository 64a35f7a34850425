"""Brings the store in line with what the app declares: new entries, changed ones, retired ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from secrets import token_hex
from typing import Final

from qbeat.beat.decide import account_for
from qbeat.beat.entries import Entry
from qbeat.beat.instants import iso, iso_or_none
from qbeat.beat.outlook import Outlook, is_outdated, outlook, owes
from qbeat.beat.stored import stored_schedule
from qbeat.store.base import Store
from qbeat.store.batches import in_batches
from qbeat.store.records import Change, EntryRecord, Skip

logger = logging.getLogger("qbeat.registry")

BATCH: Final = 500
"""Entries written in one step: what falls due meanwhile waits for no longer than that."""
MAX_ROUNDS: Final = 10
"""How often a write that somebody else overtook is tried again before it is left to the next start."""


class Registry:
    """The declaration of one replica, and how it gets into the store.

    The latest start wins: ``declare`` writes this replica's entries over what is there. ``adopt`` is for
    later, when other replicas have gone: it writes only what no live replica stands behind any more. Both go
    once through the store's entries as they are just being read, and yield those of this replica as they are
    from then on; what has to be written is written on the way, so they must be exhausted.
    """

    def __init__(self, store: Store, entries: Mapping[str, Entry], generation: str) -> None:
        self._store = store
        self._entries = entries
        self._generation = generation
        self.writes = 0
        """How often this registry has written something: so often the store has changed on its account."""

    def declare(
        self, records: Iterable[EntryRecord], live: Collection[str], now: int
    ) -> Iterator[EntryRecord]:
        """Write all entries of this replica as they are declared here; retire those that nobody declares.

        ``live`` holds the generations of the live replicas, ``now`` is in microseconds since the epoch.
        """
        return self._reconcile(records, live, now, lambda record: True)  # noqa: ARG005 - all of them, whatever they are

    def adopt(self, records: Iterable[EntryRecord], live: Collection[str], now: int) -> Iterator[EntryRecord]:
        """Take back entries whose last declaration is no live replica's; retire those that nobody declares.

        Entries of this replica that are not in the store at all, because it was emptied, are written, too.
        """
        standing = self._standing(live)
        return self._reconcile(records, live, now, lambda record: self._is_abandoned(record, standing))

    def is_concerned(self, records: Iterable[EntryRecord], live: Collection[str]) -> bool:
        """Whether ``adopt`` has something to do about these entries, of all that have changed.

        Others may come and go between two heartbeats of this replica, or write late; so what they leave
        shows in the entries, and not always in who is live.
        """
        standing = self._standing(live)
        return any(self._is_abandoned(record, standing) for record in records)

    def _standing(self, live: Collection[str]) -> set[str]:
        """Return the declarations that somebody stands behind."""
        return {*live, self._generation}

    def _is_abandoned(self, record: EntryRecord, standing: Collection[str]) -> bool:
        """Whether an entry's last declaration is nobody's any more, or was taken for such and is this one's."""
        if record.origin != "declared":
            return False
        if record.retired_at is not None:
            return record.name in self._entries
        return record.generation not in standing

    def _reconcile(
        self,
        records: Iterable[EntryRecord],
        live: Collection[str],
        now: int,
        concerns: Callable[[EntryRecord], bool],
    ) -> Iterator[EntryRecord]:
        """Rewrite, of the entries of this replica, those that ``concerns`` picks; retire what is nobody's."""
        orphans: list[EntryRecord] = []
        pending: list[Change] = []
        for found in self._compare(records, orphans, self._standing(live), now, concerns):
            if isinstance(found, EntryRecord):
                yield found
                continue
            pending.append(found)
            if len(pending) == BATCH:
                yield from self._write(pending, now)
                pending = []
        yield from self._write(pending, now)
        self._retire(orphans, now)

    def _compare(
        self,
        records: Iterable[EntryRecord],
        orphans: list[EntryRecord],
        standing: Collection[str],
        now: int,
        concerns: Callable[[EntryRecord], bool],
    ) -> Iterator[EntryRecord | Change]:
        """Yield each entry of this replica as it is, or how it has to change; put what is nobody's aside."""
        missing = dict.fromkeys(self._entries)
        for record in records:
            entry = self._entries.get(record.name)
            if entry is None:
                if self._is_abandoned(record, standing):
                    orphans.append(record)
                continue
            missing.pop(record.name, None)
            yield (self._change(entry, record, now) if concerns(record) else None) or record
        for name in missing:
            yield Change(self._new(self._entries[name], now), expected_revision=None)

    def _retire(self, gone: Sequence[EntryRecord], now: int) -> None:
        for batch in in_batches(gone, BATCH):
            self._save([self._retirement(record, now) for record in batch])
        for record in gone:
            logger.info("entry %r is retired: no running replica declares it any more.", record.name)

    def _write(self, changes: Sequence[Change], now: int) -> Iterator[EntryRecord]:
        """Write a batch of entries and yield them; again those that somebody else wrote at the same time."""
        for _ in range(MAX_ROUNDS):
            if not changes:
                return
            lost: list[str] = []
            for change, written in zip(changes, self._save(changes), strict=True):
                if written:
                    self._tell_if_never(change)
                    yield change.record
                else:
                    lost.append(change.record.name)
            known = {record.name: record for record in self._store.entries(lost)} if lost else {}
            changes = []
            for name in lost:
                again = self._change(self._entries[name], known.get(name), now)
                if again is None:
                    yield known[name]
                else:
                    changes.append(again)
        if changes:
            names = ", ".join(change.record.name for change in changes)
            logger.error("%s could not be written: others keep writing them.", names)

    def _tell_if_never(self, change: Change) -> None:
        """Warn of an entry that is new and has nothing to come; once, for from then on it is known."""
        record = change.record
        if change.expected_revision is None and record.due_at is None:
            schedule = self._entries[record.name].schedule
            logger.warning(
                "entry %r will not fire: its schedule (%s) has no fire time after %s.",
                *(record.name, schedule.describe(), iso(record.cursor)),
            )

    def _save(self, changes: Sequence[Change]) -> list[bool]:
        """Save a batch; return which of its changes have won."""
        saved = self._store.save(changes)
        self.writes += any(saved)
        return saved

    def _change(self, entry: Entry, record: EntryRecord | None, now: int) -> Change | None:
        if record is None:
            return Change(self._new(entry, now), expected_revision=None)
        if record.origin != "declared":
            logger.error(
                "entry %r is declared by the app and exists as a dynamic entry; the dynamic one stays. "
                "Remove it, or give one of them another name.",
                entry.name,
            )
            return None
        if (
            record.fingerprint == entry.fingerprint
            and record.generation == self._generation
            and record.retired_at is None
            and not is_outdated(entry, record)
        ):
            return None
        return self._update(entry, record, now)

    def _new(self, entry: Entry, now: int) -> EntryRecord:
        anchor = entry.last_run_at if entry.last_run_at is not None else now
        uid = token_hex(16)
        upcoming, due_at = outlook(entry, uid, cursor=anchor, anchor=anchor)
        return EntryRecord(
            name=entry.name,
            uid=uid,
            origin="declared",
            task=entry.task,
            schedule=entry.schedule.to_data(),
            timezone=entry.timezone,
            definition=entry.definition,
            fingerprint=entry.fingerprint,
            generation=self._generation,
            anchor=anchor,
            cursor=anchor,
            next_fire_time=upcoming,
            due_at=due_at,
            revision=1,
        )

    def _update(self, entry: Entry, record: EntryRecord, now: int) -> Change:
        """Return how a stored entry changes; a change of its schedule, unlike others, counts from ``now`` on.

        Its grid stays: one that began anew with each deploy might never come to its first fire time.
        """
        schedule_data = entry.schedule.to_data()
        is_same = schedule_data == record.schedule and record.retired_at is None
        cursor = record.cursor if is_same else max(record.cursor, now)
        coming = _coming(entry, record, cursor)
        if _is_due_by_the_change(coming, record, now):
            cursor = max(cursor, now)
            coming = _coming(entry, record, cursor)
        if is_same and coming.next_fire_time != record.next_fire_time:
            _tell_of_other(entry, coming, record)
        updated = replace(
            record,
            task=entry.task,
            schedule=schedule_data,
            timezone=entry.timezone,
            definition=entry.definition,
            fingerprint=entry.fingerprint,
            generation=self._generation,
            cursor=cursor,
            next_fire_time=coming.next_fire_time,
            due_at=coming.due_at,
            revision=record.revision + 1,
            retired_at=None,
        )
        return Change(updated, record.revision, record.cursor, _superseded(record, until=cursor))

    def _retirement(self, record: EntryRecord, now: int) -> Change:
        cursor = max(record.cursor, now)
        retired = replace(
            record,
            cursor=cursor,
            revision=record.revision + 1,
            retired_at=now,
            due_at=None,
            next_fire_time=None,
        )
        return Change(retired, record.revision, record.cursor, _superseded(record, until=cursor))


def _coming(entry: Entry, record: EntryRecord, cursor: int) -> Outlook:
    fired = record.total_run_count
    return outlook(entry, record.uid, cursor=cursor, anchor=record.anchor, fired=fired)


def _is_due_by_the_change(coming: Outlook, record: EntryRecord, now: int) -> bool:
    """Whether a fire time that has passed by ``now`` is none that the entry was waiting for."""
    upcoming = coming.next_fire_time
    return upcoming is not None and upcoming <= now and not owes(record, now)


def _tell_of_other(entry: Entry, coming: Outlook, record: EntryRecord) -> None:
    logger.info(
        "entry %r fires next at %s, not at %s: its time zone's data, its holidays or its code have changed.",
        *(entry.name, iso_or_none(coming.next_fire_time), iso_or_none(record.next_fire_time)),
    )


def _superseded(record: EntryRecord, until: int) -> tuple[Skip, ...]:
    """Account for the fire times that the schedule before would still have had, where it can be read."""
    if until == record.cursor:
        return ()
    schedule = stored_schedule(record)
    if schedule is None:
        return ()
    return account_for(schedule, anchor=record.anchor, cursor=record.cursor, until=until, reason="superseded")
