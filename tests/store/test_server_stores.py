"""Stores on SQL servers: they heal by themselves, give up in time, and say what is wrong in one sentence."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import pytest
from sqlalchemy import Connection, inspect, update

from qbeat.store import open_store
from qbeat.store.base import MAX_AHEAD, Store, StoreUnavailable, StoreUnusable
from qbeat.store.records import Won
from qbeat.store.sql import SqlStore, mysql, postgresql, server_dialect, tables
from tests.servers import MariadbServer, PostgresServer, TcpProxy
from tests.store.making import (
    SECOND,
    START,
    Clock,
    claim_of,
    create,
    edit,
    entry,
    fire,
    fire_times,
    history_of,
    read,
    replica,
    settled,
)

StartProxy = Callable[[int], TcpProxy]


@dataclass
class Place:
    """An empty database of a server."""

    server: PostgresServer | MariadbServer
    database: str

    @property
    def url(self) -> str:
        return self.server.database_url(self.database)


@pytest.fixture(params=["postgres_server", "mariadb_server"])
def place(request: pytest.FixtureRequest) -> Place:
    server = request.getfixturevalue(request.param)
    server.start()
    return Place(server, server.new_database())


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with open_store(place.url) as opened:
        create(opened, entry())
        yield opened


@pytest.fixture
def proxy(place: Place, start_proxy: StartProxy) -> TcpProxy:
    return start_proxy(place.server.port)


@pytest.fixture
def behind(place: Place, proxy: TcpProxy) -> Iterator[Store]:
    """A store behind the proxy, with an entry and a connection."""
    with open_store(proxy.url(place.url)) as opened:
        create(opened, entry())
        yield opened


Stop = Callable[[SqlStore, Connection], object]


def sql_store(url: str) -> SqlStore:
    """A store whose transactions a test begins itself."""
    store = open_store(url)
    assert isinstance(store, SqlStore)
    return store


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store wait for a second where it would wait for many."""
    for module in (server_dialect, postgresql, mysql):
        monkeypatch.setattr(module, "ANSWER_TIMEOUT", 1)
        monkeypatch.setattr(module, "LOCK_TIMEOUT", 1)
        monkeypatch.setattr(module, "CONNECT_TIMEOUT", 2)


# --- clocks


def test_without_a_clock_of_ours_the_servers_is_asked(place: Place) -> None:
    with open_store(place.url) as store:
        before = time.time_ns() // 1_000
        now = store.now()
        pulse = store.heartbeat(replica(), live_within=1_000_000)
        after = time.time_ns() // 1_000
    assert before - 1_000 <= now <= pulse.now <= after + 1_000
    assert pulse.replicas[0].heartbeat_at == pulse.now


# --- healing


def test_a_store_goes_on_after_a_restart_of_its_server(place: Place, store: Store) -> None:
    place.server.stop()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.entries()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        fire(store, "a", 10)
    place.server.start()
    fire(store, "a", 10)
    assert fire_times(history_of(store)) == [10]


def test_a_restart_between_two_calls_is_not_noticed(place: Place, store: Store) -> None:
    record = read(store)
    place.server.stop()
    place.server.start()
    assert store.claim([claim_of(record, 10)], replica="r1") == [Won.YES]
    place.server.stop()
    place.server.start()
    assert read(store).cursor == START + 10


def test_a_dropped_connection_is_not_noticed(behind: Store, proxy: TcpProxy) -> None:
    proxy.drop()
    fire(behind, "a", 10)
    proxy.drop()
    assert fire_times(history_of(behind)) == [10]


