"""Entries in SQL: read, written with a check of what the writer read, removed, found when overdue."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    String,
    Text,
    bindparam,
    null,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from qbeat.store.records import Change, EntryRecord
from qbeat.store.sql.dialect import Dialect
from qbeat.store.sql.history import History
from qbeat.store.sql.outbox import Outbox
from qbeat.store.sql.tables import entry, history, progress, removed, store

_logger = logging.getLogger(__name__)

_COLUMNS: Final[tuple[Column[Any], ...]] = (
    entry.c.name,
    entry.c.uid,
    entry.c.origin,
    entry.c.task,
    entry.c.schedule,
    entry.c.timezone,
    entry.c.definition,
    entry.c.fingerprint,
    entry.c.generation,
    entry.c.anchor,
    progress.c.cursor,
    progress.c.next_fire_time,
    progress.c.due_at,
    progress.c.revision,
    entry.c.change_number,
    entry.c.pause,
    progress.c.total_run_count,
    progress.c.last_fire_time,
)
"""The fields of an ``EntryRecord`` in their order, up to ``last_published_at``."""


def _place(column: Column[Any]) -> int:
    return [known is column for known in _COLUMNS].index(True)


_JSON: Final = (_place(entry.c.schedule), _place(entry.c.definition))
_PAUSE: Final = _place(entry.c.pause)

_WHAT: Final[Mapping[str, TypeEngine[Any]]] = {
    "uid": String(),
    "name": String(),
    "origin": String(),
    "task": Text(),
    "schedule": Text(),
    "timezone": String(),
    "definition": Text(),
    "fingerprint": String(),
    "generation": String(),
    "anchor": BigInteger(),
    "pause": Text(),
}
_HOW_FAR: Final[Mapping[str, TypeEngine[Any]]] = {
    "revision": Integer(),
    "cursor": BigInteger(),
    "next_fire_time": BigInteger(),
    "due_at": BigInteger(),
    "retired_at": BigInteger(),
}
_COUNTS: Final[Mapping[str, TypeEngine[Any]]] = {
    "total_run_count": BigInteger(),
    "last_fire_time": BigInteger(),
}


@dataclass(slots=True)
class _Stored:
    """What the store knows of an entry that someone wishes to write, as the batch goes on."""

    uid: str
    revision: int
    cursor: int
    id: int | None


@dataclass(slots=True)
class _Writes:
    """What a batch of changes comes to: at most one row for each name, its last one."""

    created: dict[str, EntryRecord]
    changed: dict[str, tuple[int, EntryRecord]]
    skipped: list[Change]


class Entries:
    """The statements about entries, built once."""

    def __init__(self, dialect: Dialect, outbox: Outbox, past: History) -> None:
        self._dialect = dialect
        self._outbox = outbox
        self._history = past
        self._build_reads(dialect)
        self._build_writes(dialect)

    def read(
        self, connection: Connection, names: Collection[str] | None, changed_after: int
    ) -> list[EntryRecord]:
        parameters: dict[str, Any] = {"changed_after": changed_after}
        if names is None:
            statement = self._read_changed if changed_after else self._read_all
        else:
            statement, parameters["wanted"] = self._read_named, json.dumps([[name] for name in {*names}])
        return sorted(
            _readable(connection.execute(statement, parameters).all()), key=lambda record: record.name
        )

    def overdue(self, connection: Connection, before: int, limit: int) -> list[EntryRecord]:
        found = connection.execute(self._overdue, {"before": before, "longest": limit})
        return _readable(found.all())

    def save(self, connection: Connection, changes: Sequence[Change]) -> list[bool]:
        number = self._next_change(connection)
        stored = self._stored(connection, changes)
        writes = _Writes({}, {}, [])
        taken = {known.uid for known in stored.values()}
        results = [_decide(change, stored, taken, writes) for change in changes]
        if any(results):
            self._create(connection, writes.created.values(), number)
            self._change(connection, writes.changed.values(), number)
            self._record_skips(connection, writes.skipped)
            connection.execute(update(store).values(change_number=number))
        return results

    def remove(self, connection: Connection, names: Collection[str]) -> int:
        number = self._next_change(connection)
        wanted = json.dumps([[name] for name in {*names}])
        found = connection.execute(self._removable, {"wanted": wanted}).all()
        if found:
            ids = json.dumps([[row.id] for row in found])
            self._outbox.supersede(connection, json.dumps([[row.uid] for row in found]))
            for statement in (self._remember_removed, self._remove_progress, self._remove_entries):
                connection.execute(statement, {"gone": ids})
            connection.execute(update(store).values(change_number=number))
        return len(found)

    def _build_reads(self, dialect: Dialect) -> None:
        published = (
            select(history.c.published_at)
            .where(history.c.entry_id == entry.c.id, history.c.outcome == "published")
            .order_by(history.c.entry_id.desc(), history.c.fire_time.desc())
            .limit(1)
            .scalar_subquery()
        )
        base = _joined(published)
        wanted = dialect.batch("wanted", {"name": String()})
        self._read_all = base
        self._read_changed = base.where(entry.c.change_number > bindparam("changed_after"))
        self._read_named = self._read_changed.where(entry.c.name.in_(select(wanted.c.name)))
        self._overdue = (
            _joined(null())
            .where(progress.c.retired_at.is_(None), progress.c.due_at <= bindparam("before"))
            .order_by(progress.c.due_at, entry.c.uid)
            .limit(bindparam("longest"))
        )

    def _build_writes(self, dialect: Dialect) -> None:
        by_name = dialect.batch("wanted", {"name": String()})
        by_uid = dialect.batch("wanted", {"uid": String()})
        brief = select(entry.c.id, entry.c.uid, entry.c.name, progress.c.revision, progress.c.cursor).join(
            progress, progress.c.id == entry.c.id
        )
        self._brief = brief.where(entry.c.name.in_(select(by_name.c.name))).with_for_update(of=progress)
        self._known_uids = select(entry.c.uid).where(entry.c.uid.in_(select(by_uid.c.uid)))
        self._removable = self._brief
        self._build_create(dialect)
        self._build_change(dialect)
        self._build_remove(dialect)

    def _build_create(self, dialect: Dialect) -> None:
        new = dialect.batch("created", _WHAT)
        self._insert_entries = entry.insert().from_select(
            [*_WHAT, "change_number"], select(*new.c, bindparam("number", type_=BigInteger()))
        )
        start = dialect.batch("created", {"uid": String(), **_HOW_FAR, **_COUNTS})
        self._insert_progress = progress.insert().from_select(
            ["id", *_HOW_FAR, *_COUNTS],
            select(entry.c.id, *(start.c[name] for name in (*_HOW_FAR, *_COUNTS))).join_from(
                start, entry, entry.c.uid == start.c.uid
            ),
        )

    def _build_change(self, dialect: Dialect) -> None:
        kept = {name: kind for name, kind in _WHAT.items() if name not in {"uid", "name"}}
        what = dialect.batch("changed", {"id": BigInteger(), **kept})
        how_far = dialect.batch("changed", {"id": BigInteger(), **_HOW_FAR})
        self._update_entries = dialect.update_batch(entry, what).values(
            change_number=bindparam("number"), **{name: what.c[name] for name in kept}
        )
        self._update_progress = dialect.update_batch(progress, how_far).values(
            {name: how_far.c[name] for name in _HOW_FAR}
        )

    def _build_remove(self, dialect: Dialect) -> None:
        gone = dialect.batch("gone", {"id": BigInteger()})
        self._remember_removed = removed.insert().from_select(
            ["id", "uid", "name"],
            select(entry.c.id, entry.c.uid, entry.c.name).where(entry.c.id.in_(select(gone.c.id))),
        )
        self._remove_progress = dialect.delete_batch(progress, gone, ["id"])
        self._remove_entries = dialect.delete_batch(entry, gone, ["id"])

    def _next_change(self, connection: Connection) -> int:
        """Lock the store's row, which lines up the writers, and return the next change number."""
        return int(connection.execute(select(store.c.change_number).with_for_update()).scalar_one()) + 1

    def _stored(self, connection: Connection, changes: Sequence[Change]) -> dict[str, _Stored]:
        names = json.dumps([[name] for name in {change.record.name for change in changes}])
        uids = json.dumps([[uid] for uid in {change.record.uid for change in changes}])
        found = connection.execute(self._brief, {"wanted": names})
        stored = {row.name: _Stored(row.uid, row.revision, row.cursor, row.id) for row in found}
        for (uid,) in connection.execute(self._known_uids, {"wanted": uids}):
            # Under a key that is no name of the batch: it only says that the uid is taken.
            stored.setdefault(f"\0{uid}", _Stored(uid, 0, 0, None))
        return stored

    def _create(self, connection: Connection, records: Iterable[EntryRecord], number: int) -> None:
        made = [*records]
        if not made:
            return
        what = json.dumps([_what(record) for record in made])
        how_far = json.dumps([[record.uid, *_how_far(record), *_counts(record)] for record in made])
        connection.execute(self._insert_entries, {"created": what, "number": number})
        connection.execute(self._insert_progress, {"created": how_far})

    def _change(
        self, connection: Connection, records: Iterable[tuple[int, EntryRecord]], number: int
    ) -> None:
        made = [*records]
        if not made:
            return
        what = json.dumps([[place, *_what(record)[2:]] for place, record in made])
        how_far = json.dumps([[place, *_how_far(record)] for place, record in made])
        connection.execute(self._update_entries, {"changed": what, "number": number})
        connection.execute(self._update_progress, {"changed": how_far})

    def _record_skips(self, connection: Connection, changes: Sequence[Change]) -> None:
        runs = [(change.record.uid, skip) for change in changes for skip in change.skips]
        if runs:
            self._history.add_skips_by_uid(connection, runs, self._dialect.now(connection))


