"""PostgreSQL through psycopg 3."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Any, ClassVar, Final, TypeVar

import psycopg
from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Select,
    Table,
    bindparam,
    cast,
    create_engine,
    event,
    extract,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.dml import Insert
from sqlalchemy.types import Text

from qbeat.store.base import StoreUnusable
from qbeat.store.sql.dialect import Columns
from qbeat.store.sql.server_dialect import (
    ANSWER_TIMEOUT,
    CONNECT_TIMEOUT,
    LOCK_TIMEOUT,
    SILENCE_LIMIT,
    ServerDialect,
)

Answer = TypeVar("Answer")

_MIGRATION_LOCK: Final = zlib.crc32(b"qbeat")
_IN_UTF8: Final = "with TEMPLATE template0 ENCODING 'UTF8'"
_SET: Final = "SELECT set_config(key, value, %s) FROM json_each_text(%s)"
"""Sets what an object of JSON says, for this transaction alone or for the session."""


class Postgresql(ServerDialect):
    """The database at an address like ``postgresql://user:password@host/name``."""

    conflicts = frozenset({"40001", "40P01"})
    read_only = frozenset({"25006"})
    passing: ClassVar = ("08", "40", "53", "55P03", "57", "25006")
    lasting: ClassVar = ("53100", "28", "3D")
    lasting_texts: ClassVar = (  # libpq gives no code while it connects
        "authentication failed",
        "does not exist",
        "no pg_hba.conf entry",
        "no password supplied",
        "invalid connection option",
        "invalid sslmode value",
        "bad value for ",
        "invalid port number",
        "invalid integer value",
    )

    def __init__(self, address: URL, clock: Callable[[], int] | None) -> None:
        super().__init__(address.set(drivername="postgresql"), clock)
        self.writer = self._make_engine(address.set(drivername="postgresql+psycopg"))
        # A query alone needs no transaction, and so one round trip in place of three.
        self.engine = self.writer.execution_options(isolation_level="AUTOCOMMIT")

    def batch(self, parameter: str, columns: Columns) -> FromClause:
        rows = func.jsonb_array_elements(cast(bindparam(parameter, type_=Text()), JSONB()))
        each = rows.table_valued("value", name=f"{parameter}_json")
        value = cast(each.c.value, JSONB())
        cells = (
            cast(value[place].astext, kind).label(name) for place, (name, kind) in enumerate(columns.items())
        )
        return select(*cells).subquery(parameter)

    def insert_missing(self, table: Table) -> Insert:
        return insert(table).on_conflict_do_nothing()

    def clock_reading(self) -> Select[Any]:
        seconds = extract("epoch", func.clock_timestamp())
        return select(cast(seconds * 1_000_000, BigInteger()))

    def migrating(self, connection: Connection) -> AbstractContextManager[object]:
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        return nullcontext()  # the lock ends with the transaction

    def is_silence(self, error: DBAPIError) -> bool:
        return isinstance(error.orig, _Silence)

    def code_of(self, error: DBAPIError) -> str:
        return getattr(error.orig, "sqlstate", None) or ""

    def text_of(self, error: DBAPIError) -> str:
        return str(error.orig)

    def _make_engine(self, address: URL) -> Engine:
        dialect = address.get_dialect()()
        arguments, options = dialect.create_connect_args(address)
        options = {**_options(), **options, "client_encoding": "UTF8"}

        def connect() -> _Session:
            session = _Session.connect(*arguments, **options)
            try:
                self._set_up(session)
            except BaseException:
                session.close()
                raise
            return session

        engine = create_engine(address, creator=connect, pool_size=1, max_overflow=4)
        event.listen(engine, "begin", _begin)
        self.leave_when_read_only(engine)
        return engine

    def _set_up(self, session: _Session) -> None:
        """Set the server's session, unless a pooler would give it to others so."""
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid(), getdatabaseencoding()")
            ((pid, encoding),) = cursor.fetchall()
            if encoding != "UTF8":
                said = f"has the encoding {encoding}, which cannot hold every text"
                raise StoreUnusable(f"{self.url} {said}: create the database {_IN_UTF8}")
            # A pooler, which speaks with several of the server's processes, has told us another number than theirs.
            session.is_pooled = pid != session.info.backend_pid
            if not session.is_pooled:
                cursor.execute(_SET, (False, json.dumps(_settings())))
        session.commit()


def _options() -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": "qbeat",
        "prepare_threshold": None,  # does not work through every pooler, and gains little in batches
    }


def _settings() -> dict[str, str]:
    return {
        "statement_timeout": f"{round(ANSWER_TIMEOUT * 800)}ms",  # before we hang up
        "lock_timeout": f"{LOCK_TIMEOUT}s",
        "idle_in_transaction_session_timeout": f"{SILENCE_LIMIT}s",
        # All our queries are short and look up few rows by an index, whatever the statistics make of it.
        "jit": "off",
        "enable_bitmapscan": "off",
    }


class _Session(psycopg.Connection[Any]):
    """A connection that gives up on a server that does not answer, as one behind a dead network does not."""

    is_pooled: bool = False
    """Whether a pooler stands before the server, which may give each transaction to another of its sessions."""

    def wait(self, gen: Generator[Any, Any, Answer], *arguments: Any, **options: Any) -> Answer:
        try:
            return super().wait(_limited(gen), *arguments, **options)
        except _Silence:
            self.close()
            raise


def _begin(connection: Connection) -> None:
    """Set for a transaction what could not be set for the session; a query alone does without."""
    session: Any = connection.connection.dbapi_connection
    if session.is_pooled and not session.autocommit:
        connection.exec_driver_sql(_SET, (True, json.dumps(_settings())))


class _Silence(psycopg.OperationalError):
    """The server has been silent for too long."""


def _limited(gen: Generator[Any, Any, Answer]) -> Generator[Any, Any, Answer]:
    """Pass a wait on until there is silence for too long; psycopg looks in several times a second."""
    try:
        wanted = next(gen)
        heard = monotonic()
        while True:
            ready = yield wanted
            if ready:
                heard = monotonic()
            elif monotonic() > heard + ANSWER_TIMEOUT:
                raise _Silence(f"no answer within {ANSWER_TIMEOUT} s")
            wanted = gen.send(ready)
    except StopIteration as stop:
        answer: Answer = stop.value
        return answer
