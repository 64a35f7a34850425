"""MySQL 8 and MariaDB 10.6, or later, through PyMySQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import pymysql  # noqa: F401 - to miss it here, where that is explained
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Select,
    String,
    Table,
    bindparam,
    cast,
    column,
    create_engine,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.mysql import BIGINT, LONGTEXT, VARCHAR, insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import Delete, Insert
from sqlalchemy.types import Text, TypeEngine

from qbeat.store.base import StoreUnavailable
from qbeat.store.sql.dialect import Columns
from qbeat.store.sql.server_dialect import ANSWER_TIMEOUT, CONNECT_TIMEOUT, LOCK_TIMEOUT, ServerDialect
from qbeat.store.sql.tables import COLLATIONS

_MIGRATION_LOCK: Final = "qbeat migration"
_DRIVERS: Final = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}


class Mysql(ServerDialect):
    """The database at an address like ``mysql://user:password@host/name``."""

    conflicts = frozenset({"1020", "1213"})
    passing: ClassVar = (
        "1020",
        "1040",
        "1053",
        "1129",
        "1203",
        "1205",
        "1213",
        "1290",
        "1836",
        "1969",
        "2",
        "3024",
    )
    lasting: ClassVar = ("1044", "1045", "1049", "1698", "2059", "2061")

    def __init__(self, address: URL, clock: Callable[[], int] | None) -> None:
        super().__init__(address.set(drivername=address.get_backend_name()), clock)
        kind = self._kind_of_server(address)
        self._collation = COLLATIONS[kind]
        self.engine = self.writer = self._make_engine(address.set(drivername=_DRIVERS[kind]))

    def batch(self, parameter: str, columns: Columns) -> FromClause:
        document = bindparam(parameter, type_=Text())
        rows = func.json_table(document, _Cells(columns, self._collation))
        typed = (column(name, kind) for name, kind in columns.items())
        return rows.table_valued(*typed, name=parameter)

    def insert_missing(self, table: Table) -> Insert:
        # IGNORE would ignore much more than a key that is there.
        key = next(iter(table.primary_key))
        return insert(table).on_duplicate_key_update({key.name: key})

    def delete_batch(
        self, table: Table, batch: FromClause, keys: Collection[str], *conditions: ColumnElement[bool]
    ) -> Delete:
        return table.delete().where(*(table.c[key] == batch.c[key] for key in keys), *conditions)

    def clock_reading(self) -> Select[Any]:
        seconds = func.unix_timestamp(func.utc_timestamp(literal_column("6")))
        return select(cast(seconds * 1_000_000, BigInteger()))

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        if not connection.execute(select(func.get_lock(_MIGRATION_LOCK, 30))).scalar_one():
            raise StoreUnavailable(f"{self.url} is being migrated by another process: try again later")
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.execute(select(func.release_lock(_MIGRATION_LOCK)))

    def is_silence(self, error: DBAPIError) -> bool:
        return "timed out" in str(error.orig)

    def code_of(self, error: DBAPIError) -> str:
        code, _ = _parts(error)
        return code

    def text_of(self, error: DBAPIError) -> str:
        _, said = _parts(error)
        return said

    def _kind_of_server(self, address: URL) -> str:
        """Return which of the two answers there, whatever the address calls it."""
        engine = create_engine(address.set(drivername=_DRIVERS["mysql"]), connect_args=_options())
        try:
            with engine.connect():
                return "mariadb" if getattr(engine.dialect, "is_mariadb", False) else "mysql"
        except DBAPIError as error:
            raise self.translate(error) from error
        finally:
            engine.dispose()

    def _make_engine(self, address: URL) -> Engine:
        return create_engine(
            address,
            connect_args=_options(),
            pool_size=1,
            max_overflow=4,
            isolation_level="READ COMMITTED",
        )


def _parts(error: DBAPIError) -> tuple[str, str]:
    """Return the code and the text of an error."""
    match getattr(error.orig, "args", ()):
        case (int(code), said, *_):
            return str(code or ""), str(said)
        case _:
            return "", str(error.orig)


def _options() -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": ANSWER_TIMEOUT,
        "write_timeout": ANSWER_TIMEOUT,
        "charset": "utf8mb4",
        "init_command": "SET sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00', "
        f"innodb_lock_wait_timeout = {LOCK_TIMEOUT}",
    }


class _Cells(ColumnElement[Any]):
    """The second half of a ``JSON_TABLE``: which cell of each inner array becomes which column."""

    inherit_cache = False

    def __init__(self, columns: Columns, collation: str) -> None:
        self.cells = {name: _cell_type(kind, collation) for name, kind in columns.items()}


def _cell_type(kind: TypeEngine[Any], collation: str) -> TypeEngine[Any]:
    if isinstance(kind, Text):
        return LONGTEXT(charset="utf8mb4", collation=collation)
    if isinstance(kind, String):
        return VARCHAR(500, charset="utf8mb4", collation=collation)
    return BIGINT()


@compiles(_Cells)
def _compile_cells(cells: _Cells, compiler: SQLCompiler, **_: Any) -> str:
    types, quote = compiler.dialect.type_compiler_instance, compiler.preparer.quote
    columns = (
        f"{quote(name)} {types.process(kind)} PATH '$[{place}]'"
        for place, (name, kind) in enumerate(cells.cells.items())
    )
    return f"'$[*]' COLUMNS ({', '.join(columns)})"
