"""Rows of entries: which columns there are, and records made of them and into them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Column, ColumnElement, Integer, Row, Select, String, Text, select
from sqlalchemy.types import TypeEngine

from qbeat.store.records import EntryRecord
from qbeat.store.sql.tables import entry, progress

_logger = logging.getLogger(__name__)

COLUMNS: Final[tuple[Column[Any], ...]] = (
    entry.c.name,
    entry.c.uid,
    entry.c.origin,
    entry.c.task,
    entry.c.schedule,
    entry.c.timezone,
    entry.c.definition,
    entry.c.fingerprint,
    entry.c.generation,
    entry.c.anchor,
    progress.c.cursor,
    progress.c.next_fire_time,
    progress.c.due_at,
    progress.c.revision,
    entry.c.change_number,
    entry.c.pause,
    progress.c.total_run_count,
    progress.c.last_fire_time,
)
"""The fields of an ``EntryRecord`` in their order, up to ``last_published_at``."""


def _place(column: Column[Any]) -> int:
    return [known is column for known in COLUMNS].index(True)


_JSON: Final = (_place(entry.c.schedule), _place(entry.c.definition))
_PAUSE: Final = _place(entry.c.pause)

WHAT: Final[Mapping[str, TypeEngine[Any]]] = {
    "uid": String(),
    "name": String(),
    "origin": String(),
    "task": Text(),
    "schedule": Text(),
    "timezone": String(),
    "definition": Text(),
    "fingerprint": String(),
    "generation": String(),
    "anchor": BigInteger(),
    "pause": Text(),
}
HOW_FAR: Final[Mapping[str, TypeEngine[Any]]] = {
    "revision": Integer(),
    "cursor": BigInteger(),
    "next_fire_time": BigInteger(),
    "due_at": BigInteger(),
    "retired_at": BigInteger(),
}
COUNTS: Final[Mapping[str, TypeEngine[Any]]] = {
    "total_run_count": BigInteger(),
    "last_fire_time": BigInteger(),
}


def joined(published_at: ColumnElement[Any]) -> Select[Any]:
    """Return the fields of an ``EntryRecord`` of every entry."""
    return select(*COLUMNS, published_at.label("last_published_at"), progress.c.retired_at).join_from(
        progress, entry, entry.c.id == progress.c.id
    )


def what_cells(record: EntryRecord) -> list[Any]:
    return [
        record.uid,
        record.name,
        record.origin,
        record.task,
        json.dumps(record.schedule),
        record.timezone,
        json.dumps(record.definition),
        record.fingerprint,
        record.generation,
        record.anchor,
        None if record.pause is None else json.dumps(record.pause),
    ]


def how_far_cells(record: EntryRecord) -> list[Any]:
    return [record.revision, record.cursor, record.next_fire_time, record.due_at, record.retired_at]


def count_cells(record: EntryRecord) -> list[Any]:
    return [record.total_run_count, record.last_fire_time]


def readable(rows: Iterable[Row[Any]]) -> list[EntryRecord]:
    records, mappings = [], _Mappings()
    for row in rows:
        try:
            records.append(_record(row, mappings))
        except (ValueError, TypeError) as error:
            _logger.warning("the entry %r is left out, its row cannot be read: %s", row[0], error)
    return records


def _record(row: Row[Any], mappings: _Mappings) -> EntryRecord:
    cells = list(row)
    for place in _JSON:
        cells[place] = mappings[cells[place]]
    if cells[_PAUSE] is not None:
        cells[_PAUSE] = mappings[cells[_PAUSE]]
    record = EntryRecord(*cells)
    if type(record.cursor) is not int or type(record.anchor) is not int:
        raise TypeError("its cursor or anchor is not an integer")
    return record


class _Mappings(dict[str, Mapping[str, Any]]):
    """JSON objects by their text; many entries share a schedule."""

    def __missing__(self, text: str) -> Mapping[str, Any]:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise TypeError(f"{text!r} is not a JSON object")
        self[text] = value
        return value
