"""The outbox: the first settlement stands, what is released or stale is taken over in order."""

from __future__ import annotations

from typing import Any

import pytest

from qbeat.store.base import MAX_AHEAD, Store
from qbeat.store.records import AUTO, Firing
from tests.store.making import (
    SECOND,
    START,
    Clock,
    World,
    create,
    entry,
    fire,
    fire_times,
    history_of,
    read,
    release,
    replica,
    settled,
    take_over,
    task_id,
    uid_of,
)


@pytest.mark.parametrize(
    ("outcome", "reason", "published_at"),
    [("published", None, START + 11), ("skipped", "overlap", None), ("failed", "no such task: 'ä'", None)],
)
def test_a_settled_firing_leaves_the_outbox_for_the_history(
    store: Store, outcome: Any, reason: str | None, published_at: int | None
) -> None:
    create(store, entry())
    fire(store, "a", 10)
    store.settle([settled("a", 10, outcome, reason=reason, published_at=published_at)])
    assert store.unsettled() == 0
    (record,) = history_of(store)
    assert (record.outcome, record.reason, record.published_at) == (outcome, reason, published_at)
    assert (record.task_id, record.replica, record.attempt) == (task_id("a", START + 10), "r1", 1)
    assert (record.count, record.fire_time, record.last_fire_time) == (1, START + 10, START + 10)


def test_the_text_of_an_error_may_be_anything(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, 20)
    said = "line\nline \0 \ud800 %s {} ' \" \\ 🐈 " + "x" * 100_000
    store.settle([settled("a", 10, "failed", reason=said)], [release("a", 20, error=said)])
    reasons = [record.reason or "" for record in history_of(store)]
    assert [reason.split()[:2] for reason in reasons] == [["line", "line"]] * 2
    assert [reason.partition("%")[2] for reason in reasons] == [said.partition("%")[2]] * 2


def test_the_first_settlement_stands(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10)
    store.settle([settled("a", 10, "failed", reason="first"), settled("a", 10)])
    store.settle([settled("a", 10)])
    assert [(record.outcome, record.reason) for record in history_of(store)] == [("failed", "first")]


def test_settlements_of_unknown_firings_do_nothing(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10)
    store.settle(
        [settled("a", 11), settled("x", 10), settled("a", 10, lane="manual:1")],
        [release("a", 11), release("x", 10)],
    )
    assert [record.outcome for record in history_of(store)] == ["claimed"]
    assert take_over(store) == []


