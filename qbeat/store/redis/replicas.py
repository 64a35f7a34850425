"""Replicas as they are kept in Redis: the heartbeat's instant, then JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from struct import Struct
from typing import Final

from qbeat.store.records import ReplicaRecord

_INSTANT: Final = Struct(">q")


def pack_replica(replica: ReplicaRecord) -> bytes:
    """Return what a replica says of itself; the script puts the instant before it."""
    fields = [
        replica.id,
        replica.host,
        replica.pid,
        replica.version,
        replica.generation,
        replica.started_at,
        dict(replica.details),
    ]
    return json.dumps(fields).encode()


def unpack_replicas(found: Iterable[bytes]) -> list[ReplicaRecord]:
    """Return replicas in the order of their ids."""
    return sorted((_unpack(packed) for packed in found), key=lambda replica: replica.id)


def _unpack(packed: bytes) -> ReplicaRecord:
    (heartbeat_at,) = _INSTANT.unpack_from(packed)
    id_, host, pid, version, generation, started_at, details = json.loads(packed[_INSTANT.size :])
    return ReplicaRecord(id_, host, pid, version, generation, started_at, heartbeat_at, details)
