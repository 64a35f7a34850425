"""How a declaration gets into the store: new, changed, retired, rolled back, and several at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from qbeat.beat.entries import Entry
from qbeat.schedules import Crontab, Interval, Once
from qbeat.schedules.base import SECOND
from qbeat.store.records import Change, EntryRecord
from tests.beat.world import START, Replica, World, changed, entry, seconds


def fired(world: World, name: str) -> list[float]:
    return seconds(world.broker.fire_times(name))


def deploy(world: World, *entries: Entry) -> Replica:
    """A new version of the process takes the place of the latest one."""
    world.replicas[-1].stop()
    return world.start(*entries)


def running(world: World) -> dict[str, EntryRecord]:
    return {record.name: record for record in world.store.entries() if record.retired_at is None}


# --- new


def test_a_new_entry_starts_its_grid_at_its_first_registration(world: World) -> None:
    world.start(entry("a", 60))
    world.run(1)
    record = world.record("a")
    assert (record.anchor, record.cursor) == (START, START)
    assert record.next_fire_time == record.due_at == START + 60 * SECOND
    assert record.origin == "declared"
    assert len(record.uid) == 32


def test_an_entry_tells_its_task_schedule_and_definition(world: World) -> None:
    world.start(
        entry("a", Crontab(0, 8, timezone="UTC"), args=(1, {2}), options={"queue": "low"}, catch_up="all")
    )
    world.run(1)
    record = world.record("a")
    assert record.task == "tasks.a"
    assert record.schedule["kind"] == "crontab"
    assert record.definition["args"] == [1, [2]]
    assert record.definition["options"] == {"queue": "low"}
    assert record.definition["policies"] == {"catch_up": "all"}


def test_a_restart_with_the_same_code_writes_nothing(world: World) -> None:
    world.start(entry("a", 60), entry("b", 5)).tick()
    world.replicas[-1].stop()
    before = {name: (record.revision, record.change) for name, record in running(world).items()}
    world.start(entry("b", 5), entry("a", 60)).tick()
    assert {name: (record.revision, record.change) for name, record in running(world).items()} == before


@pytest.mark.parametrize(
    "past", [entry("late", Once("2020-01-01T00:00Z")), entry("late", 60, end="2020-01-01T00:00Z")], ids=["once", "end"]
)  # fmt: skip
def test_a_new_entry_whose_time_has_passed_is_told_to_fire_never_and_only_then(
    world: World, past: Entry, caplog: pytest.LogCaptureFixture
) -> None:
    world.start(past, entry("a", 10)).tick()
    [line] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "'late' will not fire: " in line.getMessage()
    assert "2020-01-01" in line.getMessage()
    caplog.clear()
    deploy(world, past).tick()
    deploy(world, changed(past, args=(1,))).tick()
    assert "late" not in caplog.text


# --- changed


def test_a_changed_interval_counts_on_the_grid_that_it_has_had(world: World) -> None:
    world.start(entry("a", 60))
    world.run(90)
    deploy(world, entry("a", 7))
    world.run(15)
    assert fired(world, "a") == [60, 91, 98, 105]
    assert world.record("a").anchor == START


def test_an_interval_whose_versions_alternate_faster_than_it_fires_goes_on_firing(world: World) -> None:
    world.start(entry("a", 60))
    for turn in range(1, 13):
        world.run(20)
        deploy(world, entry("a", 30 if turn % 2 else 60))
    assert {60, 120, 180} <= set(fired(world, "a"))


def test_an_interval_whose_end_moves_with_each_deploy_goes_on_firing(world: World) -> None:
    world.start(entry("a", 60))
    for turn in range(1, 10):
        world.run(20)
        deploy(world, entry("a", 60, end=datetime(2027, 1, turn, tzinfo=UTC)))
    assert fired(world, "a") == [60, 120, 180]


def test_an_interval_that_was_a_crontab_meanwhile_fires_after_its_return_on_its_old_grid(
    world: World,
) -> None:
    world.start(entry("a", 50))
    world.run(75)
    deploy(world, entry("a", Crontab(timezone="UTC")))
    world.run(250)
    deploy(world, entry("a", 50))
    world.run(80)
    # The world begins a quarter of a second after the minute.
    assert fired(world, "a") == [50, *(minute - 0.25 for minute in (120, 180, 240, 300)), 350, 400]


def test_an_interval_that_becomes_relative_fires_only_after_the_change(world: World) -> None:
    world.start(entry("a", 7200))
    world.run(5000)
    deploy(world, entry("a", Interval(3600, relative=True)))
    world.run(3600)
    assert fired(world, "a") == [7200 - 0.25]


def test_fire_times_before_a_change_of_schedule_are_superseded(world: World) -> None:
    world.start(entry("a", 10))
    world.run(12)
    world.replicas[-1].stop()
    world.clock.advance(30)
    world.start(entry("a", 60))
    world.run(1)
    assert world.told("a") == [(10, "published"), (20, "superseded")]
    assert world.history("a")[-1].count == 3


def test_a_crontab_moved_to_an_hour_that_has_passed_does_not_fire_at_once(world: World) -> None:
    world.start(entry("a", Crontab(0, 3, timezone="UTC"))).tick()
    deploy(world, entry("a", Crontab(0, 9, timezone="UTC")))
    world.run(120)
    assert fired(world, "a") == []


@pytest.mark.parametrize(
    "change",
    [{"args": (5,)}, {"kwargs": {"x": 1}}, {"options": {"queue": "low"}}, {"task": "tasks.other"}, {"catch_up": "all"}],
)  # fmt: skip
def test_a_change_of_anything_else_keeps_the_cadence(world: World, change: dict[str, object]) -> None:
    world.start(entry("a", 60))
    world.run(90)
    world.replicas[-1].stop()
    later = entry("a", 60, **change) if "catch_up" in change else changed(entry("a", 60), **change)
    world.start(later)
    world.run(100)
    assert fired(world, "a") == [60, 120, 180]
    assert world.record("a").fingerprint == later.fingerprint
    assert world.record("a").total_run_count == 3


def test_a_changed_entry_is_the_same_entry(world: World) -> None:
    world.start(entry("a", 60)).tick()
    uid = world.record("a").uid
    deploy(world, entry("a", 5)).tick()
    assert world.record("a").uid == uid


def test_an_entry_that_has_used_up_its_runs_stays_finished_through_a_change(world: World) -> None:
    one = entry("a", 10, max_runs=1)
    world.start(one)
    world.run(15)
    deploy(world, changed(one, args=(2,)))
    world.run(15)
    record = world.record("a")
    assert (record.next_fire_time, record.due_at, record.total_run_count) == (None, None, 1)


def test_an_entry_that_has_used_up_its_runs_and_is_given_more_fires_again(world: World) -> None:
    world.start(entry("a", 10, max_runs=1))
    world.run(25)
    deploy(world, entry("a", 10, max_runs=2))
    world.run(30)
    assert fired(world, "a") == [10, 30]


def test_an_entry_whose_runs_are_cut_down_to_what_it_has_had_is_finished(world: World) -> None:
    world.start(entry("a", 10))
    world.run(25)
    deploy(world, entry("a", 10, max_runs=2))
    world.run(30)
    assert fired(world, "a") == [10, 20]
    assert world.record("a").next_fire_time is None


# --- retired


def test_an_entry_that_nobody_declares_any_more_is_retired_and_fires_no_more(world: World) -> None:
    world.start(entry("a", 10), entry("b", 10))
    world.run(15)
    deploy(world, entry("b", 10))
    world.run(20)
    assert fired(world, "a") == [10]
    assert fired(world, "b") == [10, 20, 30]
    assert world.record("a").retired_at is not None
    assert world.record("a").next_fire_time is None


def test_a_rollback_finds_the_state_of_a_retired_entry(world: World) -> None:
    world.start(entry("a", 10), entry("b", 10))
    world.run(15)
    world.replicas[-1].stop()
    before = world.record("a")
    world.start(entry("b", 10)).tick()
    world.run(20)
    deploy(world, entry("a", 10), entry("b", 10))
    world.run(10)
    after = world.record("a")
    assert (after.uid, after.anchor, after.retired_at) == (before.uid, before.anchor, None)
    assert after.total_run_count == before.total_run_count + 1
    assert world.told("a") == [(10, "published"), (20, "superseded"), (40, "published")]


def test_an_app_without_entries_retires_them_all(world: World) -> None:
    world.start(entry("a", 10)).tick()
    deploy(world).tick()
    assert running(world) == {}


def test_dynamic_entries_are_never_retired(world: World) -> None:
    world.start(entry("a", 10)).tick()
    world.replicas[-1].stop()
    record = world.record("a")
    dynamic = replace(record, name="d", uid="d" * 32, origin="dynamic", generation="")
    assert world.store.save([Change(dynamic, None)]) == [True]
    world.start(entry("b", 10)).tick()
    assert set(running(world)) == {"b", "d"}


def test_a_dynamic_entry_of_the_same_name_stays_and_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.start(entry("a", 10)).tick()
    world.replicas[-1].stop()
    dynamic = replace(world.record("a"), name="d", uid="d" * 32, origin="dynamic", generation="")
    world.store.save([Change(dynamic, None)])
    world.start(entry("a", 10), entry("d", 99)).tick()
    assert world.record("d").schedule == Interval(10).to_data()
    assert "'d' is declared by the app and exists as a dynamic entry; the dynamic one stays" in caplog.text


# --- several at a time


def test_the_latest_start_wins(world: World) -> None:
    old, new = entry("a", 10), entry("a", 10, options={"queue": "new"})
    world.start(old, entry("gone", 10))
    world.run(15)
    world.start(new, entry("added", 10))
    world.run(20)
    options = [
        dict(submission.entry.options)
        for submission in world.broker.submissions
        if submission.firing.entry == "a"
    ]
    assert options == [{}, {"queue": "new"}, {"queue": "new"}]
    assert fired(world, "a") == [10, 20, 30]
    assert "added" in running(world)


def test_while_an_older_replica_lives_what_only_it_declares_goes_on_on_time(world: World) -> None:
    only_old = [entry(f"only-old-{number}", 10) for number in range(20)]
    world.start(entry("a", 10), *only_old)
    world.run(15)
    world.start(entry("a", 10))
    world.run(16)
    assert all(fired(world, one.name) == [10, 20, 30] for one in only_old)
    world.replicas[0].stop()
    world.run(20)
    assert all(fired(world, one.name) == [10, 20, 30] for one in only_old)
    assert set(running(world)) == {"a"}


def test_when_the_newer_replica_dies_the_older_one_takes_its_entries_back(world: World) -> None:
    old, new = entry("a", 10), entry("a", 10, options={"queue": "new"})
    world.start(old, entry("b", 10))
    world.run(15)
    world.start(new, entry("only-new", 10))
    world.run(10)
    world.replicas[1].crash()
    world.run(30)
    options = [
        submission.entry.options.get("queue")
        for submission in world.broker.submissions
        if submission.firing.entry == "a"
    ]
    assert options[:2] == [None, "new"]
    assert options[-1] is None
    assert set(running(world)) == {"a", "b"}
    assert not world.unaccounted(old, START, world.now - SECOND)


def test_replicas_that_start_at_the_same_time_agree(world: World) -> None:
    entries = [entry(f"e{number}", 5) for number in range(20)]
    replicas = [world.start(*entries) for _ in range(4)]
    world.run(11)
    assert len(running(world)) == 20
    assert len(world.broker.submissions) == 40
    assert all(replica.alive for replica in replicas)


def test_more_entries_than_a_store_takes_at_once_are_written_in_batches(world: World) -> None:
    world.start(*(entry(f"e{number}", 3600) for number in range(2500))).load()
    assert len(running(world)) == 2500
    deploy(world).load()
    assert running(world) == {}
