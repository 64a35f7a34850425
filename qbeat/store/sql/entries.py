"""Entries in SQL: read, written with a check of what the writer read, removed, found when overdue."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    String,
    bindparam,
    exists,
    null,
    select,
    update,
)

from qbeat.store.records import Change, EntryRecord
from qbeat.store.sql.dialect import Dialect
from qbeat.store.sql.entry_changes import Stored, Writes, decide
from qbeat.store.sql.entry_rows import (
    COUNTS,
    HOW_FAR,
    WHAT,
    count_cells,
    how_far_cells,
    joined,
    readable,
    what_cells,
)
from qbeat.store.sql.history import History
from qbeat.store.sql.outbox import Outbox
from qbeat.store.sql.tables import entry, history, progress, removed, store

SCAN_PAGE: Final = 1_000
"""How many rows a scan reads at once."""
LAST_ID: Final = 2**63 - 1
"""What no id is beyond."""


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
            readable(connection.execute(statement, parameters).all()), key=lambda record: record.name
        )

    def page(self, connection: Connection, after: int) -> tuple[list[EntryRecord], int | None]:
        """Return the entries of the next rows after an id, and the id to go on after; ``None`` with the last."""
        end = connection.execute(self._page_end, {"after": after, "others": SCAN_PAGE - 1}).scalar()
        until = LAST_ID if end is None else end
        return readable(connection.execute(self._read_page, {"after": after, "until": until})), end

    def overdue(self, connection: Connection, before: int, limit: int) -> list[EntryRecord]:
        found = connection.execute(self._overdue, {"before": before, "longest": limit})
        return readable(found.all())

    def save(self, connection: Connection, changes: Sequence[Change]) -> list[bool]:
        number = self._next_change(connection)
        stored = self._stored(connection, changes)
        writes = Writes({}, {}, [])
        taken = {known.uid for known in stored.values()}
        results = [decide(change, stored, taken, writes) for change in changes]
        if any(results):
            self._create(connection, writes.created.values(), number)
            self._change(connection, writes.changed.values(), number)
            self._record_skips(connection, writes.skipped)
            connection.execute(update(store).values(change_number=number))
        return results

    def remove(self, connection: Connection, names: Collection[str]) -> int:
        number = self._next_change(connection)
        wanted = json.dumps([[name] for name in {*names}])
        found = connection.execute(self._brief, {"wanted": wanted}).all()
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
        base = joined(published)
        wanted = dialect.batch("wanted", {"name": String()})
        self._read_all = base
        self._read_changed = base.where(entry.c.change_number > bindparam("changed_after"))
        self._read_named = self._read_changed.where(entry.c.name.in_(select(wanted.c.name)))
        self._page_end = (
            select(entry.c.id)
            .where(entry.c.id > bindparam("after"))
            .order_by(entry.c.id)
            .offset(bindparam("others"))
            .limit(1)
        )
        # Both ends, of both tables: with less PostgreSQL may read all of one for each page.
        self._read_page = base.where(
            *(table.c.id > bindparam("after") for table in (entry, progress)),
            *(table.c.id <= bindparam("until") for table in (entry, progress)),
        )
        self._overdue = (
            joined(null())
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
        self._build_create(dialect)
        self._build_change(dialect)
        self._build_remove(dialect)

    def _build_create(self, dialect: Dialect) -> None:
        new = dialect.batch("created", WHAT)
        self._insert_entries = entry.insert().from_select(
            [*WHAT, "change_number"], select(*new.c, bindparam("number", type_=BigInteger()))
        )
        start = dialect.batch("created", {"uid": String(), **HOW_FAR, **COUNTS})
        self._insert_progress = progress.insert().from_select(
            ["id", *HOW_FAR, *COUNTS],
            select(entry.c.id, *(start.c[name] for name in (*HOW_FAR, *COUNTS))).join_from(
                start, entry, entry.c.uid == start.c.uid
            ),
        )

    def _build_change(self, dialect: Dialect) -> None:
        kept = {name: kind for name, kind in WHAT.items() if name not in {"uid", "name"}}
        what = dialect.batch("changed", {"id": BigInteger(), **kept})
        how_far = dialect.batch("changed", {"id": BigInteger(), **HOW_FAR})
        self._update_entries = dialect.update_batch(entry, what).values(
            change_number=bindparam("number"), **{name: what.c[name] for name in kept}
        )
        self._update_progress = dialect.update_batch(progress, how_far).values(
            {name: how_far.c[name] for name in HOW_FAR}
        )

    def _build_remove(self, dialect: Dialect) -> None:
        gone = dialect.batch("gone", {"id": BigInteger()})
        self._remember_removed = removed.insert().from_select(
            ["id", "uid", "name"],
            select(entry.c.id, entry.c.uid, entry.c.name).where(
                entry.c.id.in_(select(gone.c.id)), exists().where(history.c.entry_id == entry.c.id)
            ),
        )
        self._remove_progress = dialect.delete_batch(progress, gone, ["id"])
        self._remove_entries = dialect.delete_batch(entry, gone, ["id"])

    def _next_change(self, connection: Connection) -> int:
        """Lock the store's row, which lines up the writers, and return the next change number."""
        return int(connection.execute(select(store.c.change_number).with_for_update()).scalar_one()) + 1

    def _stored(self, connection: Connection, changes: Sequence[Change]) -> dict[str, Stored]:
        names = json.dumps([[name] for name in {change.record.name for change in changes}])
        uids = json.dumps([[uid] for uid in {change.record.uid for change in changes}])
        found = connection.execute(self._brief, {"wanted": names})
        stored = {row.name: Stored(row.uid, row.revision, row.cursor, row.id) for row in found}
        for (uid,) in connection.execute(self._known_uids, {"wanted": uids}):
            # Under a key that is no name of the batch: it only says that the uid is taken.
            stored.setdefault(f"\0{uid}", Stored(uid, 0, 0, None))
        return stored

    def _create(self, connection: Connection, records: Iterable[EntryRecord], number: int) -> None:
        # The order in which they are claimed: those that are claimed together then lie together.
        made = sorted(records, key=lambda record: record.uid)
        if not made:
            return
        what = json.dumps([what_cells(record) for record in made])
        how_far = json.dumps([[record.uid, *how_far_cells(record), *count_cells(record)] for record in made])
        connection.execute(self._insert_entries, {"created": what, "number": number})
        connection.execute(self._insert_progress, {"created": how_far})

    def _change(
        self, connection: Connection, records: Iterable[tuple[int, EntryRecord]], number: int
    ) -> None:
        made = [*records]
        if not made:
            return
        what = json.dumps([[place, *what_cells(record)[2:]] for place, record in made])
        how_far = json.dumps([[place, *how_far_cells(record)] for place, record in made])
        connection.execute(self._update_entries, {"changed": what, "number": number})
        connection.execute(self._update_progress, {"changed": how_far})

    def _record_skips(self, connection: Connection, changes: Sequence[Change]) -> None:
        runs = [(change.record.uid, skip) for change in changes for skip in change.skips]
        if runs:
            self._history.add_skips_by_uid(connection, runs, self._dialect.now(connection))