def _joined(published_at: ColumnElement[Any]) -> Select[Any]:
    """Return the fields of an ``EntryRecord`` of every entry."""
    return select(*_COLUMNS, published_at.label("last_published_at"), progress.c.retired_at).join_from(
        progress, entry, entry.c.id == progress.c.id
    )


def _decide(change: Change, stored: dict[str, _Stored], taken: set[str], writes: _Writes) -> bool:
    """Decide one change against the store as the changes before it leave it; note what is to be written."""
    record, known = change.record, stored.get(change.record.name)
    if change.expected_revision is None:
        if known is not None or record.uid in taken:
            return False
        known = _Stored(record.uid, 0, record.cursor, None)
        stored[record.name] = known
        taken.add(record.uid)
    elif known is None or not _as_expected(change, known):
        return False
    known.revision, known.cursor = known.revision + 1, record.cursor
    _note(record, known, writes)
    if change.skips:
        writes.skipped.append(change)
    return True


def _as_expected(change: Change, known: _Stored) -> bool:
    expected = change.record.uid, change.expected_revision, change.expected_cursor
    return expected == (known.uid, known.revision, known.cursor)


def _note(record: EntryRecord, known: _Stored, writes: _Writes) -> None:
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


def _what(record: EntryRecord) -> list[Any]:
    return [
        record.uid,
        record.name,
        record.origin,
        record.task,
        json.dumps(record.schedule),
        record.timezone,
        json.dumps(record.definition),
        record.fingerprint,
        record.generation,
        record.anchor,
        None if record.pause is None else json.dumps(record.pause),
    ]


