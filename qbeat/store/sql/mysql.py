"""MySQL 8 and MariaDB 10.6, or later, through PyMySQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any, ClassVar, Final

from pymysql.connections import Connection as PyMySQL
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Select,
    String,
    Table,
    and_,
    bindparam,
    cast,
    column,
    create_engine,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.mysql import BIGINT, LONGTEXT, VARCHAR, insert
from sqlalchemy.dialects.mysql.base import MySQLCompiler
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import Delete, Insert, Update
from sqlalchemy.types import Text, TypeEngine

from qbeat.store.base import StoreUnavailable, StoreUnusable
from qbeat.store.sql.dialect import Columns
from qbeat.store.sql.server_dialect import (
    ANSWER_TIMEOUT,
    CONNECT_TIMEOUT,
    LOCK_TIMEOUT,
    SILENCE_LIMIT,
    ServerDialect,
)
from qbeat.store.sql.tables import COLLATIONS

_MIGRATION_LOCK: Final = "qbeat migration"
_DRIVERS: Final = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
_OPTIONS: Final = frozenset(signature(PyMySQL).parameters)
_ODD: Final = (AttributeError, LookupError, OSError, TypeError, ValueError)
"""What PyMySQL raises of its own accord for options that cannot be."""
_BY_KEY: Final = "FORCE INDEX (PRIMARY)"
_SILENCE_LIMITS: Final = {"mysql": "wait_timeout", "mariadb": "idle_transaction_timeout"}
"""MySQL knows no limit within transactions alone: there, a connection that has been idle is made anew."""


class Mysql(ServerDialect):
    """The database at an address like ``mysql://user:password@host/name``."""

    conflicts = frozenset({"1020", "1213"})
    read_only = frozenset({"1290", "1792", "1836"})
    passing: ClassVar = (
        "1020",
        "1040",
        "1053",
        "1129",
        "1203",
        "1205",
        "1213",
        "1290",
        "1792",
        "1836",
        "1969",
        "2",
        "3024",
    )
    lasting: ClassVar = ("1044", "1045", "1049", "1698", "2059", "2061")

    def __init__(self, address: URL, clock: Callable[[], int] | None) -> None:
        super().__init__(address.set(drivername=address.get_backend_name()), clock)
        _check_options(address)
        kind = self._kind_of_server(address)
        self._collation = COLLATIONS[kind]
        self.engine = self.writer = self._make_engine(address.set(drivername=_DRIVERS[kind]), kind)

    def batch(self, parameter: str, columns: Columns) -> FromClause:
        document = bindparam(parameter, type_=Text())
        rows = func.json_table(document, _Cells(columns, self._collation))
        typed = (column(name, kind) for name, kind in columns.items())
        return rows.table_valued(*typed, name=parameter)

    def insert_missing(self, table: Table) -> Insert:
        # IGNORE would ignore much more than a key that is there.
        key = next(iter(table.primary_key))
        return insert(table).on_duplicate_key_update({key.name: key})

    def batch_first(self, rows: Select[Any], *tables: Table) -> Select[Any]:
        # as with _Compiler
        for table in tables:
            rows = rows.with_hint(table, _BY_KEY)
        return rows.prefix_with("STRAIGHT_JOIN")

    def is_beyond(
        self, key: Sequence[ColumnElement[Any]], place: Sequence[ColumnElement[Any]]
    ) -> ColumnElement[bool]:
        # Row values are compared without the help of an index.
        pairs = [*zip(key, place, strict=True)]
        return or_(
            *(and_(*(one == other for one, other in pairs[:n]), key[n] > place[n]) for n in range(len(pairs)))
        )

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
        engine = create_engine(address.set(drivername=_DRIVERS["mysql"]), connect_args=_options({}))
        try:
            with engine.connect():
                return "mariadb" if getattr(engine.dialect, "is_mariadb", False) else "mysql"
        except DBAPIError as error:
            raise self.translate(error) from error
        except _ODD as error:
            raise StoreUnusable(
                f"PyMySQL cannot do with the options of the store's URL ({error}): "
                f"correct or take away {', '.join(address.query) or 'what is odd'}"
            ) from error
        finally:
            engine.dispose()

    def _make_engine(self, address: URL, kind: str) -> Engine:
        engine = create_engine(
            address,
            connect_args=_options({_SILENCE_LIMITS[kind]: SILENCE_LIMIT}),
            pool_size=1,
            max_overflow=4,
            isolation_level="READ COMMITTED",
        )
        engine.dialect.statement_compiler = _Compiler
        self.leave_when_read_only(engine)
        return engine


def _check_options(address: URL) -> None:
    """Refuse what PyMySQL does not take from a URL: it would raise anything, and name nothing."""
    dialect = address.set(drivername=_DRIVERS["mysql"]).get_dialect()()
    for name, value in address.query.items():
        try:
            _, options = dialect.create_connect_args(address.set(query={name: value}))
        except ValueError as error:
            raise StoreUnusable(
                f"the option {name} in the store's URL has a value that it cannot have: correct it or take it away"
            ) from error
        if name == "ssl":
            raise StoreUnusable("the option ssl in the store's URL does nothing: write ssl_ca=FILE for TLS")
        if not options.keys() <= _OPTIONS:
            raise StoreUnusable(
                f"the store's URL has the option {name!r}, which PyMySQL does not know: take it away"
            )


def _parts(error: DBAPIError) -> tuple[str, str]:
    """Return the code and the text of an error."""
    match getattr(error.orig, "args", ()):
        case (int(code), said, *_):
            return str(code or ""), str(said)
        case _:
            return "", str(error.orig)


def _options(limits: Mapping[str, int]) -> dict[str, Any]:
    """Return how to connect; ``limits`` are those of the session, in seconds."""
    limits = {"innodb_lock_wait_timeout": LOCK_TIMEOUT, **limits}
    set_limits = ", ".join(f"{name} = {seconds}" for name, seconds in limits.items())
    return {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": ANSWER_TIMEOUT,
        "write_timeout": ANSWER_TIMEOUT,
        "charset": "utf8mb4",
        "init_command": f"SET sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00', {set_limits}",
    }


class _Compiler(MySQLCompiler):
    """Has batches update and delete rows by their keys.

    A table that is small, or believed to be, would be read from end to end, and all that was read be locked.
    """

    def update_tables_clause(
        self, update_stmt: Update, from_table: Any, extra_froms: list[Any], **options: Any
    ) -> str:
        if not extra_froms:
            return super().update_tables_clause(update_stmt, from_table, extra_froms, **options)
        return self._batch_first(from_table, extra_froms, options)

    def delete_extra_from_clause(
        self,
        delete_stmt: Delete,  # noqa: ARG002 - of the method that this replaces
        from_table: Any,
        extra_froms: list[Any],
        from_hints: Any,  # noqa: ARG002 - likewise
        **options: Any,
    ) -> str:
        return f"USING {self._batch_first(from_table, extra_froms, options)}"

    def _batch_first(self, table: Any, batch: list[Any], options: dict[str, Any]) -> str:
        options = {**options, "asfrom": True, "fromhints": {table: _BY_KEY}}
        return " STRAIGHT_JOIN ".join(self.process(one, **options) for one in (*batch, table))


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
