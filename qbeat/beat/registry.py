"""Brings the store in line with what the app declares: new entries, changed ones, retired ones."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from secrets import token_hex
from typing import Final

from qbeat.beat.decide import account_for
from qbeat.beat.entries import Entry
from qbeat.beat.stored import stored_schedule
from qbeat.store.base import MAX_BATCH, Store
from qbeat.store.records import Change, EntryRecord, Skip

logger = logging.getLogger("qbeat.registry")

MAX_ROUNDS: Final = 10
"""How often a write that somebody else overtook is tried again before it is left to the next start."""


class Registry:
    """The declaration of one replica, and how it gets into the store.

    The latest start wins: ``declare`` writes this replica's entries over what is there. ``adopt`` is for
    later, when other replicas have gone: it writes only what no live replica stands behind any more. Both
    take the store's entries as they were just read, and return whether they wrote anything.
    """

    def __init__(self, store: Store, entries: Mapping[str, Entry], generation: str) -> None:
        self._store = store
        self._entries = entries
        self._generation = generation

    def declare(self, records: Iterable[EntryRecord], live: Collection[str], now: int) -> bool:
        """Write all entries of this replica as they are declared here; retire those that nobody declares.

        ``live`` holds the generations of the live replicas, ``now`` is in microseconds since the epoch.
        """
        known = {record.name: record for record in records}
        wrote = self._write(self._entries, known, now)
        return self._retire(self._orphans(known.values(), live), now) or wrote

    def adopt(self, records: Iterable[EntryRecord], live: Collection[str], now: int) -> bool:
        """Take back entries whose last declaration is no live replica's; retire those that nobody declares.

        Entries of this replica that are not in the store at all are written, too.
        """
        known = {record.name: record for record in records}
        orphans = self._orphans(known.values(), live)
        ours = [record.name for record in orphans if record.name in self._entries]
        # A store that was emptied under a running replica is filled again.
        ours += [name for name in self._entries if name not in known]
        ours += [
            name
            for name, record in known.items()
            if record.retired_at is not None and record.origin == "declared" and name in self._entries
        ]
        wrote = self._write(ours, known, now)
        return self._retire(orphans, now) or wrote

    def is_concerned(self, records: Iterable[EntryRecord], live: Collection[str]) -> bool:
        """Whether ``adopt`` has something to do about these entries, of all that have changed.

        Others may come and go between two heartbeats of this replica, or write late; so what they leave
        shows in the entries, and not always in who is live.
        """
        records = list(records)
        retired = any(
            record.retired_at is not None and record.origin == "declared" and record.name in self._entries
            for record in records
        )
        return retired or bool(self._orphans(records, live))

    def _orphans(self, records: Iterable[EntryRecord], live: Collection[str]) -> list[EntryRecord]:
        """Return the declared entries whose last declaration no live replica stands behind."""
        standing = {*live, self._generation}
        return [
            record
            for record in records
            if record.origin == "declared" and record.retired_at is None and record.generation not in standing
        ]

    def _retire(self, orphans: Iterable[EntryRecord], now: int) -> bool:
        gone = [record for record in orphans if record.name not in self._entries]
        self._save([self._retirement(record, now) for record in gone])
        for record in gone:
            logger.info("entry %r is retired: no running replica declares it any more.", record.name)
        return bool(gone)

    def _write(self, names: Iterable[str], known: Mapping[str, EntryRecord], now: int) -> bool:
        """Write the named entries of this replica; again for those that somebody else wrote at the same time."""
        wrote = False
        for _ in range(MAX_ROUNDS):
            changes = [
                change
                for name in names
                if (change := self._change(self._entries[name], known.get(name), now)) is not None
            ]
            if not changes:
                return wrote
            wrote = True
            names = [change.record.name for change in self._save(changes)]
            known = {record.name: record for record in self._store.entries(names)} if names else {}
        logger.error("%s could not be written: others keep writing them.", ", ".join(names))
        return wrote

    def _save(self, changes: Sequence[Change]) -> list[Change]:
        """Save in batches; return the changes that lost."""
        lost: list[Change] = []
        for batch in _batches(changes):
            saved = self._store.save(batch)
            lost += [change for change, written in zip(batch, saved, strict=True) if not written]
        return lost

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
        ):
            return None
        return self._update(entry, record, now)

    def _new(self, entry: Entry, now: int) -> EntryRecord:
        anchor = entry.last_run_at if entry.last_run_at is not None else now
        uid = token_hex(16)
        upcoming, due_at = _upcoming(entry, uid, anchor, anchor)
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
        )

    def _update(self, entry: Entry, record: EntryRecord, now: int) -> Change:
        schedule_data = entry.schedule.to_data()
        rescheduled = schedule_data != record.schedule
        cursor, anchor = record.cursor, record.anchor
        skips: tuple[Skip, ...] = ()
        if rescheduled or record.retired_at is not None:
            cursor = max(record.cursor, now)
            skips = _superseded(record, until=cursor)
        if rescheduled:
            anchor = cursor
        upcoming, due_at = _upcoming(entry, record.uid, cursor, anchor)
        updated = replace(
            record,
            task=entry.task,
            schedule=schedule_data,
            timezone=entry.timezone,
            definition=entry.definition,
            fingerprint=entry.fingerprint,
            generation=self._generation,
            anchor=anchor,
            cursor=cursor,
            next_fire_time=upcoming,
            due_at=due_at,
            retired_at=None,
        )
        return Change(updated, record.revision, record.cursor, skips)

    def _retirement(self, record: EntryRecord, now: int) -> Change:
        cursor = max(record.cursor, now)
        retired = replace(record, cursor=cursor, retired_at=now, due_at=None, next_fire_time=None)
        return Change(retired, record.revision, record.cursor, _superseded(record, until=cursor))


def _upcoming(entry: Entry, uid: str, cursor: int, anchor: int) -> tuple[int | None, int | None]:
    """Return the next fire time and when to look at the entry."""
    try:
        upcoming = entry.schedule.next_us(cursor, anchor)
        return upcoming, entry.policies.due_at(uid, entry.schedule, upcoming, anchor)
    except Exception:
        # A schedule of the user's own may raise anything; the scheduler asks it again.
        logger.exception("entry %r: its schedule cannot say when it fires.", entry.name)
        return None, cursor


def _superseded(record: EntryRecord, until: int) -> tuple[Skip, ...]:
    """Account for the fire times that the schedule before would still have had, where it can be read."""
    schedule = stored_schedule(record)
    if schedule is None:
        return ()
    return account_for(schedule, anchor=record.anchor, cursor=record.cursor, until=until, reason="superseded")


def _batches(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    for start in range(0, len(changes), MAX_BATCH):
        yield changes[start : start + MAX_BATCH]
