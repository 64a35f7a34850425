"""Claims in SQL: many entries compared and advanced in one transaction of a few statements.

The entries of a batch are read under lock, each claim is decided in their order, and what was won is written
with one statement for each table, whatever the size of the batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    String,
    bindparam,
    func,
    literal,
    null,
    or_,
    select,
)

from qbeat.store.records import AUTO, Claim, Skip, Won
from qbeat.store.sql.dialect import Dialect
from qbeat.store.sql.history import History
from qbeat.store.sql.tables import entry, outbox, progress


@dataclass(slots=True)
class _Standing:
    """How an entry stands while a batch is decided."""

    id: int
    cursor: int
    revision: int
    elsewhere: bool | int
    """An earlier firing waits in the outbox, and not for this replica."""


_Advance = tuple[int, int | None, int | None, int, int | None]
"""Cursor, next fire time, due instant, how many firings were added, and the fire time of the last one."""


@dataclass(slots=True)
class _Writes:
    """The rows that a batch of claims comes to."""

    progress: dict[int, _Advance] = field(default_factory=dict)
    """By the ids of the entries."""
    firings: list[list[Any]] = field(default_factory=list)
    skips: list[tuple[int, Skip]] = field(default_factory=list)


class Claims:
    """The statements about claims, built once."""

    def __init__(self, dialect: Dialect, past: History) -> None:
        self._dialect = dialect
        self._history = past
        self._build_standing(dialect)
        self._build_writes(dialect)

    def claim(self, connection: Connection, claims: Sequence[Claim], replica: str) -> list[Won]:
        """Decide the claims, write what they come to and return how each ended."""
        standings = self._standings(connection, claims, replica)
        if not standings:
            return [Won.LOST] * len(claims)
        now = self._dialect.now(connection)
        writes = _Writes()
        results = [_decide(claim, standings.get(claim.uid), writes, now) for claim in claims]
        self._write(connection, writes, replica, now)
        return results

    def _standings(
        self, connection: Connection, claims: Sequence[Claim], replica: str
    ) -> dict[str, _Standing]:
        uids = json.dumps([[uid] for uid in {claim.uid for claim in claims}])
        found = connection.execute(self._standing, {"wanted": uids, "me": replica}).all()
        return {uid: _Standing(*rest) for uid, *rest in found}

    def _write(self, connection: Connection, writes: _Writes, replica: str, now: int) -> None:
        if writes.progress:
            groups: dict[tuple[Any, ...], list[int]] = {}
            for entry_id in sorted(writes.progress):
                groups.setdefault(writes.progress[entry_id], []).append(entry_id)
            connection.execute(self._advance, {"advanced": self._dialect.write_groups(groups)})
        if writes.firings:
            connection.execute(
                self._add_firings, {"firings": json.dumps(writes.firings), "me": replica, "now": now}
            )
        self._history.add_skips(connection, writes.skips, replica, now)

    def _build_standing(self, dialect: Dialect) -> None:
        wanted = dialect.batch("wanted", {"uid": String()})
        elsewhere = (
            select(outbox.c.uid)
            .where(
                outbox.c.uid == entry.c.uid,
                outbox.c.lane == AUTO,
                or_(outbox.c.held_since.is_(None), outbox.c.replica != bindparam("me", type_=String())),
            )
            # MySQL would rather read the whole outbox for each entry while it believes it to be empty.
            .with_hint(outbox, "FORCE INDEX (PRIMARY)", "mysql")
            .with_hint(outbox, "FORCE INDEX (PRIMARY)", "mariadb")
            .exists()
        )
        self._standing = dialect.batch_first(
            select(entry.c.uid, progress.c.id, progress.c.cursor, progress.c.revision, elsewhere)
            .select_from(wanted)
            .join(entry, entry.c.uid == wanted.c.uid)
            .join(progress, progress.c.id == entry.c.id)
            .where(progress.c.retired_at.is_(None))
            .order_by(progress.c.id)
            # What others are at is lost to them, or can be claimed later; they may be stopped in the midst of it.
            .with_for_update(of=progress, skip_locked=True),
            progress,
        )

    def _build_writes(self, dialect: Dialect) -> None:
        instant = BigInteger()
        rows = dialect.grouped(
            "advanced",
            {
                "cursor": instant,
                "next_fire_time": instant,
                "due_at": instant,
                "added": Integer(),
                "last_fire_time": instant,
                "id": instant,
            },
        )
        self._advance = dialect.update_batch(progress, rows).values(
            cursor=rows.c.cursor,
            next_fire_time=rows.c.next_fire_time,
            due_at=rows.c.due_at,
            total_run_count=progress.c.total_run_count + rows.c.added,
            last_fire_time=func.coalesce(rows.c.last_fire_time, progress.c.last_fire_time),
        )
        new = dialect.batch(
            "firings",
            {
                "uid": String(),
                "fire_time": instant,
                "entry_id": instant,
                "task_id": String(),
                "held_since": instant,
            },
        )
        self._add_firings = dialect.insert_missing(outbox).from_select(
            [*new.c.keys(), "lane", "claimed_at", "replica", "not_before", "attempt", "uncertain", "error"],
            select(
                *new.c,
                literal(AUTO),
                bindparam("now", type_=instant),
                bindparam("me", type_=String()),
                literal(0, Integer()),
                literal(1, Integer()),
                literal(0, Integer()),
                null(),
            ),
        )


def _decide(claim: Claim, standing: _Standing | None, writes: _Writes, now: int) -> Won:
    """Decide one claim against its entry as the claims before it leave it; note what is to be written."""
    if standing is None or (standing.cursor, standing.revision) != (claim.cursor, claim.revision):
        return Won.LOST
    standing.cursor = claim.new_cursor
    last = claim.firings[-1].fire_time if claim.firings else None
    queued = bool(claim.firings) and standing.elsewhere
    _note_progress(claim, standing.id, last, writes)
    held_since = None if queued else now
    for new in claim.firings:
        writes.firings.append([claim.uid, new.fire_time, standing.id, new.task_id, held_since])
    for skip in claim.skips:
        writes.skips.append((standing.id, skip))
    return Won.QUEUED if queued else Won.YES


def _note_progress(claim: Claim, entry_id: int, last: int | None, writes: _Writes) -> None:
    added, earlier = len(claim.firings), writes.progress.get(entry_id)
    if earlier is not None:
        added, last = added + earlier[3], earlier[4] if last is None else last
    writes.progress[entry_id] = claim.new_cursor, claim.next_fire_time, claim.due_at, added, last
