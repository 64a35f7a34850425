"""The outbox in SQL: claimed firings until they are settled or given back."""

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
    case,
    func,
    literal,
    null,
    select,
    update,
)

from qbeat.store.checks import storable
from qbeat.store.records import Release, Settlement
from qbeat.store.sql.dialect import Columns, Dialect, Groups
from qbeat.store.sql.tables import history, outbox

KEY: Final[Columns] = {"uid": String(), "lane": String(), "fire_time": BigInteger()}
"""What names a firing."""
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

    def count(self, connection: Connection) -> int:
        return int(connection.execute(select(func.count()).select_from(outbox)).scalar_one())

    def _build_settle(self, dialect: Dialect) -> None:
        settled = dialect.grouped("settled", _SETTLED)
        self._write_history = dialect.insert_missing(history).from_select(
            _HISTORY,
            dialect.batch_first(
                _ended(settled.c.outcome, settled.c.reason, settled.c.published_at)
                .join_from(settled, outbox, and_(same_firing(settled), _same_attempt(settled)))
                # against a takeover at the same time
                .with_for_update(of=outbox),
                outbox,
            ),
        )
        self._drop_settled = dialect.delete_batch(outbox, settled, [*KEY], settled.c.attempt.is_(None))
        self._drop_settled_attempts = dialect.delete_batch(outbox, settled, [*KEY, "attempt"])
        gone = dialect.batch("gone", {"uid": String()})
        ended = _ended(literal("skipped"), literal("superseded"), null())
        self._write_superseded = dialect.insert_missing(history).from_select(
            # against a settlement at the same time
            _HISTORY,
            dialect.batch_first(
                ended.join_from(gone, outbox, outbox.c.uid == gone.c.uid).with_for_update(of=outbox),
                outbox,
            ),
        )
        self._drop_superseded = dialect.delete_batch(outbox, gone, ["uid"])

    def _build_release(self, dialect: Dialect) -> None:
        columns: Columns = {
            "attempt": Integer(),
            "not_before": BigInteger(),
            "error": Text(),
            "uncertain": Integer(),
        }
        released = dialect.batch("released", {**KEY, **columns})
        self._release = (
            update(outbox)
            .where(same_firing(released), _same_attempt(released))
            .values(
                held_since=None,
                not_before=released.c.not_before,
                error=released.c.error,
                uncertain=case((released.c.uncertain == 1, 1), else_=outbox.c.uncertain),
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


def same_firing(batch: FromClause) -> ColumnElement[bool]:
    """Return whether a row of the outbox is the one that a row of ``batch`` names."""
    return and_(*(outbox.c[name] == batch.c[name] for name in KEY))


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
