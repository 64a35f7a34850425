"""Code that sends through a Celery scheduler, or stands in the way of its sending, and all else it has."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from celery import signals
from celery.beat import Service, event_t

from qbeat.beat.plugin.scheduler import QbeatScheduler
from qbeat.schedules import Cron
from tests.plugin.apps import messages
from tests.plugin.conftest import Plugged, ticking
from tests.servers import RedisServer, eventually

SOON = 0.2


def test_apply_entry_sends_an_entry_of_the_schedule_at_once(
    plugged: Plugged, redis_server: RedisServer
) -> None:
    plugged.declares("a", 60, 7, options={"queue": "urgent", "qbeat": {"catch_up": "all"}})
    scheduler = plugged.scheduler()
    entry = scheduler.schedule["a"]
    options = dict(entry.options)
    scheduler.apply_entry(entry, producer=scheduler.producer)
    scheduler.apply_async(entry, advance=False)
    scheduler.apply_async(entry)
    sent = messages(redis_server, "urgent")
    assert [one["args"] for one in sent] == [[7], [7], [7]]
    assert entry.options == options
    assert entry.total_run_count == 0
    assert scheduler.schedule["a"].total_run_count == 1


def test_what_is_put_in_the_place_of_a_method_sees_each_firing(
    plugged: Plugged, redis_server: RedisServer
) -> None:
    plugged.declares("a", SOON)
    scheduler = plugged.scheduler()
    seen: list[str] = []
    original = scheduler.apply_entry

    def apply_entry(entry: Any, producer: Any = None) -> None:
        seen.append(entry.options["task_id"])
        original(entry, producer=producer)

    scheduler.apply_entry = apply_entry  # type: ignore[method-assign] # as people do
    eventually(ticking(scheduler, lambda: len(messages(redis_server)) >= 3))
    scheduler.close()
    assert seen == [one["id"] for one in messages(redis_server)]


def test_a_subclass_that_overrides_sees_each_firing(plugged: Plugged, redis_server: RedisServer) -> None:
    class Own(QbeatScheduler):
        def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
            entry.options["headers"]["own"] = entry.name
            return super().apply_async(entry, *args, **kwargs)

    plugged.declares("a", SOON)
    scheduler = plugged.scheduler(Own)
    eventually(ticking(scheduler, lambda: len(messages(redis_server)) >= 3))
    assert {one["own"] for one in messages(redis_server)} == {"a"}


def test_the_rest_of_a_celery_scheduler_is_there(plugged: Plugged) -> None:
    plugged.declares("a", 60)
    scheduler = plugged.scheduler()
    entry = scheduler.schedule["a"]
    due, wait = scheduler.is_due(entry)
    assert not due
    assert 0 < wait <= 60
    scheduler.populate_heap()
    assert [isinstance(event, event_t) and event.entry for event in scheduler._heap] == [entry]
    assert scheduler.schedules_equal(scheduler.schedule, dict(scheduler.schedule))
    assert scheduler.should_sync() is False
    scheduler.sync()
    scheduler._do_sync()
    assert scheduler.app.now().tzinfo is not None
    assert scheduler.logger.name == "celery.beat"
    assert scheduler.connection.connected is not None
    assert scheduler.producer.connection is not None
    assert scheduler.Producer is plugged.app.amqp.Producer
    scheduler.close()
    assert "connection" not in vars(scheduler)
    assert "producer" not in vars(scheduler)


def test_entries_are_due_by_celerys_own_count_too(plugged: Plugged) -> None:
    plugged.declares("cron", Cron("* * * * *"))
    entry = plugged.scheduler().schedule["cron"]
    entry.last_run_at = datetime(2026, 1, 1, tzinfo=UTC)
    assert entry.is_due().is_due
    entry.last_run_at = plugged.app.now()
    due, wait = entry.is_due()
    assert not due
    assert 0 < wait <= 60


def test_receivers_of_beat_init_reach_the_scheduler(plugged: Plugged) -> None:
    seen: list[Any] = []

    def note(sender: Any, **_: Any) -> None:
        seen.append((sender.app, sender.scheduler, callable(sender.sync), callable(sender.stop)))
        sender.scheduler.add(name="b", task="tasks.tick", schedule=60)
        sender.stop()

    plugged.declares("a", 60)
    service = Service(plugged.app, scheduler_cls=plugged.scheduler, max_interval=1)
    signals.beat_init.connect(note)
    try:
        thread = threading.Thread(target=service.start, daemon=True)
        thread.start()
        thread.join(10)
    finally:
        signals.beat_init.disconnect(note)
    assert seen == [(plugged.app, service.scheduler, True, True)]
    assert set(service.scheduler.schedule) == {"a", "b"}
