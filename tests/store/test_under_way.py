"""One client acts while a transaction of another is under way: a database shows each of them only a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from qbeat.store.base import Store
from qbeat.store.records import Won
from qbeat.store.sql import SqlStore
from tests.store.conftest import world_of
from tests.store.making import (
    START,
    World,
    claim_of,
    create,
    edit,
    entry,
    fire,
    fire_times,
    history_of,
    read,
    release,
    replica,
    settled,
    take_over,
)

Result = TypeVar("Result")


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def sql_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """An empty store in a database, whose clients can be stopped in the midst of a transaction."""
    with ExitStack() as opened:
        yield world_of(request.param, request, tmp_path, opened)


def sql_client(world: World) -> SqlStore:
    store = world.connect()
    assert isinstance(store, SqlStore)
    return store


def during(holder: SqlStore, work: Callable[[Connection], object], act: Callable[[], Result]) -> Result:
    """Act while a transaction of ``holder`` has done its work and is not committed yet; return the act's result."""
    with ThreadPoolExecutor(1) as pool, holder._dialect.writer.connect() as connection:
        work(connection)
        acting = pool.submit(act)
        wait([acting], timeout=0.5)  # it may have to wait for the commit
        connection.commit()
        return acting.result(timeout=20)


def queue_behind(holder: Store, world: World) -> None:
    """Let r1 hold the firing 10, stale by now, and let 20 stand behind it."""
    create(holder, entry())
    fire(holder, "a", 10)
    claimed = holder.claim([claim_of(read(holder), 20)], replica="r2")
    assert claimed == [Won.QUEUED]
    world.clock.now += 1_000


def test_a_firing_that_is_being_released_keeps_back_those_behind_it(sql_world: World) -> None:
    holder, taker = sql_client(sql_world), sql_world.connect()
    queue_behind(holder, sql_world)
    backing_off = release("a", 10, not_before=sql_world.clock.now + 200, uncertain=True)
    taken = during(holder, partial(holder._outbox.release, releases=[backing_off]), partial(take_over, taker))
    assert taken == []
    sql_world.clock.now += 200
    assert fire_times(take_over(taker)) == [10, 20]


def test_a_firing_that_is_being_settled_keeps_back_those_behind_it_or_none(sql_world: World) -> None:
    holder, taker = sql_client(sql_world), sql_world.connect()
    queue_behind(holder, sql_world)
    settling = partial(holder._outbox.settle, settlements=[settled("a", 10)])
    taken = during(holder, settling, partial(take_over, taker))
    assert fire_times([*taken, *take_over(taker)]) == [20]


def test_a_firing_that_is_being_taken_over_keeps_back_those_behind_it(sql_world: World) -> None:
    holder, taker = sql_client(sql_world), sql_world.connect()
    queue_behind(holder, sql_world)
    taking = partial(holder._takeovers.take_over, replica="r3", stale_after=10, limit=1)
    taken = during(holder, taking, partial(take_over, taker))
    assert taken == []
    assert [one.replica for one in history_of(holder)] == ["r3", "r2"]


def test_who_comes_back_is_not_forgotten_by_who_saw_it_silent(sql_world: World) -> None:
    back, other = sql_client(sql_world), sql_world.connect()
    back.heartbeat(replica("back"), live_within=10)
    sql_world.clock.now += 100
    beating = partial(back._replicas.beat, record=replica("back"), live_within=10)
    during(back, beating, partial(other.heartbeat, replica("other"), live_within=10))
    assert [record.id for record in other.replicas()] == ["back", "other"]


def test_a_firing_that_is_being_settled_is_not_superseded_by_a_removal(sql_world: World) -> None:
    holder, other = sql_client(sql_world), sql_world.connect()
    create(holder, entry())
    fire(holder, "a", 10)
    settling = partial(holder._outbox.settle, settlements=[settled("a", 10)])
    assert during(holder, settling, partial(other.remove, ["a"])) == 1
    assert [one.outcome for one in history_of(other)] == ["published"]


def test_a_firing_whose_entry_is_being_removed_is_settled_once(sql_world: World) -> None:
    holder, other = sql_client(sql_world), sql_world.connect()
    create(holder, entry())
    fire(holder, "a", 10)
    during(holder, partial(holder._entries.remove, names=["a"]), partial(other.settle, [settled("a", 10)]))
    assert [one.outcome for one in history_of(other)] == ["skipped"]
    assert other.unsettled() == 0


def test_an_entry_that_is_being_saved_is_not_claimed_as_it_was(sql_world: World) -> None:
    holder, other = sql_client(sql_world), sql_world.connect()
    create(holder, entry())
    record = read(holder)
    saving = partial(holder._entries.save, changes=[edit(record, task="new")])
    assert during(holder, saving, partial(other.claim, [claim_of(record, 10)], replica="r2")) == [Won.LOST]
    assert other.unsettled() == 0


def test_an_entry_that_is_being_claimed_is_not_saved_as_it_was(sql_world: World) -> None:
    holder, other = sql_client(sql_world), sql_world.connect()
    create(holder, entry())
    record = read(holder)
    claiming = partial(holder._claims.claim, claims=[claim_of(record, 10)], replica="r1")
    assert during(holder, claiming, partial(other.save, [edit(record, task="new")])) == [False]
    assert read(other).cursor == START + 10


def test_an_entry_that_is_being_claimed_is_removed_with_its_firing(sql_world: World) -> None:
    holder, other = sql_client(sql_world), sql_world.connect()
    create(holder, entry())
    claiming = partial(holder._claims.claim, claims=[claim_of(read(holder), 10)], replica="r1")
    assert during(holder, claiming, partial(other.remove, ["a"])) == 1
    assert other.unsettled() == 0
    assert [one.outcome for one in history_of(other)] == ["skipped"]


def test_what_is_being_taken_over_is_not_released_by_its_holders_leaving(sql_world: World) -> None:
    taker, holder = sql_client(sql_world), sql_world.connect()
    create(taker, entry())
    fire(holder, "a", 10)
    sql_world.clock.now += 1_000
    taking = partial(taker._takeovers.take_over, replica="r2", stale_after=10, limit=10)
    during(taker, taking, partial(holder.leave, "r1"))
    assert take_over(taker, "r3") == []


def test_what_is_being_released_by_its_holders_leaving_is_taken_over_as_uncertain(sql_world: World) -> None:
    holder, taker = sql_client(sql_world), sql_world.connect()
    create(holder, entry())
    fire(holder, "a", 10)
    sql_world.clock.now += 1_000
    taken = during(holder, partial(holder._outbox.release_all, replica="r1"), partial(take_over, taker))
    taken += take_over(taker)
    assert [(one.fire_time, one.uncertain) for one in taken] == [(START + 10, True)]
