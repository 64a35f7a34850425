"""SQLite: one file in WAL mode, durable at every commit, for several processes of one machine."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    String,
    Table,
    bindparam,
    create_engine,
    event,
    func,
    literal_column,
    select,
    text,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects import sqlite as sa_sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.dml import Delete, Insert
from sqlalchemy.types import TypeEngine

from qbeat.store.base import StoreError, StoreUnusable
from qbeat.store.sql.dialect import Columns, Dialect, Groups
from qbeat.store.sql.sqlite_file import APPLICATION_ID, check_file, explain, file_uri

BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for another process's transaction."""
WRITES: Final = "qbeat_writes"
"""The execution option of a connection whose transaction takes the write lock at its start."""

_MOVED: Final = (
    "was moved, replaced or deleted while in use: see that the right file is there, and start again"
)
_PAUSE: Final = 0.01
"""Seconds between two tries where SQLite does not wait by itself."""
_CACHE_KIB: Final = 64 * 1024
_CHECKPOINT_PAGES: Final = 8_000
_logger = logging.getLogger(__name__)


class Sqlite(Dialect):
    """The SQLite file at ``path``."""

    def __init__(self, path: Path, clock: Callable[[], int] | None, *, create: bool) -> None:
        check_file(path, create=create)
        self.path = path  # as its user writes it
        self._file = path.absolute()  # where it stays, wherever the app may change its folder to
        self._opened: tuple[int, ...] = ()
        self._clock = clock or _system_clock
        self._mode = "mode=rwc" if create else "mode=rw"
        self.engine = self._make_engine()
        self.writer = self.engine.execution_options(**{WRITES: True})

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def batch(self, parameter: str, columns: Columns) -> FromClause:
        each = func.json_each(bindparam(parameter)).table_valued("value", name=f"{parameter}_json")
        cells = (_cell(each, place, kind).label(name) for place, (name, kind) in enumerate(columns.items()))
        return select(*cells).subquery(parameter)

    def grouped(self, parameter: str, columns: Columns) -> FromClause:
        *shared, own = columns
        each = func.json_each(bindparam(parameter)).table_valued("value", name=f"{parameter}_json")
        cells = [_cell(each, place, columns[name]).label(name) for place, name in enumerate(shared)]
        rows = _cell(each, len(shared), String()).label("rows")
        # The limit is none, but has SQLite take a group apart once, and not for each of its rows.
        group = select(*cells, rows).limit(-1).subquery(f"{parameter}_group")
        one = func.json_each(group.c.rows).table_valued(
            "value", name=f"{parameter}_own", joins_implicitly=True
        )
        value = type_coerce(one.c.value, columns[own]).label(own)
        return select(*(group.c[name] for name in shared), value).select_from(group, one).subquery(parameter)

    def write_groups(self, groups: Groups) -> str:
        return json.dumps([[*shared, own] for shared, own in groups.items()])

    def insert_missing(self, table: Table) -> Insert:
        return sa_sqlite.insert(table).prefix_with("OR IGNORE")

    def delete_batch(
        self, table: Table, batch: FromClause, keys: Collection[str], *conditions: ColumnElement[bool]
    ) -> Delete:
        wanted = select(*(batch.c[key] for key in keys)).where(*conditions)
        return table.delete().where(tuple_(*(table.c[key] for key in keys)).in_(wanted))

    def now(self, connection: Connection) -> int:  # noqa: ARG002 - SQLite has no clock of its own
        return self._clock()

    def translate(self, error: DBAPIError) -> StoreError:
        if isinstance(error.orig, sqlite3.Error):
            return explain(error.orig, self.path)
        return StoreUnusable(f"{self.path}: {error.orig}")

    def migrating(self, connection: Connection) -> AbstractContextManager[object]:  # noqa: ARG002 - for servers
        return nullcontext()  # a write transaction of SQLite is alone already

    def mark(self, connection: Connection, version: int) -> None:
        connection.execute(text(f"PRAGMA application_id = {APPLICATION_ID}"))
        connection.execute(text(f"PRAGMA user_version = {version}"))

    def finish_opening(self) -> None:
        """Turn WAL mode on, which the file then remembers; it cannot be done in a transaction."""
        if self._turn_wal_on() != "wal":
            _logger.warning("%s cannot use SQLite's WAL mode here; claims are slower", self.path)

    def _turn_wal_on(self) -> str:
        """Return the mode that the file has then. Unlike elsewhere, SQLite does not wait for others here."""
        deadline = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                with self.engine.connect() as connection:
                    answer = connection.connection.cursor().execute("PRAGMA journal_mode = WAL")
                    return str(answer.fetchone()[0])
            except sqlite3.Error as error:
                problem = explain(error, self.path)
                if isinstance(problem, StoreUnusable) or time.monotonic() > deadline:
                    raise problem from error
            time.sleep(_PAUSE)

    def _make_engine(self) -> Engine:
        engine = create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=4,
            pool_reset_on_return=None,
        )
        event.listen(engine, "begin", self._begin)
        return engine

    def _connect(self) -> sqlite3.Connection:
        if self._opened:
            self._check_place()
        connection = sqlite3.connect(
            file_uri(self._file, "mode=rw" if self._opened else self._mode),
            uri=True,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
        )
        for pragma in PRAGMAS:
            connection.execute(pragma)
        self._opened = self._opened or _identity(self._file)
        return connection

    def _begin(self, connection: Connection) -> None:
        """Begin what the driver leaves to us; a write takes its lock first, so that it never has to give up."""
        self._check_place()
        options: dict[str, Any] = dict(connection.get_execution_options())
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITES) else "BEGIN")

    def _check_place(self) -> None:
        """Raise ``StoreUnusable`` where others find another file than the one that is open here, or none.

        SQLite would go on with a file that nobody else sees any more, and every replica would fire by itself.
        """
        try:
            found = _identity(self._file)
        except OSError:
            return  # who may no longer look, as after a change of user, may still use what is open
        if not found or found != self._opened:
            raise StoreUnusable(f"{self.path} {_MOVED}")


PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",
    f"PRAGMA cache_size = -{_CACHE_KIB}",
    f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}",
)


def _cell(each: FromClause, place: int, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """Return a value of a JSON array by its place."""
    return func.json_extract(each.c.value, literal_column(f"'$[{place}]'"), type_=kind)


def _system_clock() -> int:
    return time.time_ns() // 1_000


def _identity(file: Path) -> tuple[int, ...]:
    """Return what tells a file from every other, as long as it is open; nothing if it is not there."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return found.st_dev, found.st_ino
