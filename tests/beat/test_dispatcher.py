"""The outbox between replicas that declare different entries: each publishes what it has the definition of."""

from __future__ import annotations

import pytest

from qbeat.beat.firing_ids import task_id_of
from qbeat.schedules.base import SECOND
from qbeat.store.records import AUTO, Claim, NewFiring
from tests.beat.world import START, World, entry

LIMIT = 2


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which one look into the outbox finds only a few firings."""
    monkeypatch.setattr("qbeat.beat.dispatcher.MAX_BATCH", LIMIT)
    return World()


def leave_in_outbox(world: World, name: str, times: range) -> list[int]:
    """Have a replica that ends before it publishes claim the firings of so many seconds after the start."""
    record = world.record(name)
    fire_times = [START + second * SECOND for second in times]
    firings = tuple(NewFiring(at, task_id_of(record.uid, at, AUTO)) for at in fire_times)
    upcoming = fire_times[-1] + SECOND
    claim = Claim(record.uid, record.cursor, record.revision, fire_times[-1], upcoming, upcoming, firings)
    world.store.claim([claim], replica="short-lived")
    world.store.leave("short-lived")
    return fire_times


def test_a_backlog_goes_out_though_another_replicas_firings_lie_in_between(world: World) -> None:
    world.start(entry("a", 1))
    other = world.start(entry("b", 1))
    world.run(0.1)
    other.crash()
    ours = leave_in_outbox(world, "a", range(1, 6))
    leave_in_outbox(world, "b", range(1, 6))
    world.run(2)
    assert world.broker.fire_times("a")[: len(ours)] == ours


def test_what_waits_for_firings_under_way_goes_out_with_their_end(world: World) -> None:
    replica = world.start(entry("a", 1))
    other = world.start(entry("b", 1))
    world.run(0.1)
    other.crash()
    ours = leave_in_outbox(world, "a", range(1, 6))
    leave_in_outbox(world, "b", range(1, 6))
    replica.publisher.holding = True
    world.run(1.5)
    assert 0 < len(world.broker.fire_times("a")) < len(ours)
    replica.publisher.holding = False
    world.run(0.2)
    assert world.broker.fire_times("a")[: len(ours)] == ours


def test_what_another_replica_has_the_definition_of_is_left_to_it(world: World) -> None:
    world.start(entry("a", 60))
    other = world.start(entry("b", 1))
    world.run(0.1)
    theirs = leave_in_outbox(world, "b", range(1, 6))
    world.run(4)
    assert world.broker.fire_times("b")[: len(theirs)] == theirs
    assert {record.replica for record in world.history("b", "published")} == {other.record.id}


def test_replicas_do_not_spin_while_nobody_can_publish_what_is_in_the_outbox(world: World) -> None:
    world.start(entry("a", 60))
    other = world.start(entry("b", 60))
    world.run(0.1)
    other.crash()
    leave_in_outbox(world, "b", range(1, 6))
    assert world.run(2) < 40
