"""What fires while a replica still reads its entries."""

from __future__ import annotations

import pytest

from qbeat.beat.entries import Entry
from qbeat.schedules.base import SECOND
from tests.beat.world import START, World, entry, flaky, seconds


@pytest.fixture
def _loads_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qbeat.beat.scheduler.LOADED_AT_ONCE", 2)


def hourly(count: int) -> list[Entry]:
    return [entry(f"hourly-{number}", 3600) for number in range(count)]


@pytest.mark.usefixtures("_loads_slowly")
def test_an_entry_fires_while_later_ones_are_still_declared(world: World) -> None:
    replica = world.start(entry("due", 10, last_run_at=START - 11 * SECOND), *hourly(5))
    replica.tick()
    assert seconds(world.broker.fire_times("due")) == [-1]
    assert not replica.scheduler.has_loaded
    replica.load()
    assert len(replica.scheduler.progress()) == 6


@pytest.mark.usefixtures("_loads_slowly")
def test_what_is_overdue_at_a_start_fires_before_all_is_read(world: World) -> None:
    entries = [*hourly(50), entry("late", 10)]
    world.start(*entries).load()
    world.replicas[0].stop()
    world.clock.advance(15)
    replica = world.start(*entries)
    replica.tick()
    assert seconds(world.broker.fire_times("late")) == [10]
    assert replica.load() == 25
    world.run(10)
    assert seconds(world.broker.fire_times("late")) == [10, 20]
    assert len(replica.scheduler.progress()) == 51


@pytest.mark.usefixtures("_loads_slowly")
def test_a_replica_lives_while_it_loads(world: World) -> None:
    loading = world.start(*hourly(20))
    while not loading.scheduler.has_loaded:
        loading.tick()
        world.clock.advance(1.0)
        [seen] = world.store.replicas()
        assert seen.heartbeat_at >= world.now - 1.1 * SECOND


@pytest.mark.usefixtures("_loads_slowly")
def test_what_others_change_during_a_load_is_heeded(world: World) -> None:
    old, new = entry("a", 10), entry("a", 10, options={"queue": "new"})
    loading = world.start(old, *hourly(20))
    loading.tick()
    other = world.start(new, *hourly(20))
    other.load()
    world.run(12)
    assert loading.scheduler.has_loaded
    assert [submission.entry.options for submission in world.broker.submissions] == [{"queue": "new"}]


@pytest.mark.usefixtures("_loads_slowly")
def test_a_load_that_loses_the_store_begins_anew(world: World) -> None:
    replica = world.start(entry("a", 10), *hourly(20))
    replica.tick()
    flaky(world).away = True
    world.clock.advance(1.0)
    replica.tick()
    assert replica.store_was_away == 1
    flaky(world).away = False
    world.run(15)
    assert seconds(world.broker.fire_times("a")) == [10]
    assert len(replica.scheduler.progress()) == 21
