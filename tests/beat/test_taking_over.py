"""What a crash leaves behind, and what several replicas make of one store."""

from __future__ import annotations

from itertools import pairwise

from qbeat.beat.decide import CATCH_UP_BATCH
from qbeat.schedules.base import SECOND
from tests.beat.world import START, World, entry, seconds

# --- crashes


def test_what_a_crash_left_unsettled_is_published_again_under_the_same_id(world: World) -> None:
    replica = world.start(entry("a", 60))
    world.run(59)
    replica.publisher.holding = True
    world.run(2)
    replica.crash()
    assert len(world.broker.submissions) == 1
    world.start(entry("a", 60))
    world.run(20)
    assert len(world.broker.submissions) == 2
    assert len(set(world.broker.task_ids())) == 1
    assert world.told("a") == [(60, "published")]


def test_what_a_crash_left_unsettled_is_not_published_again_where_the_entry_says_so(world: World) -> None:
    replica = world.start(entry("a", 60, on_uncertain="skip"))
    world.run(59)
    replica.publisher.holding = True
    world.run(2)
    replica.crash()
    world.start(entry("a", 60, on_uncertain="skip"))
    world.run(20)
    assert len(world.broker.submissions) == 1
    [record] = world.history("a")
    assert record.outcome == "failed"
    assert record.reason is not None
    assert record.reason.startswith("uncertain")


def test_a_later_firing_waits_for_an_earlier_one_that_a_crash_left_open(world: World) -> None:
    replica = world.start(entry("a", 5))
    world.run(4)
    replica.publisher.holding = True
    world.run(2)
    replica.crash()
    world.broker.submissions.clear()
    world.start(entry("a", 5))
    world.run(30)
    times = seconds(world.broker.fire_times("a"))
    assert times == sorted(set(times))
    assert times[0] == 5
    assert not world.unaccounted(entry("a", 5), START, START + 30 * SECOND)


def test_an_entry_that_catches_up_does_not_fill_the_outbox_behind_what_a_crash_left_open(
    world: World,
) -> None:
    every_second = entry("a", 1, catch_up="all")
    world.start(every_second).tick()
    world.replicas[-1].crash()
    world.clock.advance(5_000)
    dying = world.start(every_second)
    dying.publisher.holding = True
    dying.tick()
    dying.crash()
    left = world.store.unsettled()
    assert left
    world.broker.submissions.clear()
    world.start(every_second)
    most = left
    while world.store.unsettled():
        world.run(0.5)
        most = max(most, world.store.unsettled())
    assert most <= left + 12 * CATCH_UP_BATCH
    world.run(60)
    times = world.broker.fire_times("a")
    assert times == sorted(set(times))
    assert not world.unaccounted(every_second, START, world.now - SECOND)


# --- several replicas


def test_replicas_that_share_a_store_never_publish_twice(world: World) -> None:
    entries = [entry(f"e{number}", 1 + number % 7) for number in range(40)]
    for _ in range(3):
        world.start(*entries)
    world.run(120)
    assert len(world.broker.submissions) == len(set(world.broker.task_ids()))
    for one in entries:
        assert not world.unaccounted(one, START, world.now - SECOND)
    settled = {record.outcome for record in world.history() if record.fire_time < world.now - SECOND}
    assert settled == {"published"}


def test_each_of_two_replicas_does_its_share(world: World) -> None:
    entries = [entry(f"e{number}", 2) for number in range(100)]
    for _ in range(2):
        world.start(*entries)
    world.run(60)
    counts = [
        sum(record.replica == replica.record.id for record in world.history()) for replica in world.replicas
    ]
    assert min(counts) > 0.3 * sum(counts)


def test_what_a_crashed_replica_left_behind_is_fired_by_the_other(world: World) -> None:
    entries = [entry(f"e{number}", 2) for number in range(40)]
    first, _ = world.start(*entries), world.start(*entries)
    world.run(20)
    first.crash()
    world.run(30)
    for one in entries:
        assert not world.unaccounted(one, START, world.now - SECOND)
    late = [
        record.published_at - record.fire_time
        for record in world.history()
        if record.published_at is not None
    ]
    assert max(late) < 1.5 * SECOND


def test_what_a_crashed_replica_was_publishing_is_soon_taken_over_where_that_does_no_harm(
    world: World,
) -> None:
    world.broker.takes_each_once = True
    entries = [entry(f"e{number}", 60) for number in range(40)]
    first, _ = world.start(*entries), world.start(*entries)
    world.run(59.9)
    first.publisher.holding = True
    world.run(0.2)
    first.crash()
    left = world.store.unsettled()
    assert left
    world.run(0.9)
    assert not world.store.unsettled()


def test_a_replica_that_was_paused_does_no_harm_when_it_comes_back(world: World) -> None:
    entries = [entry(f"e{number}", 3) for number in range(20)]
    first, _ = world.start(*entries), world.start(*entries)
    world.run(10)
    first.alive = False
    world.run(60)
    first.alive = True
    world.run(30)
    assert len(world.broker.submissions) == len(set(world.broker.task_ids()))
    for one in entries:
        assert not world.unaccounted(one, START, world.now - SECOND)


def test_a_replica_joins_without_disturbing_the_grid(world: World) -> None:
    entries = [entry(f"e{number}", 4) for number in range(20)]
    world.start(*entries)
    world.run(10)
    world.start(*entries)
    world.run(30)
    for one in entries:
        times = world.broker.fire_times(one.name)
        assert {later - earlier for earlier, later in pairwise(times)} == {4 * SECOND}
