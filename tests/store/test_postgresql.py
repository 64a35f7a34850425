"""What is PostgreSQL's own: connections shared through a pooler, encodings, databases that may only be read."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine

from qbeat.store import open_store
from qbeat.store.base import StoreUnavailable, StoreUnusable
from qbeat.store.sql import SqlStore
from tests.servers import PgbouncerServer, PostgresServer
from tests.store.making import create, entry, fire, fire_times, history_of, publish

DEFAULTS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "jit": "on",
    "enable_bitmapscan": "on",
}
OURS = {
    "statement_timeout": "8s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "3s",
    "jit": "off",
    "enable_bitmapscan": "off",
}
SETTINGS = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)"


def sql_store(url: str) -> SqlStore:
    store = open_store(url)
    assert isinstance(store, SqlStore)
    return store


def settings_in(engine: Engine) -> dict[str, str]:
    with engine.begin() as connection:
        rows = connection.exec_driver_sql(SETTINGS, (list(OURS),)).all()
    return {row[0]: row[1] for row in rows}


# --- poolers


@pytest.fixture
def pooled_url(postgres_server: PostgresServer, pgbouncer_server: PgbouncerServer) -> str:
    """An empty database behind a pooler whose clients share one connection."""
    return pgbouncer_server.database_url(postgres_server.new_database())


@pytest.fixture
def pooled(pooled_url: str) -> Iterator[SqlStore]:
    with sql_store(pooled_url) as store:
        create(store, entry())
        yield store


def test_a_store_behind_a_pooler_leaves_its_other_clients_alone(pooled: SqlStore, pooled_url: str) -> None:
    publish(pooled, "a", 10)
    history_of(pooled)
    with psycopg.connect(pooled_url) as other:
        assert dict(other.execute(SETTINGS, (list(DEFAULTS),)).fetchall()) == DEFAULTS


def test_a_transaction_behind_a_pooler_has_our_limits(pooled: SqlStore) -> None:
    assert settings_in(pooled._dialect.writer) == OURS
    assert settings_in(pooled._dialect.engine) == DEFAULTS


def test_a_connection_of_our_own_has_our_limits(postgres_url: str) -> None:
    with sql_store(postgres_url) as store:
        for engine in (store._dialect.engine, store._dialect.writer):
            assert settings_in(engine) == OURS


def test_a_store_goes_on_after_a_restart_of_its_pooler(
    pooled: SqlStore, pgbouncer_server: PgbouncerServer
) -> None:
    pgbouncer_server.stop()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        fire(pooled, "a", 10)
    pgbouncer_server.start()
    fire(pooled, "a", 10)
    assert fire_times(history_of(pooled)) == [10]


# --- encodings


def new_database(server: PostgresServer, encoding: str) -> str:
    """Make an empty database in an encoding; its name."""
    name = f"{server.new_database()}_{encoding.lower()}"
    server.query(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    return name


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused(
    postgres_server: PostgresServer, encoding: str
) -> None:
    postgres_server.start()
    url = postgres_server.database_url(new_database(postgres_server, encoding))
    for create_ in (True, False):
        with pytest.raises(StoreUnusable, match=f"{encoding}.*: create .* ENCODING 'UTF8'") as caught:
            open_store(url, create=create_)
        assert str(caught.value).startswith(url)


def test_the_encoding_that_other_programs_are_told_to_use_is_no_matter(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with sql_store(postgres_url) as store:
        create(store, entry("Schneemann ☃"))
        assert [record.name for record in store.entries()] == ["Schneemann ☃"]


# --- databases that may only be read


@pytest.fixture
def read_only_url(postgres_server: PostgresServer, postgres_url: str) -> str:
    """An empty database whose transactions may only read, unless they say otherwise."""
    database = postgres_url.rpartition("/")[2]
    postgres_server.query(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    return postgres_url


def test_a_database_that_may_only_be_read_is_said(read_only_url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"may only be read \(cannot execute .*\): ") as caught:
        open_store(read_only_url)
    assert str(caught.value).startswith(read_only_url)


def test_a_database_that_may_be_written_again_is_used_again(
    read_only_url: str, postgres_server: PostgresServer
) -> None:
    database = read_only_url.rpartition("/")[2]
    postgres_server.query(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    with sql_store(read_only_url) as store:
        create(store, entry())
        postgres_server.query(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        store._dialect.engine.dispose()
        with pytest.raises(StoreUnavailable, match="may only be read"):
            fire(store, "a", 10)
        postgres_server.query(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        fire(store, "a", 10)
        assert fire_times(history_of(store)) == [10]
