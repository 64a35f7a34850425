"""Heartbeats: on the store's clock, with the change number that says whether to read entries again."""

from __future__ import annotations

from dataclasses import replace

from qbeat.store.base import MAX_AHEAD, Store
from tests.store.making import Clock, World, create, edit, entry, publish, read, replica


def test_a_heartbeat_brings_back_the_stores_clock_and_the_live_replicas(store: Store, clock: Clock) -> None:
    pulse = store.heartbeat(replica("r1", heartbeat_at=99), live_within=10)
    assert (pulse.now, pulse.change) == (clock.now, 0)
    assert pulse.replicas == (replica("r1", heartbeat_at=clock.now),)
    assert store.now() == clock.now


def test_replicas_come_in_the_order_of_their_ids(world: World) -> None:
    one, other = world.connect(), world.connect()
    one.heartbeat(replica("r2"), live_within=10)
    pulse = other.heartbeat(replica("r1"), live_within=10)
    assert [record.id for record in pulse.replicas] == ["r1", "r2"]
    assert [record.id for record in one.replicas()] == ["r1", "r2"]


def test_a_later_heartbeat_tells_what_has_changed(store: Store, clock: Clock) -> None:
    store.heartbeat(replica("r1"), live_within=10)
    clock.now += 5
    changed = replica("r1", generation="new", details={"x": [None]}, pid=2)
    store.heartbeat(changed, live_within=10)
    assert store.replicas() == [replace(changed, heartbeat_at=clock.now)]


def test_a_silent_replica_is_forgotten_by_the_next_heartbeat(store: Store, clock: Clock) -> None:
    store.heartbeat(replica("r1"), live_within=10)
    clock.now += 10
    assert len(store.heartbeat(replica("r2"), live_within=10).replicas) == 2
    clock.now += 1
    assert [record.id for record in store.replicas()] == ["r1", "r2"]
    assert [record.id for record in store.heartbeat(replica("r2"), live_within=10).replicas] == ["r2"]
    assert [record.id for record in store.replicas()] == ["r2"]


def test_a_replica_that_went_silent_before_the_clock_went_back_is_forgotten(
    store: Store, clock: Clock
) -> None:
    store.heartbeat(replica("r1"), live_within=10)
    clock.now -= MAX_AHEAD + 1
    store.heartbeat(replica("r2"), live_within=10)
    assert [record.heartbeat_at for record in store.replicas()] == [clock.now, clock.now]
    clock.now += 11
    assert [record.id for record in store.heartbeat(replica("r2"), live_within=10).replicas] == ["r2"]


def test_a_heartbeat_of_a_clock_that_was_a_little_ahead_stands(store: Store, clock: Clock) -> None:
    store.heartbeat(replica("r1"), live_within=10)
    before = clock.now
    clock.now -= MAX_AHEAD
    store.heartbeat(replica("r2"), live_within=10)
    assert [record.heartbeat_at for record in store.replicas()] == [before, clock.now]


def test_a_replica_that_left_is_forgotten(store: Store) -> None:
    store.heartbeat(replica("r1"), live_within=10)
    store.heartbeat(replica("r2"), live_within=10)
    store.leave("r1")
    assert [record.id for record in store.replicas()] == ["r2"]


def test_the_change_number_grows_with_what_is_written_and_only_then(store: Store) -> None:
    def change() -> int:
        return store.heartbeat(replica(), live_within=10).change

    numbers = [change()]
    create(store, entry("a"), entry("b"))
    numbers.append(change())
    stale = edit(read(store, "a"), task="stale")
    store.save([edit(read(store, "a"), task="new")])
    numbers.append(change())
    store.remove(["b"])
    numbers.append(change())
    assert numbers == sorted(set(numbers))
    store.save([stale])
    store.remove(["b"])
    publish(store, "a", 10)
    assert change() == numbers[-1]


def test_the_change_number_is_that_of_the_entry_written_last(store: Store) -> None:
    create(store, entry("a"))
    store.remove(["a"])
    create(store, entry("b"))
    assert store.heartbeat(replica(), live_within=10).change == read(store, "b").change
