"""The outbox in SQL: claimed firings until they are settled, given back or taken over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    String,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from qbeat.store.checks import storable
from qbeat.store.records import Firing, Release, Settlement
from qbeat.store.sql.dialect import Columns, Dialect, Groups
from qbeat.store.sql.tables import entry, history, outbox, store

_KEY: Final[dict[str, TypeEngine[Any]]] = {"uid": String(), "lane": String(), "fire_time": BigInteger()}
_SETTLED: Final[Columns] = {
    "attempt": Integer(),
    "lane": String(),
    "fire_time": BigInteger(),
    "outcome": String(),
    "reason": Text(),
    "published_at": BigInteger(),
    "uid": String(),
}
_HISTORY: Final = (
    "fire_time",
    "entry_id",
    "lane",
    "last_fire_time",
    "count",
    "outcome",
    "reason",
    "task_id",
    "claimed_at",
    "published_at",
    "replica",
    "attempt",
)


class Outbox:
    """The statements about unsettled firings, built once."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._build_settle(dialect)
        self._build_release(dialect)
        self._build_take_over(dialect)

    def settle(self, connection: Connection, settlements: Sequence[Settlement]) -> None:
        for ended in _rounds(settlements):
            groups = _groups(ended)
            batch = {"settled": self._dialect.write_groups(groups)}
            connection.execute(self._write_history, batch)
            connection.execute(self._drop_settled, batch)
            if any(attempt is not None for attempt, *_ in groups):
                connection.execute(self._drop_settled_attempts, batch)

    def supersede(self, connection: Connection, uids: str) -> None:
        """Settle as superseded what is left of the entries whose uids a JSON array of arrays holds."""
        connection.execute(self._write_superseded, {"gone": uids})
        connection.execute(self._drop_superseded, {"gone": uids})

    def release(self, connection: Connection, releases: Sequence[Release]) -> None:
        rows = {
            (one.uid, one.lane, one.fire_time, one.attempt): [
                one.not_before,
                storable(one.error),
                int(one.uncertain),
            ]
            for one in releases
        }
        if rows:
            batch = json.dumps([[*key, *rows[key]] for key in sorted(rows)])
            connection.execute(self._release, {"released": batch})

    def release_all(self, connection: Connection, replica: str) -> None:
        connection.execute(
            update(outbox)
            .where(outbox.c.replica == replica, outbox.c.held_since.is_not(None))
            .values(held_since=None, not_before=0, error=None, uncertain=1)
        )

    def take_over(self, connection: Connection, replica: str, stale_after: int, limit: int) -> list[Firing]:
        # One at a time: whoever looked while another takes would see the earlier firings free that are not.
        connection.execute(select(store.c.id).with_for_update())
        now = self._dialect.now(connection)
        scope = {"now": now, "stale": now - stale_after, "longest": limit}
        found = connection.execute(self._takeable, scope).mappings()
        firings = [Firing(**{**row, "uncertain": bool(row["uncertain"])}) for row in found]
        if firings:
            taken = json.dumps(
                [[one.uid, one.lane, one.fire_time, one.attempt, int(one.uncertain)] for one in firings]
            )
            connection.execute(self._take, {"taken": taken, "me": replica, "now": now})
        return firings

    def count(self, connection: Connection) -> int:
        return int(connection.execute(select(func.count()).select_from(outbox)).scalar_one())

    def _build_settle(self, dialect: Dialect) -> None:
        settled = dialect.grouped("settled", _SETTLED)
        self._write_history = dialect.insert_missing(history).from_select(
            _HISTORY,
            _ended(settled.c.outcome, settled.c.reason, settled.c.published_at)
            .join_from(settled, outbox, and_(_same_firing(settled), _same_attempt(settled)))
            # against a takeover at the same time
            .with_for_update(of=outbox),
        )
        self._drop_settled = dialect.delete_batch(outbox, settled, [*_KEY], settled.c.attempt.is_(None))
        self._drop_settled_attempts = dialect.delete_batch(outbox, settled, [*_KEY, "attempt"])
        gone = dialect.batch("gone", {"uid": String()})
        ended = _ended(literal("skipped"), literal("superseded"), null())
        self._write_superseded = dialect.insert_missing(history).from_select(
            _HISTORY, ended.join_from(gone, outbox, outbox.c.uid == gone.c.uid)
        )
        self._drop_superseded = dialect.delete_batch(outbox, gone, ["uid"])

    def _build_release(self, dialect: Dialect) -> None:
        columns: Columns = {
            "attempt": Integer(),
            "not_before": BigInteger(),
            "error": Text(),
            "uncertain": Integer(),
        }
        released = dialect.batch("released", {**_KEY, **columns})
        self._release = (
            update(outbox)
            .where(_same_firing(released), _same_attempt(released))
            .values(
                held_since=None,
                not_before=released.c.not_before,
                error=released.c.error,
                uncertain=case((released.c.uncertain == 1, 1), else_=outbox.c.uncertain),
            )
        )

    def _build_take_over(self, dialect: Dialect) -> None:
        earlier = outbox.alias("earlier")
        blocked = exists().where(
            earlier.c.uid == outbox.c.uid,
            earlier.c.lane == outbox.c.lane,
            earlier.c.fire_time < outbox.c.fire_time,
            ~_free(earlier),
        )
        self._takeable = (
            select(
                outbox.c.uid,
                entry.c.name.label("entry"),
                outbox.c.fire_time,
                outbox.c.lane,
                outbox.c.task_id,
                (outbox.c.attempt + 1).label("attempt"),
                _uncertain_now().label("uncertain"),
            )
            .join(entry, entry.c.id == outbox.c.entry_id)
            .where(_free(outbox), ~blocked)
            .order_by(outbox.c.fire_time, outbox.c.uid, outbox.c.lane)
            .limit(bindparam("longest"))
            .with_for_update(of=outbox)
        )
        taken = dialect.batch("taken", {**_KEY, "attempt": Integer(), "uncertain": Integer()})
        self._take = (
            update(outbox)
            .where(_same_firing(taken))
            .values(
                replica=bindparam("me"),
                held_since=bindparam("now"),
                uncertain=taken.c.uncertain,
                attempt=taken.c.attempt,
                error=None,
            )
        )


