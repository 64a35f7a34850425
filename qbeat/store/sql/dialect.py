"""What differs between the SQL databases, in one place: batches, conflicts, the clock and errors."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, tuple_
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.dml import Delete, Insert, Update
from sqlalchemy.types import TypeEngine

from qbeat.store.base import StoreError

Columns = Mapping[str, TypeEngine[Any]]
"""The columns of a batch, in the order of the values in each of its rows."""
Groups = Mapping[tuple[Any, ...], Sequence[Any]]
"""Rows that differ in their last value only, under what they share: so are most rows of a burst."""


class Dialect(ABC):
    """One kind of SQL database."""

    engine: Engine
    """Connects, for reading."""
    writer: Engine
    """The same, for transactions that write."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the store is, without passwords."""

    @abstractmethod
    def batch(self, parameter: str, columns: Columns) -> FromClause:
        """Return the rows of the JSON array of arrays that is bound to ``parameter``."""

    def grouped(self, parameter: str, columns: Columns) -> FromClause:
        """Return the rows of the groups that ``write_groups`` wrote and that are bound to ``parameter``."""
        return self.batch(parameter, columns)

    def write_groups(self, groups: Groups) -> str:
        """Return the rows of groups as JSON, in a small part of the time that it takes to write each by itself."""
        return f"[{', '.join(_rows_of(shared, own) for shared, own in groups.items())}]"

    @abstractmethod
    def insert_missing(self, table: Table) -> Insert:
        """Return an insert that leaves rows alone whose key is there already."""

    def delete_batch(
        self, table: Table, batch: FromClause, keys: Collection[str], *conditions: ColumnElement[bool]
    ) -> Delete:
        """Return a delete of the rows whose ``keys`` are in ``batch``, where ``conditions`` hold for it."""
        return table.delete().where(*(table.c[key] == batch.c[key] for key in keys), *conditions)

    @abstractmethod
    def now(self, connection: Connection) -> int:
        """Return the store's clock."""

    @abstractmethod
    def translate(self, error: DBAPIError) -> StoreError:
        """Return what ``error`` means for the person who runs the store."""

    def passes(self, error: DBAPIError) -> bool:
        """Return whether a transaction that failed before its commit may succeed if it is begun again."""
        return error.connection_invalidated

    @abstractmethod
    def migrating(self, connection: Connection) -> AbstractContextManager[object]:
        """Keep others from migrating at the same time, within a transaction of ``connection``."""

    def mark(self, connection: Connection, version: int) -> None:  # noqa: B027 - most have nothing to mark
        """Mark a store whose tables were made or migrated, within that transaction."""

    def finish_opening(self) -> None:  # noqa: B027 - most have nothing to set
        """Set what can only be set once the tables are there."""

    def batch_first(self, rows: Select[Any], *tables: Table) -> Select[Any]:  # noqa: ARG002 - for MySQL
        """Return a query that goes from its batch to the rows of ``tables`` by their keys, and locks only those."""
        return rows

    def is_beyond(
        self, key: Sequence[ColumnElement[Any]], place: Sequence[ColumnElement[Any]]
    ) -> ColumnElement[bool]:
        """Return whether a key is greater than a place, in terms in which an index finds the first such key."""
        return tuple_(*key) > tuple_(*place)

    def update_batch(self, table: Table, batch: FromClause) -> Update:
        """Return an update that joins ``table`` with ``batch`` by id; the values are still to be set."""
        return table.update().where(table.c.id == batch.c.id)


def _rows_of(shared: tuple[Any, ...], own: Sequence[Any]) -> str:
    """Return one group's rows as JSON arrays: what stands between two items is all that they share."""
    head = json.dumps(shared)[:-1]
    rows = json.dumps(own, separators=(f"], {head}, ", ": "))
    return f"{head}, {rows[1:-1]}]"
