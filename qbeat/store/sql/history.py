"""The history in SQL, as it is written: which fire times were skipped, and from when on there is enough."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    bindparam,
    func,
    literal,
    select,
)
from sqlalchemy.sql import FromClause

from qbeat.store.records import AUTO, Skip
from qbeat.store.sql.dialect import Columns, Dialect
from qbeat.store.sql.tables import entry, history

_SKIP: Final[Columns] = {
    "fire_time": BigInteger(),
    "last_fire_time": BigInteger(),
    "count": BigInteger(),
    "reason": String(),
}
_SKIP_COLUMNS: Final = [
    *_SKIP,
    "entry_id",
    "lane",
    "outcome",
    "claimed_at",
    "replica",
    "attempt",
]


class History:
    """The statements about settled records, built once."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._build_skips(dialect)
        fire_time = history.c.fire_time
        nth = (
            select(fire_time).order_by(fire_time.desc()).limit(1).offset(bindparam("newer", type_=Integer()))
        )
        self._earliest_and_nth = select(select(func.min(fire_time)).scalar_subquery(), nth.scalar_subquery())

    def add_skips(
        self, connection: Connection, skips: Sequence[tuple[int, Skip]], replica: str | None, now: int
    ) -> None:
        """Record runs of skips of the entries with these ids."""
        if skips:
            rows = json.dumps([[*_skip_cells(skip), entry_id] for entry_id, skip in skips])
            connection.execute(self._add_skips, {"skips": rows, "me": replica, "now": now})

    def add_skips_by_uid(self, connection: Connection, skips: Sequence[tuple[str, Skip]], now: int) -> None:
        """Record runs of skips of the entries with these uids, which nobody claimed."""
        rows = json.dumps([[*_skip_cells(skip), uid] for uid, skip in skips])
        connection.execute(self._add_skips_by_uid, {"skips": rows, "me": None, "now": now})

    def before(self, connection: Connection, count: int) -> int | None:
        """Return the fire time of the ``count``-th newest record, if there is an earlier one."""
        earliest, nth = connection.execute(self._earliest_and_nth, {"newer": count - 1}).one()
        return int(nth) if nth is not None and earliest < nth else None

    def _build_skips(self, dialect: Dialect) -> None:
        by_id = dialect.batch("skips", {**_SKIP, "entry_id": BigInteger()})
        self._add_skips = dialect.insert_missing(history).from_select(
            _SKIP_COLUMNS, _skipped(by_id, by_id.c.entry_id).select_from(by_id)
        )
        by_uid = dialect.batch("skips", {**_SKIP, "uid": String()})
        self._add_skips_by_uid = dialect.insert_missing(history).from_select(
            _SKIP_COLUMNS,
            _skipped(by_uid, entry.c.id).join_from(by_uid, entry, entry.c.uid == by_uid.c.uid),
        )


def _skipped(skips: FromClause, entry_id: ColumnElement[Any]) -> Select[Any]:
    """Return the rows of a batch of skips, in the order of ``_SKIP_COLUMNS``."""
    return select(
        *(skips.c[name] for name in _SKIP),
        entry_id,
        literal(AUTO),
        literal("skipped"),
        bindparam("now", type_=BigInteger()),
        bindparam("me", type_=String()),
        literal(1, Integer()),
    )


def _skip_cells(skip: Skip) -> list[Any]:
    return [skip.first, skip.last, skip.count, skip.reason]