def test_a_claim_whose_commit_got_no_answer_is_not_tried_again(
    behind: Store, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read(behind)
    claims = behind._claims  # type: ignore[attr-defined]
    original, tries = claims.claim, []

    def claim_and_cut(*arguments: object, **options: object) -> object:
        tries.append(1)
        result = original(*arguments, **options)
        proxy.drop()  # the commit that follows meets a dead connection
        return result

    monkeypatch.setattr(claims, "claim", claim_and_cut)
    with pytest.raises(StoreUnavailable):
        behind.claim([claim_of(record, 10)], replica="r1")
    assert len(tries) == 1
    assert read(behind).name == "a"


def test_a_connection_that_may_only_read_is_left(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    with sql_store(postgres_server.database_url(postgres_server.new_database())) as store:
        create(store, entry())
        with store._dialect.engine.connect() as connection:
            connection.exec_driver_sql("SET default_transaction_read_only = on")
        fire(store, "a", 10)
        assert fire_times(history_of(store)) == [10]


def test_a_server_that_may_only_be_read_is_connected_to_anew(mariadb_server: MariadbServer) -> None:
    mariadb_server.start()
    database = mariadb_server.new_database()
    mariadb_server.query(f"CREATE USER app@'%' IDENTIFIED BY 'pw'; GRANT ALL ON {database}.* TO app@'%'")
    url = mariadb_server.database_url(database).replace("root@", "app:pw@")
    with sql_store(url) as store:
        create(store, entry())
        before = connection_id(store)
        mariadb_server.query("SET GLOBAL read_only = 1")
        try:
            with pytest.raises(StoreUnavailable, match="read-only"):
                fire(store, "a", 10)
            assert connection_id(store) != before
        finally:
            mariadb_server.query("SET GLOBAL read_only = 0")
        fire(store, "a", 10)


def connection_id(store: SqlStore) -> int:
    with store._dialect.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one())


# --- giving up


@pytest.mark.usefixtures("impatient")
def test_a_network_that_swallows_everything_is_given_up(place: Place, proxy: TcpProxy) -> None:
    with open_store(proxy.url(place.url)) as store:
        create(store, entry())
        proxy.freeze()
        with pytest.raises(StoreUnavailable):
            store.entries()
        with pytest.raises(StoreUnavailable):
            fire(store, "a", 10)
        proxy.drop()
        proxy.restore()
        fire(store, "a", 10)
        assert fire_times(history_of(store)) == [10]


@pytest.mark.usefixtures("impatient")
def test_a_lock_that_somebody_keeps_is_given_up(place: Place) -> None:
    with sql_store(place.url) as holder, open_store(place.url) as store:
        create(store, entry())
        fire(store, "a", 10)
        with holder._dialect.writer.begin() as connection:
            connection.exec_driver_sql("SELECT uid FROM qbeat_outbox FOR UPDATE")
            with pytest.raises(StoreUnavailable, match="is busy"):
                store.settle([settled("a", 10)])
        store.settle([settled("a", 10)])


def test_an_entry_that_somebody_has_locked_holds_up_no_other_claim(place: Place) -> None:
    with sql_store(place.url) as stopped, open_store(place.url) as store:
        create(store, *(entry(name) for name in "abc"))
        claims = [claim_of(record, 10) for record in store.entries()]
        with stopped._dialect.writer.connect() as connection:
            stopped._claims.claim(connection, claims[1:2], "r1")
            assert store.claim(claims, replica="r2") == [Won.YES, Won.LOST, Won.YES]
            assert store.claim(claims[1:2], replica="r2") == [Won.LOST]
            connection.rollback()
        assert store.claim(claims[1:2], replica="r2") == [Won.YES]


@pytest.mark.usefixtures("impatient")
def test_a_heartbeat_under_way_holds_up_no_other_after_the_clock_went_back(place: Place) -> None:
    clock = Clock()
    with sql_store(place.url) as stopped, open_store(place.url, clock=clock) as store:
        store.heartbeat(replica("r1"), live_within=SECOND)
        clock.now -= MAX_AHEAD + 1
        with stopped._dialect.writer.connect() as connection:
            connection.execute(update(tables.replica).where(tables.replica.c.id == "r1").values(pid=1))
            assert len(store.heartbeat(replica("r2"), live_within=SECOND).replicas) == 2
            connection.rollback()
        store.heartbeat(replica("r2"), live_within=SECOND)
        assert [one.heartbeat_at for one in store.replicas()] == [clock.now] * 2


@pytest.mark.parametrize(
    "stop",
    [
        lambda store, connection: store._claims.claim(connection, [claim_of(read(store), 20)], "r1"),
        lambda store, connection: store._entries.save(connection, [edit(read(store), task="new")]),
        lambda store, connection: store._outbox.settle(connection, [settled("a", 10)]),
    ],
    ids=["claim", "save", "settle"],
)
def test_a_replica_that_stops_in_a_transaction_holds_up_others_for_seconds_only(
    place: Place, stop: Stop
) -> None:
    with sql_store(place.url) as stopped, open_store(place.url) as store:
        create(stopped, entry())
        fire(stopped, "a", 10)
        with stopped._dialect.writer.connect() as connection:
            stop(stopped, connection)
            # Each within the time that a lock is waited for.
            store.settle([settled("a", 10)])
            assert store.save([edit(read(store), task="mine")]) == [True]
            connection.invalidate()
        assert stopped.claim([claim_of(read(stopped), 20)], replica="r1") == [Won.YES]


# --- making


def test_stores_that_are_opened_at_once_for_the_first_time_are_one(place: Place) -> None:
    count = 3
    for _ in range(4):
        url, barrier = place.server.database_url(place.server.new_database()), Barrier(count)

        def make_and_use(number: int, url: str = url, barrier: Barrier = barrier) -> None:
            barrier.wait(timeout=20)
            with open_store(url) as store:
                create(store, entry(f"n{number}"))

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(make_and_use, range(count)))
        with open_store(url) as store:
            assert [record.name for record in store.entries()] == ["n0", "n1", "n2"]


