"""Decide changes of entries, one after the other, against what the store holds; nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qbeat.store.records import Change, EntryRecord


@dataclass(slots=True)
class Stored:
    """What the store knows of an entry that someone wishes to write, as the batch goes on."""

    uid: str
    revision: int
    cursor: int
    id: int | None


@dataclass(slots=True)
class Writes:
    """What a batch of changes comes to: at most one row for each name, its last one."""

    created: dict[str, EntryRecord]
    changed: dict[str, tuple[int, EntryRecord]]
    skipped: list[Change]


def decide(change: Change, stored: dict[str, Stored], taken: set[str], writes: Writes) -> bool:
    """Decide one change against the store as the changes before it leave it; note what is to be written."""
    record, known = change.record, stored.get(change.record.name)
    if change.expected_revision is None:
        if known is not None or record.uid in taken:
            return False
        known = Stored(record.uid, 0, record.cursor, None)
        stored[record.name] = known
        taken.add(record.uid)
    elif known is None or not _as_expected(change, known):
        return False
    known.revision, known.cursor = known.revision + 1, record.cursor
    _note(record, known, writes)
    if change.skips:
        writes.skipped.append(change)
    return True


def _as_expected(change: Change, known: Stored) -> bool:
    expected = change.record.uid, change.expected_revision, change.expected_cursor
    return expected == (known.uid, known.revision, known.cursor)


def _note(record: EntryRecord, known: Stored, writes: Writes) -> None:
    """Put the record, with its new revision, where it will be written; a later one takes the place."""
    if known.id is not None:
        writes.changed[record.name] = known.id, replace(record, revision=known.revision)
        return
    first = writes.created.get(record.name, record)
    writes.created[record.name] = replace(
        record,
        revision=known.revision,
        total_run_count=first.total_run_count,
        last_fire_time=first.last_fire_time,
    )
