"""Firings in the outbox that go over to another replica: given back, or held by one that is silent.

What is held since before the clock went back is found and locked like these, but then held from now on.

A look without locks finds the lanes. What is locked then may have changed since, or be kept back by someone
else's lock, so nothing is taken before a third look has shown that all that lies before it is locked too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Row,
    String,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from qbeat.store.base import MAX_AHEAD
from qbeat.store.records import Firing
from qbeat.store.sql.dialect import Columns, Dialect
from qbeat.store.sql.outbox import KEY, same_firing
from qbeat.store.sql.tables import entry, outbox

_LANE: Final[Columns] = {"uid": String(), "lane": String(), "bound": BigInteger()}
"""A lane of an entry up to a fire time."""
_ALWAYS: Final = 2**63 - 1
"""A fire time that none is beyond."""

_Slot = tuple[str, str, int]
"""The key of a firing: uid, lane, fire time."""


class Takeovers:
    """The statements that hand firings over, built once."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._build_lanes()
        self._build_lock(dialect)
        self._build_take(dialect)

    def take_over(self, connection: Connection, replica: str, stale_after: int, limit: int) -> list[Firing]:
        now = self._dialect.now(connection)
        scope = {"now": now, "stale": now - stale_after, "ahead": now + MAX_AHEAD, "longest": limit}
        lanes = connection.execute(self._lanes, scope).all()
        if not lanes:
            return []
        batch = json.dumps([list(lane) for lane in lanes])
        locked = connection.execute(self._lock, {**scope, "lanes": batch}).all()
        self._hold_anew(connection, [row for row in locked if row.ahead], now)
        firings = self._in_order(connection, [row for row in locked if not row.ahead])
        if firings:
            taken = [[one.uid, one.lane, one.fire_time, one.attempt, int(one.uncertain)] for one in firings]
            connection.execute(self._take, {"taken": json.dumps(taken), "me": replica, "now": now})
        return firings

    def _hold_anew(self, connection: Connection, ahead: Sequence[Row[Any]], now: int) -> None:
        if ahead:
            batch = json.dumps([[row.uid, row.lane, row.fire_time] for row in ahead])
            connection.execute(self._anew, {"ahead_of_clock": batch, "now": now})

    def _in_order(self, connection: Connection, locked: Sequence[Row[Any]]) -> list[Firing]:
        """Return the locked firings before which none of their lane stands that is not locked here."""
        if not locked:
            return []
        standing = connection.execute(self._standing, {"lanes": json.dumps(_lanes_of(locked))}).all()
        return _unbroken(standing, {(row.uid, row.lane, row.fire_time): row for row in locked})

    def _build_lanes(self) -> None:
        # One pass over all: to look at what stands before each firing would take the square of a lane's length.
        free, fire_time = _is_free(outbox), outbox.c.fire_time
        first_free = func.min(case((free, fire_time)))
        first_held = func.coalesce(func.min(case((~free, fire_time))), _ALWAYS)
        some = outbox.alias("some")
        self._lanes = (
            select(outbox.c.uid, outbox.c.lane, first_held)
            .where(select(some.c.uid).where(_is_free(some)).exists())  # mostly there is none
            .group_by(outbox.c.uid, outbox.c.lane)
            .having(first_free < first_held)
            .order_by(first_free, outbox.c.uid, outbox.c.lane)
            .limit(bindparam("longest"))
        )

    def _build_lock(self, dialect: Dialect) -> None:
        lanes = dialect.batch("lanes", _LANE)
        in_lane = and_(outbox.c.uid == lanes.c.uid, outbox.c.lane == lanes.c.lane)
        order = outbox.c.fire_time, outbox.c.uid, outbox.c.lane
        self._lock = dialect.batch_first(
            select(
                outbox.c.uid,
                outbox.c.lane,
                outbox.c.fire_time,
                outbox.c.task_id,
                (outbox.c.attempt + 1).label("attempt"),
                _uncertain_now().label("uncertain"),
                case((_is_ahead(outbox), 1), else_=0).label("ahead"),
            )
            .join_from(lanes, outbox, and_(in_lane, outbox.c.fire_time < lanes.c.bound))
            .where(_is_free(outbox))
            .order_by(*order)
            .limit(bindparam("longest"))
            # What others are at may wait for the next look; they may be stopped in the midst of it.
            .with_for_update(of=outbox, skip_locked=True),
            outbox,
        )
        self._standing = (
            select(outbox.c.uid, outbox.c.lane, outbox.c.fire_time, entry.c.name)
            .join_from(lanes, outbox, and_(in_lane, outbox.c.fire_time <= lanes.c.bound))
            .join(entry, entry.c.id == outbox.c.entry_id)
            .order_by(*order)
        )

    def _build_take(self, dialect: Dialect) -> None:
        ahead = dialect.batch("ahead_of_clock", KEY)
        self._anew = update(outbox).where(same_firing(ahead)).values(held_since=bindparam("now"))
        taken = dialect.batch("taken", {**KEY, "attempt": Integer(), "uncertain": Integer()})
        self._take = (
            update(outbox)
            .where(same_firing(taken))
            .values(
                replica=bindparam("me"),
                held_since=bindparam("now"),
                uncertain=taken.c.uncertain,
                attempt=taken.c.attempt,
                error=None,
            )
        )


def _lanes_of(firings: Iterable[Row[Any]]) -> list[tuple[str, str, int]]:
    """Return the lanes of firings, each up to the last of them; they come in the order of their fire times."""
    last = {(one.uid, one.lane): one.fire_time for one in firings}
    return [(*lane, fire_time) for lane, fire_time in last.items()]


def _unbroken(standing: Iterable[Any], locked: Mapping[_Slot, Row[Any]]) -> list[Firing]:
    """Return the locked ones of the firings that stand in the outbox, up to the first of each lane that is not."""
    firings, broken = [], set()
    for slot in standing:
        lane = slot.uid, slot.lane
        row = locked.get((*lane, slot.fire_time))
        if row is None:
            broken.add(lane)
        elif lane not in broken:
            firings.append(_taken(row, slot.name))
    return firings


def _taken(row: Row[Any], name: str) -> Firing:
    return Firing(row.uid, name, row.fire_time, row.lane, row.task_id, row.attempt, bool(row.uncertain))


def _uncertain_now() -> ColumnElement[int]:
    """Return whether a firing that is taken over may have reached the broker: 1 unless it was released."""
    return case((outbox.c.held_since.is_not(None), 1), else_=outbox.c.uncertain)


def _is_free(table: FromClause) -> ColumnElement[bool]:
    """Return whether a firing may be taken over ``now``: true or false, never NULL, for it is negated too."""
    over = or_(table.c.not_before <= _instant("now"), table.c.not_before > _instant("ahead"))
    released = and_(table.c.held_since.is_(None), over)
    stale = and_(table.c.held_since.is_not(None), table.c.held_since < _instant("stale"))
    return or_(released, stale, _is_ahead(table))


def _is_ahead(table: FromClause) -> ColumnElement[bool]:
    """Return whether a firing is held since before the store's clock went back; never NULL."""
    return and_(table.c.held_since.is_not(None), table.c.held_since > _instant("ahead"))


def _instant(name: str) -> ColumnElement[int]:
    return bindparam(name, type_=BigInteger())
