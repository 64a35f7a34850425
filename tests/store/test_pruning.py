"""Pruning in SQL: a call looks at so much and no more, and the next one goes on where it has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qbeat.store.base import Store
from qbeat.store.sql import pruning
from tests.store.conftest import world_of
from tests.store.making import START, World, create, entry, fire_times, history_of, publish

ALL = START + 1_000


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as opened:
        yield world_of(request.param, request, tmp_path, opened)


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one call look at six records."""
    monkeypatch.setattr(pruning, "STRETCH", 2)
    monkeypatch.setattr(pruning, "STRETCHES", 3)


def keep(store: Store, count: int, fire_time: int = 10) -> None:
    """Publish the only records, which stay, of so many entries, all for one fire time."""
    names = [f"kept{number:02}" for number in range(count)]
    create(store, *(entry(name) for name in names))
    for name in names:
        publish(store, name, fire_time)


def test_a_look_past_many_records_that_stay_goes_on_with_the_next_call(store: Store) -> None:
    keep(store, 15)
    create(store, entry())
    publish(store, "a", 20, 30, 40)
    assert [store.prune(ALL, 100) for _ in range(3)] == [0, 0, 2]
    assert fire_times(history_of(store)) == [*[10] * 15, 40]


def test_what_can_go_only_later_is_found_when_the_look_comes_round(store: Store) -> None:
    keep(store, 7)
    assert store.prune(ALL, 100) == 0
    publish(store, "kept00", 20)
    assert [store.prune(ALL, 100) for _ in range(2)] == [0, 1]
    assert fire_times(history_of(store, entries=["kept00"])) == [20]


def test_a_full_batch_far_on_is_followed_by_the_next(store: Store) -> None:
    keep(store, 12)
    create(store, entry())
    publish(store, "a", *range(20, 28))
    assert [store.prune(ALL, 3) for _ in range(6)] == [0, 0, 3, 3, 1, 0]


def test_a_history_that_takes_one_look_is_looked_at_from_its_start(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    publish(store, "a", 20, 30, 40)
    assert store.prune(ALL, 1) == 1
    publish(store, "b", 10, 50)
    assert store.prune(ALL, 1) == 1
    assert fire_times(history_of(store)) == [30, 40, 50]


def test_a_removed_entry_without_a_history_leaves_nothing_behind(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    publish(store, "b", 10)
    store.remove(["a", "b"])
    assert [(one.entry, one.fire_time) for one in history_of(store)] == [("b", START + 10)]
    assert store.prune(ALL, 100) == 1
    assert history_of(store, entries=["b"]) == []
