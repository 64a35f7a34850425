"""The wall clock jumps."""

from __future__ import annotations

import pytest

from qbeat.schedules import Crontab
from qbeat.schedules.base import SECOND
from qbeat.schedules.zones import DAY, HOUR
from tests.beat.world import START, World, entry


@pytest.mark.parametrize("jump", [-DAY, -HOUR, -30 * SECOND])
def test_a_clock_that_jumps_back_fires_nothing_again(world: World, jump: int) -> None:
    world.start(entry("a", 10), entry("c", Crontab(timezone="UTC")))
    world.run(100)
    fired = list(world.broker.task_ids())
    world.clock.jump(world.now + jump)
    world.run(-jump / SECOND - 5 if jump > -DAY else 3600)
    assert world.broker.task_ids() == fired
    if jump > -DAY:
        world.run(30)
        assert len(world.broker.submissions) > len(fired)
    assert len(set(world.broker.task_ids())) == len(world.broker.submissions)


def test_a_clock_that_jumps_ahead_counts_as_a_downtime(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.start(entry("a", 10))
    world.run(35)
    world.clock.jump(world.now + 60 * SECOND)
    world.run(10)
    assert not world.unaccounted(entry("a", 10), START, world.now - SECOND)
    assert (40, "coalesced") in world.told("a")
    assert "clock jumped by +60.0 s" in caplog.text


def test_a_clock_that_jumps_back_and_forth_fires_each_time_once(world: World) -> None:
    world.start(entry("a", 10), entry("b", 7))
    for jump in (50, -45, 200, -100, -90, 3600, -3600, 5):
        world.run(20)
        world.clock.jump(world.now + jump * SECOND)
    world.run(30)
    assert len(set(world.broker.task_ids())) == len(world.broker.submissions)
    for name in ("a", "b"):
        times = [record.fire_time for record in world.history(name)]
        assert len(times) == len(set(times))
