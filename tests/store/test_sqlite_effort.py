"""How many steps SQLite takes for a verb: they grow with what the verb is about, not with what lies beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qbeat.store import open_store
from qbeat.store.records import Won
from qbeat.store.sql import SqlStore, pruning
from tests.store.making import START, Clock, claim_of, create, entry, fire, read, settled, take_over

Open = Callable[[], SqlStore]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_next(tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Opens one empty store after the other."""
    opened: list[SqlStore] = []

    def open_one() -> SqlStore:
        store = open_store(str(tmp_path / f"{len(opened)}.db"), clock=clock)
        assert isinstance(store, SqlStore)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


def steps(store: SqlStore, act: Callable[[], object]) -> int:
    """Return about how many steps SQLite's machine takes while a store acts on its only connection."""
    ticks: list[None] = []
    with store._dialect.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
    assert raw is not None
    raw.set_progress_handler(lambda: ticks.append(None), 100)
    act()
    raw.set_progress_handler(None, 100)
    return len(ticks)


def test_a_long_queue_is_taken_over_in_steps_that_grow_with_its_length(open_next: Open, clock: Clock) -> None:
    def steps_for(length: int) -> int:
        store = open_next()
        create(store, entry())
        fire(store, "a", 10)
        queued = claim_of(read(store), *range(20, 20 + length))
        assert store.claim([queued], replica="r2") == [Won.QUEUED]
        clock.now += 1_000
        return steps(store, lambda: take_over(store, limit=10))

    assert steps_for(800) < 3 * steps_for(400)


def test_records_that_stay_cost_a_prune_only_so_much(
    open_next: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "STRETCH", 50)

    def steps_for(count: int) -> int:
        store = open_next()
        names = [f"n{number}" for number in range(count)]
        create(store, *(entry(name) for name in names))
        store.claim([claim_of(record, 10) for record in store.entries()], replica="r1")
        store.settle([settled(name, 10) for name in names])
        return steps(store, lambda: store.prune(START + 1_000, 100))

    assert steps_for(1_000) < 1.5 * steps_for(300)
