"""Open an SQL database as a store: find its dialect, make or migrate its tables under a guard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, false
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from qbeat.store.base import StoreMissing, StoreUnusable
from qbeat.store.hosts import check_host
from qbeat.store.sql import migrations
from qbeat.store.sql.dialect import Dialect
from qbeat.store.sql.sqlite import Sqlite
from qbeat.store.sql.tables import replica

_WRITE: Final = (
    "write kind://user:password@host:port/name, and write / # ? @ in a password as %2F %23 %3F %40"
)


def open_dialect(url: str, clock: Callable[[], int] | None, *, create: bool) -> Dialect:
    """Return the dialect that reaches the database at ``url``, its tables ready.

    Raises ``StoreUnusable`` or ``StoreUnavailable``.
    """
    dialect = _dialect(url, clock, create=create)
    try:
        _prepare(dialect, create=create)
    except DBAPIError as error:
        dialect.engine.dispose()
        raise dialect.translate(error) from error
    except BaseException:
        dialect.engine.dispose()
        raise
    return dialect


def _dialect(url: str, clock: Callable[[], int] | None, *, create: bool) -> Dialect:
    if "://" not in url:
        return Sqlite(Path(url), clock, create=create)
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return Sqlite(Path(str(parsed.database)), clock, create=create)
    return _server(parsed, clock)


def parse_url(url: str) -> URL:
    """Read the URL of a file or a database; raises ``StoreUnusable`` for one that cannot be.

    What is said of one that cannot be read tells nothing of it: there may be a password.
    """
    try:
        # Hosting services write postgres://, which SQLAlchemy does not know.
        parsed = make_url(re.sub(r"^postgres://", "postgresql://", url))
    except (ArgumentError, ValueError) as error:
        raise StoreUnusable(f"the store's URL cannot be read, or its port is no number: {_WRITE}") from error
    if "@" in (parsed.host or "") or (parsed.password and "@" in (parsed.database or "")):
        raise StoreUnusable(f"the store's URL has an @ after its host: {_WRITE}")
    check_host(parsed.host or "")
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in {None, "", ":memory:"}:
            raise StoreUnusable(
                "an SQLite store needs a file: write sqlite:///name or sqlite:////folder/name"
            )
    elif not parsed.database:
        raise StoreUnusable(
            f"{parsed.render_as_string()} names no database: write it after the host, with a /"
        )
    return parsed


def _server(address: URL, clock: Callable[[], int] | None) -> Dialect:
    kind = address.get_backend_name()
    try:
        if kind in {"postgresql", "postgres"}:
            from qbeat.store.sql.postgresql import Postgresql  # noqa: PLC0415 - its driver is an extra

            return Postgresql(address, clock)
        from qbeat.store.sql.mysql import Mysql  # noqa: PLC0415 - its driver is an extra

        return Mysql(address, clock)
    except ImportError as error:
        extra = "mysql" if kind in {"mysql", "mariadb"} else "postgresql"
        raise StoreUnusable(
            f"{kind}:// needs the driver {error.name}: pip install 'qbeat[{extra}]'"
        ) from error
    except ArgumentError as error:
        options = ", ".join(address.query)
        raise StoreUnusable(
            f"an option in the store's URL cannot be: correct or take away {options}"
        ) from error


def _prepare(dialect: Dialect, *, create: bool) -> None:
    with dialect.engine.connect() as connection:
        version = migrations.version_of(connection)
    if not create and version < migrations.VERSION:
        kind, what = (StoreUnusable, "no store of this version") if version else (StoreMissing, "no store")
        raise kind(f"{dialect.url} holds {what}: start qbeat once to make it, or name another with -s")
    if not create:
        return
    if version < migrations.VERSION:
        _migrate(dialect)
    with dialect.writer.begin() as connection:
        _check_writable(connection)
    dialect.finish_opening()


def _migrate(dialect: Dialect) -> None:
    """Make or migrate the tables; the guard holds until others can see all of it."""
    with dialect.writer.connect() as connection, dialect.migrating(connection):
        migrations.migrate(connection)
        dialect.mark(connection, migrations.VERSION)
        connection.commit()


def _check_writable(connection: Connection) -> None:
    """Delete nothing, which a database that may only be read refuses all the same."""
    connection.execute(replica.delete().where(false()))
