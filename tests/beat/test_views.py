"""What the commands show of the store's records."""

from __future__ import annotations

from qbeat.beat.views import upcoming
from tests.beat.world import World, entry, seconds


def test_no_more_fire_times_are_announced_than_an_entry_has_runs_left(world: World) -> None:
    world.start(entry("a", 10, max_runs=3), entry("b", 25))
    world.run(15)
    found = upcoming([world.record("a"), world.record("b")], world.now, 4)
    assert [one.entry for one in found] == ["a", "b", "a", "b"]
    assert seconds([one.fire_time for one in found]) == [20, 25, 30, 50]


def test_nothing_is_announced_of_an_entry_that_has_used_up_its_runs(world: World) -> None:
    world.start(entry("a", 10, max_runs=1))
    world.run(15)
    assert upcoming([world.record("a")], world.now, 4) == []
