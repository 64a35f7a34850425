"""The schedule as code that reaches into a Celery scheduler reads and changes it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery.beat import ScheduleEntry
from celery.schedules import crontab
from celery.schedules import schedule as interval

from qbeat.beat.plugin.scheduler import QbeatScheduler
from qbeat.schedules import Cron
from tests.plugin.apps import messages
from tests.plugin.conftest import Plugged, ticking
from tests.servers import RedisServer, eventually

SOON = 0.2


def test_the_schedule_shows_celery_entries(plugged: Plugged) -> None:
    plugged.declares("seconds", 90, 1, kwargs={"b": 2}, options={"queue": "q"})
    plugged.declares("crontab", crontab(minute="*/5"))
    plugged.declares("cron", Cron("0 9 * * mon", timezone="Europe/Berlin"))
    entries = plugged.scheduler().schedule
    assert sorted(entries.keys()) == ["cron", "crontab", "seconds"]
    assert all(isinstance(entry, ScheduleEntry) for entry in entries.values())
    seconds = entries["seconds"]
    assert (seconds.name, seconds.task, list(seconds.args)) == ("seconds", "tasks.tick", [1])
    assert (seconds.kwargs, seconds.options) == ({"b": 2}, {"queue": "q"})
    assert seconds.schedule == interval(timedelta(seconds=90))
    assert entries["crontab"].schedule == crontab(minute="*/5")
    assert isinstance(entries["cron"].schedule, crontab)
    assert entries["cron"].schedule._orig_day_of_week == "mon"
    assert entries.get("nothing") is None


def test_the_schedule_tells_how_far_each_entry_has_come(plugged: Plugged) -> None:
    plugged.declares("a", SOON)
    scheduler = plugged.scheduler()
    started = scheduler.schedule["a"].last_run_at
    eventually(ticking(scheduler, lambda: scheduler.schedule["a"].total_run_count >= 2))
    assert scheduler.schedule["a"].last_run_at > started


def names(plugged: Plugged, scheduler: QbeatScheduler) -> set[str]:
    scheduler.tick()
    scheduler.tick()
    return set(plugged.records())


def test_an_added_entry_fires_from_the_next_tick_on(plugged: Plugged, redis_server: RedisServer) -> None:
    plugged.declares("a", 60)
    scheduler = plugged.scheduler()
    scheduler.tick()
    added = scheduler.add(
        name="b", task="tasks.tick", schedule=SOON, args=("added",), options={"headers": {"own": 1}}
    )
    assert scheduler.schedule["b"] is added
    eventually(ticking(scheduler, lambda: len(messages(redis_server)) >= 2))
    assert {(one["periodic_task_name"], one["args"][0], one["own"]) for one in messages(redis_server)} == {
        ("b", "added", 1)
    }
    assert set(plugged.records()) == {"a", "b"}


def test_entries_may_come_and_go_by_every_method_of_a_dict(plugged: Plugged) -> None:
    plugged.declares("a", 60)
    scheduler = plugged.scheduler()
    assert names(plugged, scheduler) == {"a"}
    entry = ScheduleEntry(name="b", task="tasks.tick", schedule=interval(60), app=plugged.app)
    scheduler.schedule["b"] = entry
    assert names(plugged, scheduler) == {"a", "b"}
    scheduler.schedule.update(
        {"c": scheduler.Entry(name="c", task="tasks.tick", schedule=60, app=plugged.app)}
    )
    assert names(plugged, scheduler) == {"a", "b", "c"}
    scheduler.schedule.pop("a")
    assert names(plugged, scheduler) == {"b", "c"}
    del scheduler.schedule["b"]
    assert names(plugged, scheduler) == {"c"}
    scheduler.update_from_dict({"d": {"task": "tasks.tick", "schedule": 60}})
    assert names(plugged, scheduler) == {"c", "d"}
    scheduler.schedule = {"e": scheduler.Entry(name="e", task="tasks.tick", schedule=60, app=plugged.app)}
    assert names(plugged, scheduler) == {"e"}
    scheduler.merge_inplace({"f": {"task": "tasks.tick", "schedule": 60}})
    assert names(plugged, scheduler) == {"f"}
    scheduler.schedule.clear()
    assert names(plugged, scheduler) == set()
    plugged.declares("z", 60)
    scheduler.merge_inplace(plugged.app.conf.beat_schedule)
    assert names(plugged, scheduler) == {"a", "z"}


def test_an_edited_entry_keeps_its_policies_and_its_cadence_where_only_arguments_change(
    plugged: Plugged,
) -> None:
    plugged.declares("a", 60, 1, options={"qbeat": {"catch_up": "all", "max_runs": 5}})
    scheduler = plugged.scheduler()
    scheduler.tick()
    before = plugged.records()["a"]
    scheduler.schedule["a"].args = (2,)
    scheduler.tick()
    scheduler.tick()
    after = plugged.records()["a"]
    assert after.definition["args"] == [2]
    assert after.definition["policies"] == before.definition["policies"]
    assert (after.schedule, after.anchor, after.next_fire_time) == (
        before.schedule, before.anchor, before.next_fire_time,
    )  # fmt: skip
    scheduler.schedule["a"].schedule = interval(30)
    scheduler.tick()
    scheduler.tick()
    rescheduled = plugged.records()["a"]
    assert rescheduled.schedule != before.schedule
    assert rescheduled.definition == after.definition


def test_the_next_instance_of_an_entry_is_no_change(plugged: Plugged) -> None:
    plugged.declares("a", 60)
    scheduler = plugged.scheduler()
    scheduler.tick()
    before = plugged.records()["a"]
    entry = scheduler.schedule["a"]
    count = entry.total_run_count
    after = scheduler.reserve(entry)
    assert after == entry
    assert after.total_run_count == count + 1
    assert scheduler.schedule["a"] is after
    scheduler.tick()
    assert plugged.records()["a"] == before


def test_an_added_entry_that_cannot_be_does_not_fire_and_holds_up_nobody(
    plugged: Plugged, caplog: pytest.LogCaptureFixture
) -> None:
    plugged.declares("a", 60)
    scheduler = plugged.scheduler()
    scheduler.tick()
    scheduler.add(name="bad", task="tasks.tick", schedule=-1)
    scheduler.add(name="good", task="tasks.tick", schedule=60)
    assert names(plugged, scheduler) == {"a", "good"}
    assert "'bad' in the schedule does not fire" in caplog.text


def test_a_subclass_may_set_up_a_schedule_of_its_own(plugged: Plugged) -> None:
    class Own(QbeatScheduler):
        def setup_schedule(self) -> None:
            super().setup_schedule()
            self.install_default_entries(self.schedule)
            self.update_from_dict({"own": {"task": "tasks.tick", "schedule": 60}})

    plugged.declares("a", 60)
    assert names(plugged, plugged.scheduler(Own)) == {"a", "own"}
