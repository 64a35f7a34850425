"""Brings the store in line with what the app declares: new entries, changed ones, retired ones."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
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
    later, when other replicas have gone: it writes only what no live replica stands behind any more.
    """

    def __init__(self, store: Store, entries: Mapping[str, Entry], generation: str) -> None:
        self._store = store
        self._entries = entries
        self._generation = generation

    def declare(self, now: int) -> None:
        """Write all entries of this replica as they are declared here."""
        self._write(set(self._entries), now)

    def adopt(self, live: Collection[str], now: int) -> None:
        """Take back entries whose last declaration is no live replica's, and retire those that nobody declares.

        ``live`` holds the generations of the live replicas.
        """
        standing = {*live, self._generation}
        orphans = [
            record
            for record in self._store.entries()
            if record.origin == "declared" and record.retired_at is None and record.generation not in standing
        ]
        ours = {record.name for record in orphans if record.name in self._entries}
        self._write(ours | self._retired_here(), now)
        self._save([self._retirement(record, now) for record in orphans if record.name not in ours])
        for record in orphans:
            if record.name not in ours:
                logger.info("entry %r is retired: no running replica declares it any more.", record.name)

    def _retired_here(self) -> set[str]:
        """Return the entries of this replica that somebody has retired."""
        return {
            record.name
            for record in self._store.entries()
            if record.retired_at is not None and record.origin == "declared" and record.name in self._entries
        }

    def _write(self, names: set[str], now: int) -> None:
        """Write the named entries of this replica; again for those that somebody else wrote at the same time."""
        for _ in range(MAX_ROUNDS):
            if not names:
                return
            known = {record.name: record for record in self._store.entries(names)}
            changes = [
                change
                for name in sorted(names)
                if (change := self._change(self._entries[name], known.get(name), now)) is not None
            ]
            lost = self._save(changes)
            names = {change.record.name for change in lost}
        logger.error("%d entries could not be written: others keep writing them.", len(names))

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
        upcoming = entry.schedule.next_us(anchor, anchor)
        return EntryRecord(
            name=entry.name,
            uid=uuid.uuid4().hex,
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
            due_at=upcoming,
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
        upcoming = entry.schedule.next_us(cursor, anchor)
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
            due_at=upcoming,
            retired_at=None,
        )
        return Change(updated, record.revision, record.cursor, skips)

    def _retirement(self, record: EntryRecord, now: int) -> Change:
        retired = replace(record, retired_at=now, due_at=None, next_fire_time=None)
        return Change(retired, record.revision, record.cursor)


def _superseded(record: EntryRecord, until: int) -> tuple[Skip, ...]:
    """Account for the fire times that the schedule before would still have had, where it can be read."""
    schedule = stored_schedule(record)
    if schedule is None:
        return ()
    return account_for(schedule, anchor=record.anchor, cursor=record.cursor, until=until, reason="superseded")


def _batches(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    for start in range(0, len(changes), MAX_BATCH):
        yield changes[start : start + MAX_BATCH]
