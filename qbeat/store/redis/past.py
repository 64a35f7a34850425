"""Packed records of the history, as the scripts write them (``_records.lua``), and firings of the outbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final

from qbeat.store.records import AUTO, HistoryRecord, Outcome
from qbeat.store.redis.packing import NONE, unpack_task

_OUTCOMES: Final[tuple[Outcome, ...]] = ("claimed", "published", "skipped", "failed")
_OUTCOME: Final = 3
_RUN, _WITH_PUBLISHED_AT, _PUBLISHED_WHEN_CLAIMED, _WITH_LANE, _WITH_REASON = 4, 8, 16, 32, 64

_HEAD: Final = Struct(">qB")
_RUN_OF: Final = Struct(">qq")
_CLAIMED: Final = Struct(">qIH")
_INSTANT: Final = Struct(">q")
_SHORT: Final = Struct(">H")
_LONG: Final = Struct(">I")


class _Reader:
    """Reads a packed record from its beginning to its end."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._at = 0

    def numbers(self, kind: Struct) -> tuple[int, ...]:
        found: tuple[int, ...] = kind.unpack_from(self._packed, self._at)
        self._at += kind.size
        return found

    def text(self, length: Struct) -> str:
        (count,) = self.numbers(length)
        start, self._at = self._at, self._at + count
        return self._packed[start : self._at].decode()

    def rest(self) -> bytes:
        return self._packed[self._at :]


def unpack_record(
    uid: str, entry: str, packed: bytes, replica_of: Callable[[int], str | None]
) -> HistoryRecord:
    """Return a settled record; ``replica_of`` knows whom a replica's number stands for."""
    read = _Reader(packed)
    fire_time, kind = read.numbers(_HEAD)
    last, count = read.numbers(_RUN_OF) if kind & _RUN else (fire_time, 1)
    claimed_at, replica, attempt = read.numbers(_CLAIMED)
    published_at = claimed_at if kind & _PUBLISHED_WHEN_CLAIMED else None
    if kind & _WITH_PUBLISHED_AT:
        (published_at,) = read.numbers(_INSTANT)
    lane = read.text(_SHORT) if kind & _WITH_LANE else AUTO
    reason = read.text(_LONG) if kind & _WITH_REASON else None
    return HistoryRecord(
        uid=uid,
        entry=entry,
        fire_time=fire_time,
        last_fire_time=last,
        count=None if count == NONE else count,
        lane=lane,
        outcome=_OUTCOMES[kind & _OUTCOME],
        reason=reason,
        task_id=unpack_task(read.rest()),
        claimed_at=claimed_at,
        published_at=published_at,
        replica=replica_of(replica),
        attempt=attempt,
    )


def unpack_unsettled(found: Sequence[Any]) -> HistoryRecord:
    """Return an unsettled record from what ``outbox.lua`` says of a firing."""
    uid, entry, fire_time, lane, task, claimed_at, replica, attempt, error = found
    return HistoryRecord(
        uid=uid.decode(),
        entry=(entry or b"").decode(),
        fire_time=fire_time,
        last_fire_time=fire_time,
        count=1,
        lane=lane.decode(),
        outcome="claimed",
        reason=None if error is None else error.decode(),
        task_id=unpack_task(task),
        claimed_at=claimed_at,
        published_at=None,
        replica=replica.decode(),
        attempt=attempt,
    )
