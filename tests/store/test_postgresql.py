"""What is PostgreSQL's own: connections shared through a pooler, encodings, databases that may only be read."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine

from qbeat.store import open_store
from qbeat.store.base import StoreUnavailable
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
