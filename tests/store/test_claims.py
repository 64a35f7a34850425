"""Claims: won only against what the claimer read, all or nothing for each entry, settlements first."""

from __future__ import annotations

import pytest

from qbeat.store.base import MAX_BATCH, MAX_FIRINGS_PER_CLAIM, Store
from qbeat.store.records import AUTO, NewFiring, Won
from tests.store.making import (
    SECOND,
    START,
    Clock,
    World,
    claim_of,
    create,
    edit,
    entry,
    fire,
    fire_times,
    history_of,
    publish,
    read,
    release,
    settled,
    skip,
    take_over,
    task_id,
    uid_of,
)


def test_a_won_claim_advances_the_entry(store: Store) -> None:
    create(store, entry())
    claim = claim_of(read(store), 10, 20, new_cursor=START + 25, next_fire_time=START + 30, due_at=START + 31)
    assert store.claim([claim], replica="r1") == [Won.YES]
    assert read(store) == entry(
        cursor=START + 25,
        next_fire_time=START + 30,
        due_at=START + 31,
        revision=1,
        change=1,
        total_run_count=2,
        last_fire_time=START + 20,
    )


def test_a_won_claim_puts_its_firings_into_the_outbox(store: Store, clock: Clock) -> None:
    create(store, entry())
    clock.now += 3
    fire(store, "a", 10, 20)
    assert store.unsettled() == 2
    for record, fire_time in zip(history_of(store), [START + 10, START + 20], strict=True):
        assert (record.entry, record.uid, record.lane) == ("a", uid_of("a"), AUTO)
        assert (record.fire_time, record.last_fire_time, record.count) == (fire_time, fire_time, 1)
        assert (record.outcome, record.reason, record.published_at) == ("claimed", None, None)
        assert record.task_id == task_id("a", fire_time)
        assert (record.claimed_at, record.replica, record.attempt) == (clock.now, "r1", 1)


