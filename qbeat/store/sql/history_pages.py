"""The history in SQL, as it is read: settled and unsettled records together, page by page.

Each page is one statement, so that a firing that is settled meanwhile is neither doubled nor lost. A page
goes on after the key of the last record of the page before.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Row,
    Select,
    String,
    cast,
    func,
    literal,
    null,
    select,
    tuple_,
    union_all,
)

from qbeat.store.records import HistoryRecord
from qbeat.store.sql.dialect import Dialect
from qbeat.store.sql.tables import entry, history, outbox, removed

PAGE: Final = 1_000
"""How many records are read at once."""

Place = tuple[int, int, str]
"""The key of a record: fire time, entry id, lane."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which records are wanted: fire times within ``[since, until]``, and in which order."""

    since: int | None
    until: int | None
    newest_first: bool


class HistoryPages:
    """Reads the history of the entries with some names, or of all."""

    def __init__(self, dialect: Dialect) -> None:
        wanted = dialect.batch("wanted", {"name": String()})
        names = select(wanted.c.name)
        self._dialect = dialect
        self._ids = union_all(
            select(entry.c.id).where(entry.c.name.in_(names)),
            select(removed.c.id).where(removed.c.name.in_(names)),
        )

    def page(
        self,
        connection: Connection,
        names: Collection[str] | None,
        span: Span,
        after: Place | None,
        size: int,
    ) -> list[tuple[Place, HistoryRecord]]:
        """Return the first ``size`` records after a place, each with its own."""
        ids = None if names is None else self._entry_ids(connection, names)
        if ids == []:
            return []
        statement = self._statement(ids, span, after, size)
        parameters = {"ids": json.dumps([[id_] for id_ in ids])} if ids else {}
        return [_record(row) for row in connection.execute(statement, parameters)]

    def _entry_ids(self, connection: Connection, names: Collection[str]) -> list[int]:
        wanted = json.dumps([[name] for name in {*names}])
        return sorted(connection.execute(self._ids, {"wanted": wanted}).scalars())

    def _statement(self, ids: list[int] | None, span: Span, after: Place | None, size: int) -> Select[Any]:
        parts = [(_starting_within(_settled(), history, span), history)]
        parts.append((_starting_within(_unsettled(), outbox, span), outbox))
        if span.since is not None:
            parts.append((_running_into(span.since, span.until), history))
        pages = [
            self._of(part, table, ids)
            .where(*_beyond(table, after, newest_first=span.newest_first))
            .order_by(*_order(table, newest_first=span.newest_first))
            .limit(size)
            for part, table in parts
        ]
        both = union_all(*(select(page.subquery()) for page in pages)).subquery("both")
        order = _order(both, newest_first=span.newest_first)
        found = select(both).order_by(*order).limit(size).subquery("page")
        return _named(found, newest_first=span.newest_first)

    def _of(self, part: Select[Any], table: FromClause, ids: list[int] | None) -> Select[Any]:
        """Return the records of a part that are about some entries."""
        if ids is None:
            return part
        if len(ids) == 1:  # lets the index give the order too
            return part.where(table.c.entry_id == ids[0])
        wanted = self._dialect.batch("ids", {"id": BigInteger()})
        return part.where(table.c.entry_id.in_(select(wanted.c.id)))


def _record(row: Row[Any]) -> tuple[Place, HistoryRecord]:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    entry_id = fields.pop("entry_id")
    if fields["last_fire_time"] is None:
        fields["last_fire_time"] = fields["fire_time"]
    record = HistoryRecord(**fields)
    return (record.fire_time, entry_id, record.lane), record


def _settled() -> Select[Any]:
    return select(
        history.c.fire_time,
        history.c.entry_id,
        history.c.lane,
        history.c.last_fire_time,
        history.c.count,
        history.c.outcome,
        history.c.reason,
        history.c.task_id,
        history.c.claimed_at,
        history.c.published_at,
        history.c.replica,
        history.c.attempt,
    )


def _unsettled() -> Select[Any]:
    return select(
        outbox.c.fire_time,
        outbox.c.entry_id,
        outbox.c.lane,
        cast(null(), BigInteger()).label("last_fire_time"),
        literal(1, Integer()).label("count"),
        literal("claimed").label("outcome"),
        outbox.c.error.label("reason"),
        outbox.c.task_id,
        outbox.c.claimed_at,
        cast(null(), BigInteger()).label("published_at"),
        outbox.c.replica,
        outbox.c.attempt,
    )


def _starting_within(part: Select[Any], table: FromClause, span: Span) -> Select[Any]:
    if span.since is not None:
        part = part.where(table.c.fire_time >= span.since)
    return part if span.until is None else part.where(table.c.fire_time <= span.until)


def _running_into(since: int, until: int | None) -> Select[Any]:
    """Return the runs of skips that began before ``since`` and reach it."""
    part = _settled().where(history.c.fire_time < since, history.c.last_fire_time >= since)
    return part if until is None else part.where(history.c.fire_time <= until)


def _order(table: FromClause, *, newest_first: bool) -> list[ColumnElement[Any]]:
    key = (table.c.fire_time, table.c.entry_id, table.c.lane)
    return [column.desc() if newest_first else column.asc() for column in key]


def _beyond(table: FromClause, after: Place | None, *, newest_first: bool) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    key = tuple_(table.c.fire_time, table.c.entry_id, table.c.lane)
    if newest_first:  # the first condition is what MySQL's index understands
        return [table.c.fire_time <= after[0], key < after]
    return [table.c.fire_time >= after[0], key > after]


def _named(found: FromClause, *, newest_first: bool) -> Select[Any]:
    """Return the records with their entry's uid and name, be it there or gone."""
    key = [found.c.fire_time, found.c.entry_id, found.c.lane]
    rest = [column for column in found.c if column.name not in {"fire_time", "entry_id", "lane"}]
    uid = func.coalesce(entry.c.uid, removed.c.uid, "").label("uid")
    name = func.coalesce(entry.c.name, removed.c.name, "").label("entry")
    joined = select(*key, uid, name, *rest).select_from(
        found.outerjoin(entry, entry.c.id == found.c.entry_id).outerjoin(
            removed, removed.c.id == found.c.entry_id
        )
    )
    return joined.order_by(*_order(found, newest_first=newest_first))
