"""Prunes the history in SQL: looks for what can go, and deletes it afterwards.

What a look has found stays true until it is deleted, for a record that can go can go at any later time too. The
newest published record of each entry stays, and there may be many old ones of these. So a look has a bound, and
the next call goes on where a long one has ended.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, String, and_, bindparam, exists, func, select
from sqlalchemy.sql import FromClause

from qbeat.store.sql.dialect import Columns, Dialect
from qbeat.store.sql.tables import entry, history, removed

STRETCH: Final = 2_000
"""How many records are looked at at once."""
STRETCHES: Final = 5
"""How many stretches one call looks at."""

Place = tuple[int, int, str]
"""The key of a record: fire time, entry id, lane."""

_START: Final[Place] = (-(2**63), 0, "")
"""Before all records."""
_KEY: Final[Columns] = {"fire_time": BigInteger(), "entry_id": BigInteger(), "lane": String()}


class Pruning:
    """The statements that prune, built once, and the place after which the next look begins."""

    def __init__(self, dialect: Dialect) -> None:
        self._after = _START
        self._build_look(dialect)
        self._build_delete(dialect)

    def look(self, connection: Connection, before: int, limit: int) -> list[Place]:
        """Return at most ``limit`` records that can go, the oldest first."""
        after: Place | None = self._after
        found: list[Place] = []
        for _ in range(STRETCHES):
            assert after is not None
            scope = {"before": before, **dict(zip(_AFTER, after, strict=True))}
            old = connection.execute(self._old, {**scope, "stretch": STRETCH, "longest": limit - len(found)})
            found += [_place(row) for row in old]
            end = connection.execute(self._end, {**scope, "others": STRETCH - 1}).one_or_none()
            after = None if end is None else _place(end)
            if after is None or len(found) == limit:
                break
        self._after = self._next(found, limit, after)
        return found

    def delete(self, connection: Connection, old: Sequence[Place]) -> int:
        """Delete records, and the names of removed entries that have no others; return how many were there."""
        gone = connection.execute(self._delete, {"old": json.dumps(old)}).rowcount
        ids = sorted({entry_id for _, entry_id, _ in old})
        connection.execute(self._forget, {"touched": json.dumps([[entry_id] for entry_id in ids])})
        return gone

    def _next(self, found: Sequence[Place], limit: int, after: Place | None) -> Place:
        """Return where the next look begins: from the start, as long as what there is takes only one."""
        if len(found) == limit:
            return _START if self._after == _START else found[-1]
        return after or _START

    def _build_look(self, dialect: Dialect) -> None:
        key = [history.c[name] for name in _KEY]
        after = [bindparam(name, type_=kind) for name, kind in zip(_AFTER, _KEY.values(), strict=True)]
        ahead = (
            select(*key)
            .where(history.c.fire_time < bindparam("before"), dialect.is_beyond(key, after))
            .order_by(*key)
        )
        self._end = ahead.offset(bindparam("others")).limit(1)
        columns = history.c.last_fire_time, history.c.outcome
        looked_at = ahead.add_columns(*columns).limit(bindparam("stretch")).subquery("looked_at")
        places = [looked_at.c[name] for name in _KEY]
        last = func.coalesce(looked_at.c.last_fire_time, looked_at.c.fire_time)
        self._old = (
            select(*places)
            .where(last < bindparam("before"), ~_is_newest_published(looked_at))
            .order_by(*places)
            .limit(bindparam("longest"))
        )

    def _build_delete(self, dialect: Dialect) -> None:
        self._delete = dialect.delete_batch(history, dialect.batch("old", _KEY), [*_KEY])
        touched = dialect.batch("touched", {"id": BigInteger()})
        is_done = ~exists().where(history.c.entry_id == touched.c.id)
        self._forget = dialect.delete_batch(removed, touched, ["id"], is_done)


_AFTER: Final = [f"after_{name}" for name in _KEY]


def _place(row: Sequence[Any]) -> Place:
    fire_time, entry_id, lane = row
    return fire_time, entry_id, lane


def _is_newest_published(record: FromClause) -> ColumnElement[bool]:
    """Return whether a record is the last published one of an entry that is still there.

    It asks for one row of each, which is looked up; EXISTS would have PostgreSQL read all of both tables.
    """
    owner = select(entry.c.id).where(entry.c.id == record.c.entry_id).limit(1)
    newest = (
        select(history.c.fire_time)
        .where(history.c.entry_id == record.c.entry_id, history.c.outcome == "published")
        .order_by(history.c.entry_id.desc(), history.c.fire_time.desc())
        .limit(1)
    )
    return and_(
        record.c.outcome == "published",
        owner.scalar_subquery().is_not(None),
        record.c.fire_time >= newest.scalar_subquery(),
    )
