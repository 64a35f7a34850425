"""The test MariaDB answers, gives each test an empty database, and keeps its data over a restart."""

from __future__ import annotations

import pytest

from tests.servers import MariadbServer


@pytest.mark.parametrize("_turn", [1, 2])
def test_each_test_has_a_database_of_its_own(
    mariadb_server: MariadbServer, mariadb_url: str, _turn: int
) -> None:
    database = mariadb_url.rpartition("/")[2]
    assert mariadb_server.query("SHOW TABLES", database) == ""
    mariadb_server.query("CREATE TABLE left_behind (id INTEGER)", database)


def test_data_outlives_a_stop_and_a_kill(mariadb_server: MariadbServer, mariadb_url: str) -> None:
    database = mariadb_url.rpartition("/")[2]
    mariadb_server.query("CREATE TABLE letters AS SELECT 'hello' AS text", database)
    mariadb_server.stop()
    assert not mariadb_server.answers()
    mariadb_server.start()
    mariadb_server.kill()
    mariadb_server.start()
    assert mariadb_server.query("SELECT text FROM letters", database) == "hello"


def test_an_error_of_the_server_is_shown(mariadb_server: MariadbServer) -> None:
    mariadb_server.start()
    with pytest.raises(AssertionError, match=r"absent"):
        mariadb_server.query("SELECT * FROM absent")
