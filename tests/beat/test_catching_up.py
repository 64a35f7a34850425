"""What becomes of the fire times of a downtime."""

from __future__ import annotations

from datetime import timedelta

import pytest

from qbeat.beat.firing_log import SKIPS_TOLD
from qbeat.schedules import Interval, Schedule
from tests.beat.world import World, entry, seconds


def test_a_restart_keeps_the_grid(world: World) -> None:
    first = world.start(entry("a", 60))
    world.run(95)
    first.stop()
    world.run(10)
    world.start(entry("a", 60))
    world.run(100)
    assert seconds(world.broker.fire_times("a")) == [60, 120, 180]


def test_a_stop_settles_what_was_published(world: World) -> None:
    replica = world.start(entry("a", 10))
    world.run(9.9)
    world.clock.advance(0.2)
    replica.tick()
    replica.stop()
    assert [record.outcome for record in world.history("a")] == ["published"]
    assert world.store.replicas() == []


def test_after_a_downtime_the_newest_fire_time_is_fired_and_the_others_are_coalesced(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.start(entry("a", 60)).stop()
    world.start(entry("a", 60)).tick()
    world.replicas[-1].crash()
    world.clock.advance(310)
    world.start(entry("a", 60))
    world.run(60)
    assert world.told("a") == [(60, "coalesced"), (300, "published"), (360, "published")]
    assert world.history("a")[0].count == 4
    assert "a: 4 fire times from" in caplog.text
    assert "are coalesced." in caplog.text


def test_an_outage_is_told_in_a_few_lines_however_many_entries_are_late(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.start(*(entry(f"e{number}", 60) for number in range(50)))
    world.run(1)
    world.replicas[-1].stop()
    world.clock.advance(200)
    world.start(*(entry(f"e{number}", 60) for number in range(50)))
    world.run(1)
    assert caplog.text.count("are coalesced.") == SKIPS_TOLD
    assert f"So it is with {50 - SKIPS_TOLD} more entries" in caplog.text
    assert len(world.broker.submissions) == 50


def test_after_a_downtime_every_fire_time_is_fired_in_order_where_the_entry_says_so(world: World) -> None:
    world.start(entry("a", 10, catch_up="all")).tick()
    world.replicas[-1].crash()
    world.clock.advance(3605)
    world.start(entry("a", 10, catch_up="all"))
    world.run(6)
    assert seconds(world.broker.fire_times("a")) == [10 * k for k in range(1, 362)]


def test_after_a_downtime_nothing_is_fired_late_where_the_entry_says_so(world: World) -> None:
    world.start(entry("a", 60, catch_up="skip")).tick()
    world.replicas[-1].crash()
    world.clock.advance(320)
    world.start(entry("a", 60, catch_up="skip"))
    world.run(60)
    assert world.told("a") == [(60, "missed"), (360, "published")]


def test_a_window_says_how_late_is_too_late(world: World) -> None:
    window = timedelta(minutes=2)
    world.start(entry("a", 60, catch_up="all", catch_up_window=window)).tick()
    world.replicas[-1].crash()
    world.clock.advance(310)
    world.start(entry("a", 60, catch_up="all", catch_up_window=window))
    world.run(1)
    assert world.told("a") == [(60, "missed"), (240, "published"), (300, "published")]


class Ponderous(Schedule):
    """Takes a while for each answer."""

    def __init__(self, world: World, every: float) -> None:
        self._clock = world.clock
        self._quick = Interval(every)

    def next_us(self, after: int, anchor: int = 0) -> int | None:
        self._clock.advance(0.002)
        return self._quick.next_us(after, anchor)

    def describe(self) -> str:
        return f"{self._quick.describe()}, after some thought"

    def to_data(self) -> dict[str, object]:
        return {"kind": "custom", "text": self.describe()}


def test_schedules_that_think_for_long_do_not_keep_a_replica_from_its_other_work(world: World) -> None:
    entries = [entry(f"e{number}", Ponderous(world, 10 + number)) for number in range(40)]
    world.start(*entries).load()
    world.replicas[-1].crash()
    world.clock.advance(3600)
    replica = world.start(*entries)
    replica.load()
    before = world.clock.monotonic()
    replica.tick()
    assert 0 < len(world.history(None, "claimed", "published")) < len(entries)
    assert world.clock.monotonic() - before < 3
    world.run(100)
    assert {record.entry for record in world.history(None, "published")} == {one.name for one in entries}
