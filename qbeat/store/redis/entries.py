"""Entries as they are kept in Redis: a JSON array that ``save`` writes, and a packed state that claims move."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from struct import Struct, error
from typing import Any, Final

from qbeat.store.records import EntryRecord
from qbeat.store.redis.packing import NONE

_logger = logging.getLogger(__name__)

_STATE: Final = Struct(">12q")
STATE_SIZE: Final = _STATE.size
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def pack_definition(record: EntryRecord) -> bytes:
    """Return what ``save`` alone writes of an entry; the uid comes first, for the scripts."""
    return _encode(
        [
            record.uid,
            record.name,
            record.origin,
            record.task,
            record.schedule,
            record.timezone,
            record.definition,
            record.fingerprint,
            record.generation,
            record.anchor,
            record.pause,
        ]
    ).encode()


def unpack_entries(
    states: bytes, definitions: Sequence[bytes], *, published: bool = True
) -> list[EntryRecord]:
    """Return entries from their states, one after the other, and definitions.

    One that cannot be read is left out and logged. Without ``published`` the records do not say when their
    entries were last published.
    """
    records = []
    for number, definition in enumerate(definitions):
        try:
            state = _STATE.unpack_from(states, number * STATE_SIZE)
            records.append(_record(json.loads(definition), state, published=published))
        except (ValueError, TypeError, error) as problem:
            _logger.warning(
                "the entry that begins %r is left out, it cannot be read: %s", definition[:200], problem
            )
    return records


def _record(what: list[Any], state: tuple[int, ...], *, published: bool) -> EntryRecord:
    uid, name, origin, task, schedule, timezone, definition, fingerprint, generation, anchor, pause = what
    if type(schedule) is not dict or type(definition) is not dict or type(anchor) is not int:
        raise TypeError("its schedule, definition or anchor is not of the right kind")
    cursor, revision, next_fire_time, due_at, retired_at, runs, last_fire_time = state[:7]
    if revision < 1:
        raise ValueError("its state is missing")
    published_at, change = state[8:10]
    return EntryRecord(
        name,
        uid,
        origin,
        task,
        schedule,
        timezone,
        definition,
        fingerprint,
        generation,
        anchor,
        cursor,
        None if next_fire_time == NONE else next_fire_time,
        None if due_at == NONE else due_at,
        revision,
        change,
        pause,
        runs,
        None if last_fire_time == NONE else last_fire_time,
        None if published_at == NONE or not published else published_at,
        None if retired_at == NONE else retired_at,
    )
