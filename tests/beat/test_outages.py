"""The broker or the store is away for a while."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest

from qbeat.beat.dispatcher import MAX_IN_FLIGHT
from qbeat.schedules.base import SECOND
from qbeat.store.memory import MemoryStore
from qbeat.store.records import Claim, Won
from tests.beat.world import START, World, entry, flaky, seconds

# --- the broker


def test_while_the_broker_is_away_nothing_is_claimed_but_what_it_refused(world: World) -> None:
    world.start(entry("a", 10))
    world.run(9)
    world.broker.up = False
    world.run(50)
    assert world.told("a") == [(10, "claimed")]


def test_when_the_broker_is_back_the_outbox_goes_out_first_under_the_same_id(world: World) -> None:
    replica = world.start(entry("a", 10))
    world.run(9)
    world.broker.up = False
    world.run(50)
    refused = replica.publisher.submissions[0].firing.task_id
    world.broker.up = True
    world.run(10.5)
    assert world.told("a") == [(10, "published"), (20, "coalesced"), (50, "published"), (60, "published")]
    assert world.broker.task_ids()[0] == refused
    times = world.broker.fire_times("a")
    assert times == sorted(times)


def test_after_an_outage_every_fire_time_goes_out_in_order_where_the_entry_says_so(world: World) -> None:
    world.start(entry("a", 2, catch_up="all"))
    world.run(9)
    world.broker.up = False
    world.run(120)
    world.broker.up = True
    world.run(10)
    assert seconds(world.broker.fire_times("a")) == [2.0 * k for k in range(1, 70)]


@pytest.mark.parametrize(
    "policy", [{"catch_up": "skip"}, {"catch_up": "all", "catch_up_window": timedelta(minutes=10)}]
)
def test_what_was_claimed_before_an_outage_is_not_fired_later_than_the_entry_lets_it(
    world: World, policy: dict[str, Any]
) -> None:
    world.start(entry("nightly", 3600, **policy), entry("patient", 3600))
    world.run(3599)
    world.broker.up = False
    world.run(1800)
    world.broker.up = True
    world.run(10)
    assert world.told("nightly") == [(3600, "missed")]
    assert world.told("patient") == [(3600, "published")]


def test_a_broker_that_is_away_makes_no_busy_loop(world: World) -> None:
    world.start(entry("a", 1))
    world.run(5)
    world.broker.up = False
    assert world.run(300) < 300 * 3


def test_firings_under_way_are_bounded_and_the_rest_stays_unclaimed(world: World) -> None:
    count = 2 * MAX_IN_FLIGHT
    replica = world.start(*(entry(f"e{number}", 10) for number in range(count)))
    world.run(9)
    replica.publisher.holding = True
    world.run(3)
    assert replica.publisher.in_flight == MAX_IN_FLIGHT
    assert world.store.unsettled() == MAX_IN_FLIGHT
    replica.publisher.holding = False
    world.run(1)
    assert len(set(world.broker.task_ids())) == count
    assert len(world.broker.submissions) == count


def test_catching_up_on_everything_stays_within_the_bounds(world: World) -> None:
    entries = [entry(f"e{number}", 1, catch_up="all") for number in range(30)]
    world.start(*entries).tick()
    world.replicas[-1].crash()
    world.clock.advance(400)
    replica = world.start(*entries)
    replica.publisher.holding = True
    world.run(2)
    assert replica.publisher.in_flight == MAX_IN_FLIGHT
    replica.publisher.holding = False
    world.run(20)
    for one in entries:
        assert not world.unaccounted(one, START, world.now - SECOND)
    assert len(world.broker.submissions) == len(set(world.broker.task_ids()))


def test_an_entry_that_another_replica_has_locked_makes_no_busy_loop(world: World) -> None:
    world.start(entry("locked", 5), entry("free", 5))
    world.run(4)
    locked_uid = world.record("locked").uid
    claim_one = MemoryStore._claim_one

    def with_a_lock(store: MemoryStore, claim: Claim, replica: str) -> Won:
        return Won.LOST if claim.uid == locked_uid else claim_one(store, claim, replica)

    with patch.object(MemoryStore, "_claim_one", with_a_lock):
        assert world.run(3) < 60
    assert seconds(world.broker.fire_times("free")) == [5]
    world.run(1)
    assert seconds(world.broker.fire_times("locked")) == [5]


# --- the store


def test_a_store_that_was_away_loses_nothing(world: World) -> None:
    world.start(entry("a", 10))
    world.run(15)
    flaky(world).away = True
    world.run(30)
    assert world.replicas[0].store_was_away
    flaky(world).away = False
    world.run(20.5)
    assert not world.unaccounted(entry("a", 10), START, world.now)
    assert world.told("a") == [
        (10, "published"), (20, "coalesced"), (40, "published"), (50, "published"), (60, "published"),
    ]  # fmt: skip


def test_a_store_that_is_away_at_the_start_is_waited_for(world: World) -> None:
    flaky(world).away = True
    world.start(entry("a", 10))
    world.run(15)
    flaky(world).away = False
    world.run(15)
    assert len(world.broker.submissions) == 1


def test_a_store_that_goes_away_between_publish_and_settle_gets_the_settlement_later(world: World) -> None:
    replica = world.start(entry("a", 10))
    world.run(9)
    replica.publisher.holding = True
    world.run(1.5)
    flaky(world).away = True
    replica.publisher.holding = False
    world.run(2)
    flaky(world).away = False
    world.run(1)
    assert world.told("a") == [(10, "published")]
    assert len(world.broker.submissions) == 1


def test_a_claim_whose_answer_is_lost_is_published_later_under_its_id(world: World) -> None:
    world.start(entry("a", 60))
    world.run(59)
    flaky(world).answers_lost = True
    world.run(2)
    flaky(world).answers_lost = False
    assert world.broker.submissions == []
    assert world.told("a") == [(60, "claimed")]
    world.run(15)
    assert world.told("a") == [(60, "published")]
    assert len(world.broker.submissions) == 1


@pytest.mark.parametrize("writes_since", [0, 3])
def test_after_a_store_was_put_back_to_a_backup_everything_fires_on(world: World, writes_since: int) -> None:
    first = [entry("old", 10)]
    world.start(*first)
    world.run(5)
    backup = deepcopy(
        {name: kept for name, kept in vars(world.store).items() if isinstance(kept, (dict, list, int))}
    )
    world.start(*first, entry("new", 10))
    world.run(30)
    vars(world.store).update(backup)
    for number in range(writes_since):  # by others, who bring the count of changes up to where it was
        world.start(*first, entry(f"other-{number}", 3600)).load()
    world.run(40)
    assert len([time for time in seconds(world.broker.fire_times("new")) if time > 36]) > 1
