"""The history in Redis where there is much of it: many entries, late records, pages, takeovers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbeat.store import open_store
from qbeat.store.base import Store
from qbeat.store.memory import MemoryStore
from qbeat.store.records import Change, Claim, HistoryRecord, NewFiring, Settlement, Skip
from qbeat.store.redis.packing import pack_task, unpack_task
from tests.store.making import (
    START,
    Clock,
    create,
    entry,
    fire,
    fire_times,
    history_of,
    publish,
    read,
    release,
    settled,
    take_over,
)

ENTRIES = 250
LONG = 5_000_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(redis_url: str, clock: Clock) -> Iterator[Store]:
    with open_store(redis_url, clock=clock) as opened:
        yield opened


@pytest.fixture
def both(store: Store, clock: Clock) -> tuple[Store, MemoryStore]:
    """A store and its model with the same long history: ties, runs of skips, late and unsettled records."""
    model = MemoryStore(clock)
    draw = random.Random(20_260_101)
    records = [entry(f"n{number:03}") for number in range(ENTRIES)]
    cursors = {record.uid: START for record in records}
    for each in (store, model):
        each.save([Change(record, None) for record in records])
    open_firings: list[Settlement] = []
    for _ in range(8):
        claims = [_drawn_claim(draw, uid, cursors) for uid in draw.sample(sorted(cursors), 150)]
        open_firings += [_published(claim.uid, new) for claim in claims for new in claim.firings]
        draw.shuffle(open_firings)
        settlements, open_firings = open_firings[20:], open_firings[:20]
        for each in (store, model):
            each.claim(claims, replica="r1")
            each.settle(settlements)
    gone = [f"n{number:03}" for number in range(0, ENTRIES, 10)]
    for each in (store, model):
        each.remove(gone)
    return store, model


def _drawn_claim(draw: random.Random, uid: str, cursors: dict[str, int]) -> Claim:
    cursor = cursors[uid]
    skipped = draw.choice([0, 0, 1, 30])
    skips = (Skip(cursor + 1, cursor + skipped, skipped, "coalesced"),) if skipped else ()
    first = cursor + skipped + draw.choice([1, 10, 10, 10, 10, 10, LONG])
    times = [first + number for number in range(draw.choice([0, 1, 1, 4]))]
    last = times[-1] if times else cursor + skipped
    cursors[uid] = last
    firings = tuple(NewFiring(time, f"{uid}@{time}") for time in times)
    return Claim(uid, cursor, 1, last, last + 10, last + 10, firings, skips)


def _published(uid: str, new: NewFiring) -> Settlement:
    return Settlement(uid, new.fire_time, "auto", "published", new.fire_time + 5)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [None, 1, 7, 120, 500])
def test_long_histories_are_those_of_the_model(
    both: tuple[Store, MemoryStore], newest_first: bool, limit: int | None
) -> None:
    store, model = both
    spans = [
        (None, None),
        (START + 60, None),
        (None, START + 60),
        (START + 45, START + 46),
        (START + 10**6, None),
    ]
    for since, until in spans:
        query: dict[str, Any] = {"since": since, "until": until, "limit": limit, "newest_first": newest_first}
        assert history_of(store, **query) == history_of(model, **query)
    names = [f"n{number:03}" for number in range(0, ENTRIES, 7)]
    query = {"entries": names, "limit": limit, "newest_first": newest_first}
    assert history_of(store, **query) == history_of(model, **query)


def test_long_histories_are_pruned_as_those_of_the_model(both: tuple[Store, MemoryStore]) -> None:
    store, model = both
    for before, limit in ((40, 100), (40, 5_000), (80, 1), (80, 1_500), (LONG, 9_000), (10**12, 9_000)):
        assert store.prune(START + before, limit) == model.prune(START + before, limit)
        assert history_of(store) == history_of(model)


def test_the_newest_records_are_found_among_entries_that_end_alike(store: Store) -> None:
    names = [f"n{number:03}" for number in range(150)]
    create(store, *(entry(name) for name in names))
    for name in names:
        publish(store, name, 10, 20)
    newest = history_of(store, newest_first=True, limit=5)
    assert newest == history_of(store)[:-6:-1]
    assert {record.fire_time for record in newest} == {START + 20}


def test_records_that_come_late_find_their_place(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, 20, 30)
    store.settle([settled("a", 30)])
    store.settle([settled("a", 10, "failed", reason="late")])
    store.settle([settled("a", 20)])
    assert [(one.fire_time - START, one.outcome) for one in history_of(store)] == [
        (10, "failed"),
        (20, "published"),
        (30, "published"),
    ]
    assert fire_times(history_of(store, since=START + 15, newest_first=True)) == [30, 20]
    assert store.prune(START + 25, 10) == 2
    assert fire_times(history_of(store)) == [30]


def test_a_history_longer_than_a_page_is_walked_both_ways(store: Store) -> None:
    create(store, entry())
    for block in range(4):
        publish(store, "a", *range(block * 900 + 1, block * 900 + 901))
    assert fire_times(history_of(store, entries=["a"])) == [*range(1, 3_601)]
    assert fire_times(history_of(store, entries=["a"], newest_first=True)) == [*range(3_600, 0, -1)]
    middle = {"since": START + 500, "until": START + 2_800}
    assert fire_times(history_of(store, **middle)) == [*range(500, 2_801)]
    assert fire_times(history_of(store, **middle, newest_first=True)) == [*range(2_800, 499, -1)]


def test_a_history_may_be_pruned_while_it_is_read(store: Store) -> None:
    create(store, entry())
    for block in range(3):
        publish(store, "a", *range(block * 1_000 + 1, block * 1_000 + 1_001))
    reading = store.history(entries=["a"])
    first = [next(reading) for _ in range(10)]
    store.prune(START + 1_500, 10_000)
    rest = list(reading)
    assert fire_times([*first, *rest])[-1_501:] == [*range(1_500, 3_001)]


def test_a_firing_that_is_settled_while_the_history_is_read_comes_once(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    fire(store, "a", *range(1, 1_001))
    fire(store, "b", *range(1, 1_001))
    reading = store.history()
    seen: list[HistoryRecord] = [next(reading)]
    store.settle([settled("a", time) for time in range(1, 1_001)])
    store.settle([settled("b", time) for time in range(1, 1_001)])
    seen += reading
    assert len(seen) == len({(one.entry, one.fire_time) for one in seen}) == 2_000


def test_a_large_outbox_is_taken_over_piece_by_piece(store: Store) -> None:
    names = [f"n{number:04}" for number in range(2_500)]
    for start in range(0, len(names), 500):
        create(store, *(entry(name) for name in names[start : start + 500]))
        records = store.entries(names[start : start + 500])
        claims = [
            Claim(one.uid, START, 1, START + 9, None, None, (NewFiring(START + 9, one.name),))
            for one in records
        ]
        store.claim(claims, replica="r1")
    for start in range(0, len(names), 500):
        store.settle([], [release(name, 9) for name in names[start : start + 500]])
    taken: list[str] = []
    while batch := take_over(store, limit=700):
        assert len(batch) == 700 or len(taken) == 2_100
        taken += [firing.entry for firing in batch]
    assert sorted(taken) == names
    store.leave("r2")
    assert {firing.uncertain for firing in take_over(store, limit=5_000)} == {True}


def test_a_thousand_entries_are_one_page_among_others(store: Store) -> None:
    names = [f"n{number:04}" for number in range(3_000)]
    for start in range(0, len(names), 1_000):
        create(store, *(entry(name) for name in names[start : start + 1_000]))
    assert [record.name for record in store.entries()] == names
    assert [record.name for record in store.entries(names[::2])] == names[::2]
    assert len(store.overdue(START + 12, 2_500)) == 2_500
    assert store.remove(names[:1_000]) == 1_000
    assert len(store.entries(changed_after=1)) == 2_000
    assert read(store, "n2999").change == 3


def test_a_record_takes_little_room(store: Store, redis_url: str) -> None:
    import redis

    create(store, entry())
    publish(store, "a", *range(1, 1_001))
    with redis.Redis.from_url(redis_url) as client:
        used: Any = client.memory_usage(f"{{qbeat}}:history:{entry().uid}")
    assert used < 120_000


@given(st.one_of(st.uuids().map(str), st.uuids().map(lambda uuid: str(uuid).upper()), st.text(max_size=50)))
def test_any_task_id_comes_back(task_id: str) -> None:
    assert unpack_task(pack_task(task_id)) == task_id


@pytest.mark.parametrize(
    "task_id",
    [
        "",
        "U" * 36,
        "-" * 36,
        "0f9f5a54-7d9d-5dd6-9b4a-5d5ee2b1c1f6",
        "0f9f5a54-7d9d-5dd6-9b4a-5d5ee2b1 1f6",
        "----" * 9,
    ],
)
def test_task_ids_that_look_like_uuids_come_back(task_id: str) -> None:
    assert unpack_task(pack_task(task_id)) == task_id
    assert len(pack_task(task_id)) <= len(task_id) + 1


def test_a_uuid_is_kept_in_seventeen_bytes() -> None:
    assert len(pack_task("0f9f5a54-7d9d-5dd6-9b4a-5d5ee2b1c1f6")) == 17
