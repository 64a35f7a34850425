"""Sentry's cron monitors, the real SDK with its envelopes captured, on the plain way through `apply_entry`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.apps import Celery as CeleryProcess
from tests.plugin.apps import lines, messages, write_app
from tests.servers import QbeatProcess, RedisServer, eventually

APP = """
    import json
    from datetime import datetime, timedelta, timezone

    import sentry_sdk
    from celery.schedules import crontab
    from sentry_sdk.integrations.celery import CeleryIntegration
    from sentry_sdk.transport import Transport

    class Captured(Transport):
        def capture_envelope(self, envelope):
            with open("sentry.jsonl", "a") as file:
                for item in envelope.items:
                    if item.type == "check_in":
                        print(json.dumps(item.payload.json), file=file, flush=True)

    sentry_sdk.init(
        dsn="http://key@127.0.0.1/1",
        transport=Captured,
        integrations=[CeleryIntegration(monitor_beat_tasks=True)],
    )

    # Three fire times are due at once: what one firing carries must not reach the next.
    missed = datetime.now(timezone.utc) - timedelta(minutes=3, seconds=30)
    entry = {"task": "tasks.tick", "args": ["a"], "last_run_at": missed}
    app.conf.beat_schedule = {
        "each minute": {**entry, "schedule": 60.0, "options": {"headers": {"own": 1}, "qbeat": {"catch_up": "all"}}},
        "crontab": {**entry, "schedule": crontab(), "options": {"qbeat": {"catch_up": "all"}}},
    }
"""


@pytest.mark.parametrize("command", ["qbeat", "qbeat, store and broker one Redis", "celery beat -S qbeat"])
def test_each_firing_opens_a_check_in_of_its_own(
    tmp_path: Path, redis_url: str, redis_server: RedisServer, command: str
) -> None:
    write_app(tmp_path, redis_url, APP)
    store = redis_url if "Redis" in command else "qbeat.db"
    beat = (
        CeleryProcess(tmp_path, "-A", "tasks", "beat", "-S", "qbeat")
        if command == "celery beat -S qbeat"
        else QbeatProcess(tmp_path, "-A", "tasks", "-s", store)
    )
    with beat:
        eventually(lambda: len(messages(redis_server)) >= 6, within=30)
        assert beat.terminate() == 0
    sent = messages(redis_server)
    opened = [one for one in lines(tmp_path / "sentry.jsonl") if one["status"] == "in_progress"]

    by_id = {one["check_in_id"]: one for one in opened}
    assert len(by_id) == len(opened) == len(sent)
    assert {one["sentry-monitor-check-in-id"] for one in sent} == by_id.keys()
    assert len({one["sentry-trace"] for one in sent}) == len(sent)
    for one in sent:
        assert one["sentry-monitor-slug"] == one["periodic_task_name"]
        assert by_id[one["sentry-monitor-check-in-id"]]["monitor_slug"] == one["periodic_task_name"]
        assert one["celery_beat_task"] is True
        assert (one.get("own") == 1) == (one["periodic_task_name"] == "each minute")
    schedules = {one["monitor_slug"]: one["monitor_config"]["schedule"] for one in opened}
    assert schedules == {
        "each minute": {"type": "interval", "value": 1, "unit": "minute"},
        "crontab": {"type": "crontab", "value": "* * * * *"},
    }


def test_the_worker_closes_the_check_in_that_its_embedded_qbeat_has_opened(
    tmp_path: Path, redis_url: str
) -> None:
    write_app(tmp_path, redis_url, APP)
    options = ("-P", "solo", "--without-mingle", "--without-gossip", "--without-heartbeat")
    with QbeatProcess(tmp_path, "-A", "tasks", "worker", "-B", *options) as worker:
        path = tmp_path / "sentry.jsonl"
        eventually(lambda: sum(one["status"] == "ok" for one in lines(path)) >= 6, within=40)
        assert worker.terminate() == 0
    seen = lines(path)
    opened = {one["check_in_id"] for one in seen if one["status"] == "in_progress"}
    closed = [one["check_in_id"] for one in seen if one["status"] == "ok"]
    assert len(set(closed)) == len(closed)
    assert set(closed) <= opened