def test_a_settlement_of_an_attempt_that_was_taken_over_does_nothing(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    clock.now += 11
    take_over(store, "r2")
    store.settle([settled("a", 10, "failed", attempt=1)])
    assert store.unsettled() == 1
    store.settle([settled("a", 10, attempt=2)])
    assert [(record.outcome, record.attempt) for record in history_of(store)] == [("published", 2)]


def test_a_settlement_of_any_attempt_counts_after_a_takeover(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    clock.now += 11
    take_over(store, "r2")
    store.settle([settled("a", 10)])
    assert [(record.outcome, record.replica) for record in history_of(store)] == [("published", "r2")]


def test_in_one_batch_the_settlement_of_the_right_attempt_is_found(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10)
    wrong, right = (
        settled("a", 10, "failed", attempt=3),
        settled("a", 10, "skipped", attempt=1, reason="overlap"),
    )
    store.settle([wrong, right, settled("a", 10)])
    assert [(record.outcome, record.reason) for record in history_of(store)] == [("skipped", "overlap")]


def test_nothing_to_settle_is_nothing(store: Store) -> None:
    store.settle([])
    assert store.unsettled() == 0


# --- release


def test_a_released_firing_is_taken_over_once_its_time_has_come(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    store.settle([], [release("a", 10, not_before=clock.now + 5, error="broker: connection refused")])
    assert [(one.outcome, one.reason) for one in history_of(store)] == [
        ("claimed", "broker: connection refused")
    ]
    clock.now += 4
    assert take_over(store, "r2") == []
    clock.now += 1
    taken = Firing(uid_of("a"), "a", START + 10, AUTO, task_id("a", START + 10), attempt=2, uncertain=False)
    assert take_over(store, "r2") == [taken]
    assert [(one.replica, one.reason) for one in history_of(store)] == [("r2", None)]


def test_its_own_former_holder_may_take_a_released_firing(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    store.settle([], [release("a", 10)])
    assert fire_times(take_over(store, "r1")) == [10]


def test_a_firing_released_as_uncertain_stays_so(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    store.settle([], [release("a", 10, uncertain=True)])
    assert [firing.uncertain for firing in take_over(store, "r2")] == [True]
    store.settle([], [release("a", 10, attempt=2, uncertain=False)])
    assert [(firing.uncertain, firing.attempt) for firing in take_over(store, "r2")] == [(True, 3)]


def test_a_release_of_an_attempt_that_was_taken_over_does_nothing(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    clock.now += 11
    take_over(store, "r2")
    store.settle([], [release("a", 10, attempt=1)])
    assert take_over(store, "r3") == []


def test_a_settled_firing_cannot_be_released(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10)
    store.settle([settled("a", 10)], [release("a", 10)])
    assert store.unsettled() == 0
    assert take_over(store) == []


# --- take over


def test_a_firing_is_taken_over_only_once_it_is_stale(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    clock.now += 10
    assert take_over(store, "r2", stale_after=10) == []
    clock.now += 1
    (firing,) = take_over(store, "r2", stale_after=10)
    assert (firing.fire_time, firing.attempt, firing.uncertain) == (START + 10, 2, True)
    assert [(one.replica, one.attempt, one.outcome) for one in history_of(store)] == [("r2", 2, "claimed")]


def test_a_taken_over_firing_is_fresh_again(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    clock.now += 11
    take_over(store, "r2")
    clock.now += 10
    assert take_over(store, "r3") == []
    clock.now += 1
    assert [firing.attempt for firing in take_over(store, "r3")] == [3]


def test_a_replica_takes_over_its_own_stale_firing(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    clock.now += 11
    assert [(one.attempt, one.uncertain) for one in take_over(store, "r1")] == [(2, True)]


def test_a_released_firing_that_had_been_stale_stays_uncertain(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    clock.now += 11
    take_over(store, "r2")
    store.settle([], [release("a", 10, attempt=2)])
    assert [firing.uncertain for firing in take_over(store, "r2")] == [True]


def test_the_oldest_firings_are_taken_first(store: Store, clock: Clock) -> None:
    create(store, entry("a"), entry("b"))
    fire(store, "a", 20, 40)
    fire(store, "b", 10, 30)
    clock.now += 11
    assert fire_times(take_over(store, limit=3)) == [10, 20, 30]
    assert take_over(store, limit=3) == []
    store.settle([settled("a", 20)])
    assert fire_times(take_over(store, limit=3)) == [40]


def test_a_firing_is_left_alone_while_an_earlier_one_is_held(store: Store, clock: Clock) -> None:
    create(store, entry("a"), entry("b"))
    fire(store, "a", 10, 20, 30, replica="r1")
    fire(store, "b", 40, replica="r1")
    store.settle([], [release("a", 20), release("a", 30), release("b", 40)])
    assert fire_times(take_over(store, "r2")) == [40]
    store.settle([settled("b", 40)])
    clock.now += 11
    assert fire_times(take_over(store, "r2")) == [10, 20, 30]


def test_a_firing_is_left_alone_while_an_earlier_one_backs_off(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, 20, replica="r1")
    store.settle([], [release("a", 10, not_before=clock.now + 5), release("a", 20)])
    assert take_over(store) == []
    clock.now += 5
    assert fire_times(take_over(store)) == [10, 20]


def test_a_firing_is_left_alone_while_an_earlier_one_is_the_takers_own(store: Store) -> None:
    create(store, entry())
    fire(store, "a", 10, 20, replica="r1")
    store.settle([], [release("a", 20)])
    assert take_over(store, "r1") == []
    store.settle([settled("a", 10)])
    assert fire_times(take_over(store, "r1")) == [20]


def test_what_is_left_alone_does_not_count_against_the_limit(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    fire(store, "a", 10, 20, replica="r1")
    fire(store, "b", 30, replica="r1")
    store.settle([], [release("a", 20), release("b", 30)])
    assert fire_times(take_over(store, limit=1)) == [30]


def test_a_firing_is_taken_over_by_one_replica_only(world: World) -> None:
    one, other = world.connect(), world.connect()
    create(one, entry())
    fire(one, "a", 10, replica="r1")
    one.settle([], [release("a", 10)])
    assert fire_times(take_over(one, "r2")) == [10]
    assert take_over(other, "r3") == []


# --- a clock that goes back


def test_a_back_off_from_before_the_clock_went_back_is_over(store: Store, clock: Clock) -> None:
    create(store, entry("a"), entry("b"))
    fire(store, "a", 10)
    fire(store, "b", 20)
    store.settle([], [release("a", 10, not_before=clock.now + 5), release("b", 20, not_before=clock.now + 6)])
    clock.now += 5 - MAX_AHEAD
    assert fire_times(take_over(store)) == [20]
    clock.now -= 1
    assert fire_times(take_over(store)) == [10]


def test_a_holder_from_before_the_clock_went_back_has_its_time_anew(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    clock.now -= 3 * 3600 * SECOND
    assert take_over(store, "r2") == []
    clock.now += 10
    assert take_over(store, "r2") == []
    clock.now += 1
    assert [(one.attempt, one.uncertain) for one in take_over(store, "r2")] == [(2, True)]


def test_a_clock_that_is_a_little_behind_gives_no_holder_its_time_anew(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    clock.now -= MAX_AHEAD
    assert take_over(store, "r2") == []
    clock.now += 11
    assert take_over(store, "r2") == []
    clock.now += MAX_AHEAD
    assert fire_times(take_over(store, "r2")) == [10]


def test_a_holder_that_has_its_time_anew_can_still_settle(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    clock.now -= 2 * MAX_AHEAD
    take_over(store, "r2")
    store.settle([settled("a", 10, attempt=1)])
    assert [(one.outcome, one.replica, one.attempt) for one in history_of(store)] == [("published", "r1", 1)]


def test_what_lies_behind_a_firing_whose_holder_has_its_time_anew_waits(store: Store, clock: Clock) -> None:
    create(store, entry("a"), entry("b"))
    fire(store, "a", 10, 20, 30, replica="r1")
    fire(store, "b", 40, replica="r1")
    store.settle([], [release("a", 20), release("a", 30, not_before=clock.now + 5), release("b", 40)])
    clock.now -= 2 * MAX_AHEAD
    assert fire_times(take_over(store, "r2")) == [40]
    store.settle([settled("b", 40)])
    clock.now += 11
    assert fire_times(take_over(store, "r2")) == [10, 20, 30]


# --- leaving


def test_a_replica_that_leaves_releases_what_it_holds_as_uncertain(store: Store) -> None:
    create(store, entry("a"), entry("b"))
    store.heartbeat(replica("r1"), live_within=SECOND)
    fire(store, "a", 10, replica="r1")
    fire(store, "b", 10, replica="r2")
    store.leave("r1")
    assert store.replicas() == []
    assert [(one.entry, one.uncertain, one.attempt) for one in take_over(store, "r3")] == [("a", True, 2)]


def test_leaving_does_not_shorten_a_back_off(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    store.settle([], [release("a", 10, not_before=clock.now + 5)])
    store.leave("r1")
    assert take_over(store) == []
    clock.now += 5
    assert [firing.uncertain for firing in take_over(store)] == [False]


def test_a_replica_that_never_came_may_leave(store: Store) -> None:
    store.leave("nobody")
    assert store.replicas() == []


def test_a_taken_over_firing_counts_no_second_run(store: Store, clock: Clock) -> None:
    create(store, entry())
    fire(store, "a", 10)
    clock.now += 11
    take_over(store)
    assert read(store).total_run_count == 1
