"""The configuration guides: `app.conf.update(...)`, and `config_from_object` with a module of settings."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.guides.newcomer import Newcomer
from tests.servers import RedisServer

UPDATE = """
    from celery import Celery
    from celery.schedules import crontab

    app = Celery('tasks', broker='$BROKER', backend='$BACKEND')

    app.conf.update(
        task_serializer='json',
        accept_content=['json'],  # Ignore other content
        result_serializer='json',
        timezone='Asia/Shanghai',
        enable_utc=True,
        result_expires=3600,
        beat_schedule={
            'every-second': {
                'task': 'tasks.kind_of',
                'schedule': 1.0,
                'args': ([1, 2],),
                'options': {'expires': 600.0, 'countdown': 0.1},
            },
            'at-breakfast': {'task': 'tasks.kind_of', 'schedule': crontab(hour=7, minute=30), 'args': ('egg',)},
        },
    )

    @app.task
    def kind_of(thing):
        return type(thing).__name__
"""

MODULE_OF_SETTINGS = """
    from datetime import timedelta

    from celery.schedules import crontab

    broker_url = '$BROKER'
    result_backend = '$BACKEND'

    task_serializer = 'pickle'
    result_serializer = 'json'
    accept_content = ['json', 'pickle']
    timezone = 'Asia/Shanghai'
    enable_utc = False
    result_expires = 60 * 60

    imports = ('tasks',)

    beat_schedule = {
        'every-second': {
            'task': 'tasks.kind_of',
            'schedule': timedelta(seconds=1),
            'args': ({1, 2},),
            'options': {'expires': 600.0, 'countdown': 0.1},
        },
        'at-breakfast': {'task': 'tasks.kind_of', 'schedule': crontab(hour=7, minute=30), 'args': ('egg',)},
    }
"""

APP_OF_SETTINGS = """
    from celery import Celery

    app = Celery()
    app.config_from_object('celeryconfig')

    @app.task
    def kind_of(thing):
        return type(thing).__name__
"""


def test_conf_update_is_obeyed(newcomer: Newcomer, redis_server: RedisServer) -> None:
    newcomer.writes("tasks.py", UPDATE)
    _run_and_check(newcomer, redis_server, kind="list")


def test_config_from_object_is_obeyed(newcomer: Newcomer, redis_server: RedisServer) -> None:
    newcomer.writes("celeryconfig.py", MODULE_OF_SETTINGS)
    newcomer.writes("tasks.py", APP_OF_SETTINGS)
    _run_and_check(newcomer, redis_server, kind="set")


def _run_and_check(newcomer: Newcomer, redis_server: RedisServer, kind: str) -> None:
    newcomer.runs_qbeat()
    newcomer.runs_worker()
    [task_id] = newcomer.task_ids("every-second")
    # Only pickle brings a set to the worker as a set, and a set would not go through JSON at all.
    assert newcomer.finished(task_id).result == kind
    assert _seconds_kept(redis_server, task_id) == pytest.approx(3600, abs=300)
    assert _breakfast(newcomer).strftime("%H:%M %Z") == "07:30 CST"


def _seconds_kept(redis_server: RedisServer, task_id: str) -> int:
    redis_server.client.execute_command("SELECT", 1)
    try:
        return int(redis_server.client.execute_command("TTL", f"celery-task-meta-{task_id}"))
    finally:
        redis_server.client.execute_command("SELECT", 0)


def _breakfast(newcomer: Newcomer) -> datetime:
    [entry] = [entry for entry in newcomer.asks_qbeat("list") if entry["name"] == "at-breakfast"]
    return datetime.fromisoformat(entry["next_fire_time"]).astimezone(ZoneInfo("Asia/Shanghai"))
