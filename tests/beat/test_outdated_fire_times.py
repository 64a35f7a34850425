"""Next fire times that the store keeps, though the rule that found them says something else today."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from celery.schedules import BaseSchedule

from qbeat.beat.app.celery_schedules import compile_schedule
from qbeat.beat.entries import Entry
from qbeat.schedules.base import SECOND, Schedule
from tests.beat.world import START, World, changed, entry, seconds


class Tabled(Schedule):
    """Fires by a table that is no part of its plain data, as a tz database is none."""

    def __init__(self, table: Iterable[float]) -> None:
        self._times = [START + round(at * SECOND) for at in table]

    def next_us(self, after: int, anchor: int = 0) -> int | None:
        return min((at for at in self._times if at > after), default=None)

    def describe(self) -> str:
        return "by the table"

    def to_data(self) -> dict[str, Any]:
        return {"kind": "tabled"}


class Waiting(BaseSchedule):
    """A user's own schedule: due so long after it has run, or never."""

    wait: timedelta | None = None

    def is_due(self, last_run_at: datetime) -> tuple[bool, float | None]:
        if self.wait is None:
            return False, None
        left = last_run_at + self.wait - self.now()
        return left <= timedelta(0), max(0.001, left.total_seconds())


def tabled(*table: float) -> Entry:
    """The same entry, whatever the table says: seconds since the world began."""
    return entry("a", Tabled(table))


def waiting(monkeypatch: pytest.MonkeyPatch, wait: timedelta | None) -> Entry:
    """The same entry, however long it waits from now on."""
    monkeypatch.setattr(Waiting, "wait", wait)
    return Entry("a", "tasks.a", compile_schedule(Waiting(), name="a", timezone="UTC"), "UTC")


def deployed(world: World, one: Entry) -> None:
    """Another version of the process takes the place of the one that runs."""
    world.replicas[-1].stop()
    world.start(one)


def fired(world: World) -> list[float]:
    return seconds(world.broker.fire_times("a"))


def test_a_start_finds_anew_what_a_table_outside_of_the_schedule_has_moved(world: World) -> None:
    world.start(tabled(100, 200))
    world.run(10)
    deployed(world, tabled(50, 180))
    world.run(200)
    assert fired(world) == [50, 180]
    assert world.told("a") == [(50, "published"), (180, "published")]


def test_a_start_that_changes_other_entries_too_finds_anew_what_was_moved(world: World) -> None:
    world.start(tabled(100))
    world.run(10)
    one = tabled(150)
    world.replicas[-1].stop()
    world.start(one, entry("b", 3600))
    world.run(200)
    assert fired(world) == [150]


@pytest.mark.parametrize("change", [{}, {"args": (1,)}])
def test_a_fire_time_that_comes_to_lie_before_the_start_does_not_fire_because_of_it(
    world: World, change: dict[str, object]
) -> None:
    world.start(tabled(10, 100))
    world.run(30)
    deployed(world, changed(tabled(20, 110), **change))
    world.run(200)
    assert fired(world) == [10, 110]


def test_a_fire_time_missed_while_nothing_ran_is_caught_up_though_it_has_moved(world: World) -> None:
    world.start(tabled(10, 100))
    world.run(5)
    world.replicas[-1].stop()
    world.clock.advance(55)
    world.start(tabled(12, 100))
    world.run(100)
    assert fired(world) == [12, 100]


def test_a_start_that_finds_the_same_writes_nothing(world: World) -> None:
    one = tabled(10, 100)
    world.start(one)
    world.run(30)
    before = world.record("a").revision
    deployed(world, one)
    world.run(1)
    assert world.record("a").revision == before


def test_replicas_that_find_different_times_write_them_once_each(world: World) -> None:
    world.start(tabled(3600))
    world.run(10)
    world.start(tabled(3000))
    world.run(1000)
    record = world.record("a")
    assert (record.revision, record.next_fire_time) == (2, START + 3000 * SECOND)


def test_what_is_found_anew_is_told_in_one_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="qbeat.registry")
    world.start(tabled(100))
    world.run(10)
    deployed(world, tabled(50))
    world.run(1)
    [line] = [
        record.getMessage() for record in caplog.records if "2026-03-27T12:00:50.25" in record.getMessage()
    ]
    assert "'a'" in line


def test_a_mended_schedule_of_the_users_own_counts_from_its_deploy_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start(waiting(monkeypatch, timedelta(days=365)))
    world.run(100)
    deployed(world, waiting(monkeypatch, timedelta(seconds=36)))
    world.run(80)
    assert fired(world) == [136, 172]


def test_a_schedule_of_the_users_own_that_was_never_due_fires_once_it_is_mended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start(waiting(monkeypatch, None))
    world.run(100)
    deployed(world, waiting(monkeypatch, timedelta(seconds=36)))
    world.run(80)
    assert fired(world) == [136, 172]


def test_a_schedule_that_cannot_answer_at_a_start_keeps_the_fire_time_that_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = waiting(monkeypatch, timedelta(seconds=60))
    world.start(one)
    world.run(10)
    monkeypatch.setattr(Waiting, "wait", "no duration")
    deployed(world, one)
    world.run(10)
    monkeypatch.setattr(Waiting, "wait", timedelta(seconds=60))
    world.run(50)
    assert fired(world) == [60]