def test_a_store_whose_making_was_cut_short_is_made_by_the_next_start(place: Place) -> None:
    with open_store(place.url) as store:
        assert isinstance(store, SqlStore)
        with store._dialect.writer.begin() as connection:  # what MySQL may keep of it
            connection.execute(tables.store.delete())
            (index,) = tables.progress.indexes
            index.drop(connection)
            tables.outbox.drop(connection)
    with pytest.raises(StoreUnusable, match="start qbeat once"):
        open_store(place.url, create=False)
    with open_store(place.url) as store:
        assert isinstance(store, SqlStore)
        create(store, entry())
        fire(store, "a", 10)
        with store._dialect.engine.connect() as connection:
            assert inspect(connection).get_indexes(tables.progress.name)


# --- what is wrong


def test_a_server_that_is_not_there_is_unavailable(place: Place) -> None:
    place.server.stop()
    with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
        open_store(place.url)
    assert "\n" not in str(caught.value)


def test_a_database_that_does_not_exist_is_unusable(place: Place) -> None:
    with pytest.raises(StoreUnusable, match=r"absent") as caught:
        open_store(place.server.database_url("absent"))
    assert "\n" not in str(caught.value)


def test_a_user_that_does_not_exist_is_unusable(place: Place) -> None:
    url = place.url.replace("://postgres@", "://nobody:secret@").replace("://root@", "://nobody:secret@")
    with pytest.raises(StoreUnusable, match="nobody") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_without_create_nothing_is_made(place: Place) -> None:
    with pytest.raises(StoreUnusable, match="start qbeat once"):
        open_store(place.url, create=False)
    open_store(place.url).close()
    with open_store(place.url, create=False) as store:
        create(store, entry())


def test_a_users_tables_beside_ours_are_no_matter(place: Place) -> None:
    place.server.query("CREATE TABLE entry (id INTEGER)", place.database)
    with open_store(place.url) as store:
        create(store, entry())


def test_a_missing_table_is_said(place: Place, store: Store) -> None:
    place.server.query("DROP TABLE qbeat_outbox", place.database)
    with pytest.raises(StoreUnusable, match="qbeat_outbox"):
        store.unsettled()


@pytest.mark.parametrize("url", ["postgresql://host", "mysql://host/", "postgres://user:secret@host"])
def test_an_address_without_a_database_is_refused(url: str) -> None:
    with pytest.raises(StoreUnusable, match="names no database") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "driver", "extra"),
    [("postgres://host/x", "psycopg", "postgresql"), ("mysql://host/x", "pymysql", "mysql")],
)
def test_a_missing_driver_is_said(url: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("qbeat.store.sql.postgresql", "qbeat.store.sql.mysql"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(StoreUnusable, match=rf"pip install 'qbeat\[{extra}\]'"):
        open_store(url)


def test_heroku_and_driver_spellings_lead_to_the_same_store(place: Place, store: Store) -> None:
    spellings = [
        place.url.replace("postgresql://", "postgres://"),
        place.url.replace("mysql://", "mariadb://"),
    ]
    spellings.append(
        place.url.replace("postgresql://", "postgresql+psycopg2://").replace("mysql:", "mysql+mysqldb:")
    )
    for url in spellings:
        with open_store(url) as other:
            assert read(other).name == "a"


def test_a_url_is_shown_without_its_password_and_options(postgres_url: str) -> None:
    url = postgres_url.replace("@", ":se%20cret@", 1) + "?application_name=mine"
    with open_store(url) as store:
        assert store.url == postgres_url
