"""The test PgBouncer has the clients of a database share one connection."""

from __future__ import annotations

import psycopg

from tests.servers import PgbouncerServer, PostgresServer


def test_clients_share_a_connection(pgbouncer_server: PgbouncerServer) -> None:
    with psycopg.connect(pgbouncer_server.url) as one:
        first = one.execute("SELECT pg_backend_pid()").fetchone()
    with psycopg.connect(pgbouncer_server.url) as other:
        assert other.execute("SELECT pg_backend_pid()").fetchone() == first


def test_it_leads_to_every_database(
    postgres_server: PostgresServer, pgbouncer_server: PgbouncerServer
) -> None:
    database = postgres_server.new_database()
    with psycopg.connect(pgbouncer_server.database_url(database)) as client:
        assert client.execute("SELECT current_database()").fetchone() == (database,)