def _rounds(settlements: Sequence[Settlement]) -> list[dict[tuple[str, str, int], Settlement]]:
    """Return the settlements by the keys of their firings, in rounds that do not settle a firing twice.

    One round is the rule. A firing has more only where a batch names it for several attempts.
    """
    rounds: list[dict[tuple[str, str, int], Settlement]] = []
    for one in settlements:
        key = one.uid, one.lane, one.fire_time
        for ended in rounds:
            earlier = ended.setdefault(key, one)
            if earlier is one or earlier.attempt in {None, one.attempt}:
                break  # placed, or too late
        else:
            rounds.append({key: one})
    return rounds


def _groups(ended: Mapping[tuple[str, str, int], Settlement]) -> Groups:
    """Return the rows of ``_SETTLED``, their uids under all else."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for key in sorted(ended):
        uid, fire_time, lane, outcome, published_at, reason, attempt = ended[key]
        shared = attempt, lane, fire_time, outcome, storable(reason), published_at
        groups.setdefault(shared, []).append(uid)
    return groups


def _same_attempt(batch: FromClause) -> ColumnElement[bool]:
    return func.coalesce(batch.c.attempt, outbox.c.attempt) == outbox.c.attempt


def _uncertain_now() -> ColumnElement[int]:
    """Return whether a firing that is taken over may have reached the broker: 1 unless it was released."""
    return case((outbox.c.held_since.is_not(None), 1), else_=outbox.c.uncertain)


def _same_firing(batch: FromClause) -> ColumnElement[bool]:
    return and_(*(outbox.c[name] == batch.c[name] for name in _KEY))


def _free(table: FromClause) -> ColumnElement[bool]:
    """Return whether a firing may be taken over ``now``: true or false, never NULL, for it is negated too."""
    released = and_(table.c.held_since.is_(None), table.c.not_before <= bindparam("now", type_=BigInteger()))
    stale = and_(table.c.held_since.is_not(None), table.c.held_since < bindparam("stale", type_=BigInteger()))
    return or_(released, stale)


def _ended(
    outcome: ColumnElement[Any], reason: ColumnElement[Any], published_at: ColumnElement[Any]
) -> Select[Any]:
    """Return what the history keeps of firings in the outbox, in the order of ``_HISTORY``."""
    return select(
        outbox.c.fire_time,
        outbox.c.entry_id,
        outbox.c.lane,
        null(),
        literal(1, Integer()),
        outcome,
        reason,
        outbox.c.task_id,
        outbox.c.claimed_at,
        published_at,
        outbox.c.replica,
        outbox.c.attempt,
    )