def _how_far(record: EntryRecord) -> list[Any]:
    return [record.revision, record.cursor, record.next_fire_time, record.due_at, record.retired_at]


def _counts(record: EntryRecord) -> list[Any]:
    return [record.total_run_count, record.last_fire_time]


def _readable(rows: Iterable[Row[Any]]) -> list[EntryRecord]:
    records, mappings = [], _Mappings()
    for row in rows:
        try:
            records.append(_record(row, mappings))
        except (ValueError, TypeError) as error:
            _logger.warning("the entry %r is left out, its row cannot be read: %s", row[0], error)
    return records


def _record(row: Row[Any], mappings: _Mappings) -> EntryRecord:
    cells = list(row)
    for place in _JSON:
        cells[place] = mappings[cells[place]]
    if cells[_PAUSE] is not None:
        cells[_PAUSE] = mappings[cells[_PAUSE]]
    record = EntryRecord(*cells)
    if type(record.cursor) is not int or type(record.anchor) is not int:
        raise TypeError("its cursor or anchor is not an integer")
    return record


class _Mappings(dict[str, Mapping[str, Any]]):
    """JSON objects by their text; many entries share a schedule."""

    def __missing__(self, text: str) -> Mapping[str, Any]:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise TypeError(f"{text!r} is not a JSON object")
        self[text] = value
        return value