def test_a_store_takes_other_calls_while_a_claim_is_under_way(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    finish = store.begin_claim([claim_of(read(store, "a"), 10)], replica="r1")
    assert store.claim([claim_of(read(store, "b"), 10)], replica="r1") == [Won.YES]
    assert finish() == [Won.YES]
    assert [read(store, name).total_run_count for name in "ab"] == [1, 1]


def test_a_claim_that_was_begun_and_changes_nothing_ends_with_nothing(store: Store) -> None:
    assert store.begin_claim([], replica="r1")() == []


def test_a_won_claim_writes_its_skips_to_the_history(store: Store, clock: Clock) -> None:
    create(store, entry())
    skips = (skip(1, 5, 3, "coalesced"), skip(7, 9, None, "missed"))
    assert store.claim([claim_of(read(store), 10, skips=skips)], replica="r1") == [Won.YES]
    found = [
        (one.fire_time - START, one.last_fire_time - START, one.count, one.outcome, one.reason)
        for one in history_of(store)
    ]
    assert found == [
        (1, 5, 3, "skipped", "coalesced"),
        (7, 9, None, "skipped", "missed"),
        (10, 10, 1, "claimed", None),
    ]
    skipped = history_of(store)[0]
    assert (skipped.claimed_at, skipped.replica, skipped.task_id) == (clock.now, "r1", None)


def test_a_claim_of_skips_alone_counts_no_run(store: Store) -> None:
    create(store, entry(last_fire_time=START - 5, total_run_count=1))
    assert store.claim([claim_of(read(store), skips=(skip(10, 10),))], replica="r1") == [Won.YES]
    assert (read(store).total_run_count, read(store).last_fire_time) == (1, START - 5)
    assert read(store).cursor == START + 10


def test_a_claim_may_end_an_entry(store: Store) -> None:
    create(store, entry())
    store.claim([claim_of(read(store), 10, next_fire_time=None, due_at=None)], replica="r1")
    assert (read(store).next_fire_time, read(store).due_at) == (None, None)


def test_the_second_claim_of_one_cursor_is_lost_and_writes_nothing(world: World) -> None:
    one, other = world.connect(), world.connect()
    create(one, entry())
    claim = claim_of(read(one), 10, skips=(skip(5, 5),))
    assert one.claim([claim], replica="r1") == [Won.YES]
    before = history_of(one)
    late = claim._replace(new_cursor=START + 99, firings=(NewFiring(START + 11, "late"),))
    assert other.claim([late], replica="r2") == [Won.LOST]
    assert history_of(one) == before
    assert read(one).cursor == START + 10


def test_a_claim_of_an_edited_entry_is_lost(store: Store) -> None:
    create(store, entry())
    claim = claim_of(read(store), 10)
    store.save([edit(read(store), task="new")])
    assert store.claim([claim], replica="r1") == [Won.LOST]
    assert store.unsettled() == 0


def test_a_claim_of_a_retired_entry_is_lost(store: Store) -> None:
    create(store, entry(retired_at=START))
    assert store.claim([claim_of(read(store), 10)], replica="r1") == [Won.LOST]


def test_a_claim_of_an_unknown_entry_is_lost(store: Store) -> None:
    claim = claim_of(entry(revision=1), 10)
    assert store.claim([claim], replica="r1") == [Won.LOST]


def test_a_claim_with_a_cursor_ahead_of_the_store_is_lost(store: Store) -> None:
    create(store, entry())
    assert store.claim([claim_of(entry(cursor=START + 5, revision=1), 10)], replica="r1") == [Won.LOST]


def test_each_claim_of_a_batch_is_decided_on_its_own(store: Store) -> None:
    create(store, entry("a"), entry("b"), entry("c", retired_at=START), entry("d"))
    a, b, c, d = store.entries()
    fire(store, "b", 5)
    claims = [
        claim_of(a, 10),
        claim_of(b, 10),
        claim_of(c, 10),
        claim_of(entry("x"), 10),
        claim_of(d, 10, 20),
    ]
    expected = [Won.YES, Won.LOST, Won.LOST, Won.LOST, Won.YES]
    assert store.claim(claims, replica="r1") == expected
    assert [record.cursor - START for record in store.entries()] == [10, 5, 0, 20]


def test_two_claims_of_one_entry_in_a_batch_are_two_tries_in_their_order(store: Store) -> None:
    create(store, entry())
    first = claim_of(read(store), 10)
    again = first._replace(firings=(NewFiring(START + 9, "again"),))
    following = claim_of(entry(cursor=START + 10, revision=1), 20, 30)
    only_skips = claim_of(entry(cursor=START + 30, revision=1), skips=(skip(40, 40),))
    claims = [first, again, following, only_skips]
    assert store.claim(claims, replica="r1") == [Won.YES, Won.LOST, Won.YES, Won.YES]
    assert fire_times(history_of(store)) == [10, 20, 30, 40]
    record = read(store)
    assert (record.cursor, record.total_run_count, record.last_fire_time) == (START + 40, 3, START + 30)


def test_a_full_batch_is_claimed_at_once(store: Store) -> None:
    create(store, *(entry(f"n{number}") for number in range(MAX_BATCH)))
    claims = [claim_of(record, 10) for record in store.entries()]
    assert store.claim(claims, replica="r1") == [Won.YES] * MAX_BATCH
    settlements = [settled(record.name, 10) for record in store.entries()]
    claims = [claim_of(record, 20) for record in store.entries()]
    assert store.claim(claims, settlements, replica="r1") == [Won.YES] * MAX_BATCH
    assert store.unsettled() == MAX_BATCH


def test_a_claim_with_as_many_firings_as_are_allowed_is_won(store: Store) -> None:
    create(store, entry())
    fire(store, "a", *range(1, MAX_FIRINGS_PER_CLAIM + 1))
    assert store.unsettled() == MAX_FIRINGS_PER_CLAIM


def test_nothing_to_claim_is_nothing(store: Store) -> None:
    assert store.claim([], replica="r1") == []


@pytest.mark.parametrize(
    "claim",
    [
        claim_of(entry(revision=1), 10, 10),
        claim_of(entry(revision=1), 20, 10),
        claim_of(entry(revision=1), 0),
        claim_of(entry(revision=1), 10, new_cursor=START + 9),
        claim_of(entry(revision=1), new_cursor=START - 1),
        claim_of(entry(revision=1), *range(1, MAX_FIRINGS_PER_CLAIM + 2)),
    ],
    ids=["twice", "backwards", "at the cursor", "after the new cursor", "new cursor back", "too many"],
)
def test_a_claim_that_contradicts_itself_is_an_error(store: Store, claim: object) -> None:
    create(store, entry())
    with pytest.raises(ValueError, match=r"cursor|at most"):
        store.claim([claim], replica="r1")  # type: ignore[list-item]
    assert read(store).cursor == START


def test_batches_have_a_bound(store: Store) -> None:
    too_many = range(MAX_BATCH + 1)
    with pytest.raises(ValueError, match="at most"):
        store.claim([claim_of(entry(), 10) for _ in too_many], replica="r1")
    with pytest.raises(ValueError, match="at most"):
        store.claim([], [settled("a", 10) for _ in too_many], replica="r1")
    with pytest.raises(ValueError, match="at most"):
        store.settle([], [release("a", 10) for _ in too_many])
    with pytest.raises(ValueError, match="at most"):
        store.remove([f"n{number}" for number in too_many])


# --- settlements with claims, and claims that have to wait


def test_settlements_that_come_with_claims_are_written(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10)
    assert store.claim([], [settled("a", 10)], replica="r1") == []
    assert (store.unsettled(), read(store).last_published_at) == (0, START + 10 + SECOND)


def test_settlements_are_written_even_if_every_claim_is_lost(store: Store) -> None:
    create(store, entry())
    claim = claim_of(read(store), 10)
    fire(store, "a", 10)
    assert store.claim([claim], [settled("a", 10)], replica="r1") == [Won.LOST]
    assert store.unsettled() == 0


def test_a_claim_waits_while_another_replica_holds_an_earlier_firing(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    assert store.claim([claim_of(read(store), 20)], replica="r2") == [Won.QUEUED]
    assert read(store).cursor == START + 20
    store.settle([settled("a", 10)])
    (firing,) = take_over(store, "r2")
    assert (firing.fire_time, firing.attempt, firing.uncertain) == (START + 20, 2, False)


def test_a_claim_does_not_wait_for_the_claimers_own_firings(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    assert store.claim([claim_of(read(store), 20)], replica="r1") == [Won.YES]


def test_a_claim_waits_while_an_earlier_firing_is_released(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    store.settle([], [release("a", 10)])
    assert store.claim([claim_of(read(store), 20)], replica="r1") == [Won.QUEUED]
    assert fire_times(take_over(store, "r1")) == [10, 20]


def test_a_claim_that_settles_the_earlier_firing_need_not_wait(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    assert store.claim([claim_of(read(store), 20)], [settled("a", 10)], replica="r2") == [Won.YES]


def test_other_entries_firings_hold_nothing_up(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    fire(store, "a", 10, replica="r1")
    assert store.claim([claim_of(read(store, "b"), 10)], replica="r2") == [Won.YES]


def test_a_claim_of_skips_alone_never_waits(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    assert store.claim([claim_of(read(store), skips=(skip(20, 20),))], replica="r2") == [Won.YES]


def test_what_follows_a_waiting_claim_in_its_batch_waits_too(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    claims = [claim_of(read(store), 20), claim_of(entry(cursor=START + 20, revision=1), 30)]
    assert store.claim(claims, replica="r2") == [Won.QUEUED, Won.QUEUED]
    assert take_over(store, "r2") == []


def test_the_fire_time_that_was_published_last_is_remembered(store: Store) -> None:
    create(store, entry())
    publish(store, "a", 10)
    publish(store, "a", 20)
    fire(store, "a", 30)
    assert read(store).last_published_at == START + 20 + SECOND
    assert read(store).last_fire_time == START + 30
