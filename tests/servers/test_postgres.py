"""The test PostgreSQL answers, gives each test an empty database, and keeps its data over a restart."""

from __future__ import annotations

import pytest

from tests.servers import PostgresServer


def test_a_row_comes_back(postgres_server: PostgresServer, postgres_url: str) -> None:
    database = postgres_url.rpartition("/")[2]
    postgres_server.query("CREATE TABLE letters (text text); INSERT INTO letters VALUES ('hello')", database)
    assert postgres_server.query("SELECT text, length(text) FROM letters", database) == "hello|5"


@pytest.mark.parametrize("_turn", [1, 2])
def test_each_test_has_a_database_of_its_own(
    postgres_server: PostgresServer, postgres_url: str, _turn: int
) -> None:
    database = postgres_url.rpartition("/")[2]
    assert postgres_server.query("SELECT count(*) FROM pg_stat_user_tables", database) == "0"
    postgres_server.query("CREATE TABLE left_behind ()", database)


def test_data_outlives_a_stop_and_a_kill(postgres_server: PostgresServer, postgres_url: str) -> None:
    database = postgres_url.rpartition("/")[2]
    postgres_server.query("CREATE TABLE letters AS SELECT 'hello' AS text", database)
    postgres_server.stop()
    assert not postgres_server.answers()
    postgres_server.start()
    postgres_server.kill()
    assert not postgres_server.answers()
    postgres_server.start()
    assert postgres_server.query("SELECT text FROM letters", database) == "hello"


def test_an_error_of_the_server_is_shown(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    with pytest.raises(AssertionError, match='relation "absent" does not exist'):
        postgres_server.query("SELECT * FROM absent")
