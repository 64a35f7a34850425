"""The history: in the order of fire times, within a span, of some entries; pruned from its old end."""

from __future__ import annotations

import pytest

from qbeat.store.base import Store
from qbeat.store.records import Won
from tests.store.making import (
    SECOND,
    START,
    claim_of,
    create,
    edit,
    entry,
    fire,
    fire_times,
    history_of,
    publish,
    read,
    settled,
    skip,
    uid_of,
)


@pytest.fixture
def busy(store: Store) -> Store:
    """``a`` at 10 and 30, ``b`` at 20 and 40, and a run of skips of ``b`` from 22 to 35."""
    create(store, entry("a"), entry("b"))
    publish(store, "a", 10)
    fire(store, "b", 20)
    fire(store, "a", 30)
    skipping = claim_of(read(store, "b"), 40, skips=(skip(22, 35, 7),))
    assert store.claim([skipping], replica="r1") == [Won.YES]
    return store


def test_it_comes_in_the_order_of_the_fire_times(busy: Store) -> None:
    assert fire_times(history_of(busy)) == [10, 20, 22, 30, 40]
    assert fire_times(history_of(busy, newest_first=True)) == [40, 30, 22, 20, 10]


def test_it_can_be_limited(busy: Store) -> None:
    assert fire_times(history_of(busy, limit=2)) == [10, 20]
    assert fire_times(history_of(busy, limit=2, newest_first=True)) == [40, 30]
    assert history_of(busy, limit=0) == []


def test_it_can_be_of_some_entries(busy: Store) -> None:
    assert fire_times(history_of(busy, entries=["a"])) == [10, 30]
    assert fire_times(history_of(busy, entries=["b"], newest_first=True)) == [40, 22, 20]
    assert fire_times(history_of(busy, entries={"b", "a", "x"})) == [10, 20, 22, 30, 40]
    assert history_of(busy, entries=["x"]) == []
    assert history_of(busy, entries=[]) == []


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (10, 40, [10, 20, 22, 30, 40]),
        (11, 39, [20, 22, 30]),
        (35, 35, [22]),
        (36, 39, []),
        (22, 22, [22]),
        (25, 30, [22, 30]),
        (None, 21, [10, 20]),
        (36, None, [40]),
    ],
)
def test_it_can_be_within_a_span_that_runs_of_skips_reach_into(
    busy: Store, since: int | None, until: int | None, expected: list[int]
) -> None:
    span = {
        "since": None if since is None else START + since,
        "until": None if until is None else START + until,
    }
    assert fire_times(history_of(busy, **span)) == expected
    assert fire_times(history_of(busy, **span, newest_first=True)) == expected[::-1]


