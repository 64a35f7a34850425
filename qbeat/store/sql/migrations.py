"""Bring a store's tables to this program's version, each step once and under a guard.

A step must leave the store usable for programs back to ``COMPATIBLE_FROM``: replicas of two versions live
side by side during a deploy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection, Table, insert, inspect, literal, select, update

from qbeat.store.base import StoreUnusable
from qbeat.store.sql.tables import metadata, store

VERSION: Final = 1
"""The version of the tables in ``tables.py``."""
COMPATIBLE_FROM: Final = 1
"""The oldest version whose programs can still work with these tables."""

Step = Callable[[Connection], None]
STEPS: Mapping[int, Step] = {}
"""For each version, the step that leads there from the one before."""


def version_of(connection: Connection) -> int:
    """Return the version of the store's tables, 0 if there are none or they are still being made.

    Raises ``StoreUnusable`` if a newer program has made the store unreadable for this one.
    """
    if not inspect(connection).has_table(store.name):
        return 0
    row = connection.execute(select(store.c.version, store.c.compatible_from)).one_or_none()
    if row is None:
        return 0
    check_compatible(row.version, row.compatible_from)
    return int(row.version)


def check_compatible(version: int, compatible_from: int) -> None:
    """Raise ``StoreUnusable`` if this program is too old for a store."""
    if compatible_from > VERSION:
        raise StoreUnusable(
            f"the store was written by a newer qbeat (version {version} of its tables, this program knows "
            f"{VERSION}): upgrade qbeat here, or name another store with -s"
        )


def migrate(connection: Connection) -> None:
    """Bring the tables to this program's version within the caller's guarded transaction."""
    version = version_of(connection)
    if version == 0:
        _create(connection)
        return
    for number in range(version + 1, VERSION + 1):
        STEPS[number](connection)
    if version < VERSION:
        connection.execute(update(store).values(version=VERSION, compatible_from=COMPATIBLE_FROM))


def _create(connection: Connection) -> None:
    # MySQL keeps each table of a making that was cut short, but perhaps not its indexes: all are made anew.
    if any(_has_rows(connection, table) for table in metadata.sorted_tables):
        raise StoreUnusable(f"the table {store.name} is empty or gone: restore the store from a backup")
    metadata.drop_all(connection)
    metadata.create_all(connection)
    connection.execute(
        insert(store).values(id=1, version=VERSION, compatible_from=COMPATIBLE_FROM, change_number=0)
    )


def _has_rows(connection: Connection, table: Table) -> bool:
    there = inspect(connection).has_table(table.name)
    return there and connection.execute(select(literal(1)).select_from(table).limit(1)).first() is not None
