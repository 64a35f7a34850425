"""Replicas in SQL: heartbeats on the store's clock."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from qbeat.store.base import MAX_AHEAD
from qbeat.store.records import Pulse, ReplicaRecord
from qbeat.store.sql.dialect import Dialect
from qbeat.store.sql.migrations import check_compatible
from qbeat.store.sql.tables import replica, store


class Replicas:
    """The statements about replicas."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def beat(self, connection: Connection, record: ReplicaRecord, live_within: int) -> Pulse:
        now = self._dialect.now(connection)
        state = connection.execute(select(store)).one()
        check_compatible(state.version, state.compatible_from)
        values = _values(record, now)
        if not connection.execute(update(replica).where(replica.c.id == record.id).values(values)).rowcount:
            connection.execute(insert(replica).values(id=record.id, **values))
        known = _counted_from(now, connection, self.all(connection))
        silent = [other.id for other in known if other.heartbeat_at < now - live_within]
        if silent:  # by their ids, so that no row is locked but theirs; one may have come back meanwhile
            still = replica.c.id.in_(silent), replica.c.heartbeat_at < now - live_within
            connection.execute(delete(replica).where(*still))
        live = tuple(other for other in known if other.id not in silent)
        return Pulse(now=now, change=state.change_number, replicas=live)

    def forget(self, connection: Connection, id_: str) -> None:
        connection.execute(delete(replica).where(replica.c.id == id_))

    def all(self, connection: Connection) -> list[ReplicaRecord]:
        records = [_record(row) for row in connection.execute(select(replica))]
        return sorted(records, key=lambda record: record.id)


def _counted_from(now: int, connection: Connection, known: list[ReplicaRecord]) -> list[ReplicaRecord]:
    """Write ``now`` for heartbeats from before the clock went back; return the replicas as they are then.

    Who is beating has a lock on its row, and may be about to do the same: it is not waited for.
    """
    ahead = {other.id for other in known if other.heartbeat_at > now + MAX_AHEAD}
    if not ahead:
        return known
    still = replica.c.id.in_(sorted(ahead)), replica.c.heartbeat_at > now + MAX_AHEAD
    found = select(replica.c.id).where(*still).with_for_update(skip_locked=True)
    locked = connection.scalars(found).all()
    connection.execute(update(replica).where(replica.c.id.in_(locked)).values(heartbeat_at=now))
    return [replace(other, heartbeat_at=now) if other.id in ahead else other for other in known]


def _values(record: ReplicaRecord, now: int) -> dict[str, Any]:
    return {
        "host": record.host,
        "pid": record.pid,
        "version": record.version,
        "generation": record.generation,
        "started_at": record.started_at,
        "heartbeat_at": now,
        "details": json.dumps(record.details),
    }


def _record(row: Row[Any]) -> ReplicaRecord:
    return ReplicaRecord(
        id=row.id,
        host=row.host,
        pid=row.pid,
        version=row.version,
        generation=row.generation,
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
        details=json.loads(row.details),
    )