def test_a_long_history_comes_whole(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    for block in range(3):
        times = range(block * 1_000 + 1, block * 1_000 + 1_001)
        publish(store, "a", *times)
        fire(store, "b", *times)
    expected = [time for time in range(1, 3_001) for _ in "ab"]
    assert fire_times(history_of(store)) == expected
    assert fire_times(history_of(store, newest_first=True)) == expected[::-1]
    assert fire_times(history_of(store, entries=["a"], limit=2_500)) == [*range(1, 2_501)]
    assert {(one.entry, one.fire_time) for one in store.history()} == {
        (name, START + time) for time in range(1, 3_001) for name in "ab"
    }


def test_other_verbs_may_be_used_while_it_is_read(store: Store) -> None:
    create(store, entry())
    fire(store, "a", *range(1, 1_001))
    fire(store, "a", *range(1_001, 1_501))
    seen = []
    for record in store.history():
        seen.append(record)
        if len(seen) == 5:
            store.settle([settled("a", time) for time in range(1, 1_001)])
    assert fire_times(seen) == [*range(1, 1_501)]


# --- prune


def test_old_records_are_pruned_the_oldest_first(store: Store) -> None:
    create(store, entry())
    publish(store, "a", 10, 20, 30, 40)
    assert store.prune(START + 40, limit=2) == 2
    assert fire_times(history_of(store)) == [30, 40]
    assert store.prune(START + 40, limit=2) == 1
    assert store.prune(START + 40, limit=2) == 0
    assert fire_times(history_of(store)) == [40]


def test_the_newest_published_record_of_each_entry_stays(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    publish(store, "a", 10, 20)
    publish(store, "b", 15)
    store.claim([claim_of(read(store, "a"), skips=(skip(30, 30),))], replica="r1")
    assert store.prune(START + 1_000, limit=100) == 2
    assert fire_times(history_of(store)) == [15, 20]
    assert read(store, "a").last_published_at == START + 20 + SECOND


def test_unsettled_firings_are_not_pruned(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10)
    assert store.prune(START + 1_000, limit=100) == 0
    assert store.unsettled() == 1


def test_a_run_of_skips_is_pruned_once_all_of_it_is_old(store: Store) -> None:
    create(store, entry())
    store.claim([claim_of(read(store), skips=(skip(10, 30, 3),))], replica="r1")
    assert store.prune(START + 30, limit=100) == 0
    assert store.prune(START + 31, limit=100) == 1
    assert history_of(store) == []


def test_a_removed_entrys_history_goes_whole(store: Store) -> None:
    create(store, entry())
    publish(store, "a", 10, 20)
    store.remove(["a"])
    assert store.prune(START + 1_000, limit=100) == 2
    assert history_of(store) == []


def test_an_entry_made_again_keeps_only_its_own_newest_record(store: Store) -> None:
    create(store, entry())
    publish(store, "a", 10)
    store.remove(["a"])
    create(store, entry(uid=uid_of("again")))
    store.save([edit(read(store), task="new")])
    assert store.prune(START + 1_000, limit=100) == 1


def test_pruning_little_leaves_the_names_of_removed_entries(store: Store) -> None:
    create(store, entry())
    publish(store, "a", 10, 20)
    store.remove(["a"])
    assert store.prune(START + 1_000, limit=1) == 1
    assert [(record.entry, record.fire_time) for record in history_of(store)] == [("a", START + 20)]


# --- how many

MINUTES = 60 * SECOND


def spread(store: Store, *minutes: int) -> None:
    """Publish ``a`` at some minutes after the start."""
    publish(store, "a", *(minute * MINUTES for minute in minutes))


def test_a_short_history_has_nothing_to_spare(store: Store) -> None:
    assert store.history_before(1) is None
    create(store, entry())
    spread(store, 30, 60, 120)
    assert store.history_before(3) is None
    assert store.history_before(4) is None


def test_what_lies_before_enough_newer_records_can_be_pruned(store: Store) -> None:
    create(store, entry())
    spread(store, 30, 60, 120, 180)
    before = store.history_before(2)
    assert before is not None
    assert START + 60 * MINUTES < before <= START + 120 * MINUTES
    assert store.prune(before, limit=100) == 2
    assert fire_times(history_of(store)) == [120 * MINUTES, 180 * MINUTES]
    assert store.history_before(2) is None


def test_records_of_one_instant_are_all_kept_or_all_to_spare(store: Store) -> None:
    names = [f"e{number}" for number in range(5)]
    create(store, entry("a"), *(entry(name) for name in names))
    for name in names:
        publish(store, name, 60 * MINUTES)
    assert store.history_before(3) is None
    spread(store, 30, 120)
    before = store.history_before(3)
    assert before is not None
    assert START + 30 * MINUTES < before <= START + 60 * MINUTES


def test_a_run_of_skips_counts_as_one_and_late_records_count_too(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 30 * MINUTES, 60 * MINUTES)
    store.claim([claim_of(read(store), skips=(skip(120 * MINUTES, 240 * MINUTES, 1_000),))], replica="r1")
    assert store.history_before(1) is None
    store.settle([settled("a", 60 * MINUTES)])
    store.settle([settled("a", 30 * MINUTES)])
    before = store.history_before(2)
    assert before is not None
    assert START + 30 * MINUTES < before <= START + 60 * MINUTES
    assert store.prune(before, limit=100) == 1
    assert store.history_before(2) is None
