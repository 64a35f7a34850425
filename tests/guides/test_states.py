"""Following tasks: the states of a long one, and one that fails on an argument of the wrong kind."""

from __future__ import annotations

from tests.guides.newcomer import PATIENCE, Newcomer
from tests.servers import eventually

TASKS = """
    import time
    from pathlib import Path

    from celery import Celery

    app = Celery('tasks', broker='$BROKER', backend='$BACKEND')
    app.conf.task_track_started = True

    @app.on_after_configure.connect
    def setup_periodic_tasks(sender, **kwargs):
        sender.add_periodic_task(1.0, long_task.s(), name='long')
        sender.add_periodic_task(1.0, add_one.s('seven'), name='failing')

    def wait_for(name):
        deadline = time.monotonic() + 60
        while not Path(name).exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    @app.task(bind=True)
    def long_task(self):
        wait_for('half')
        self.update_state(state='PROGRESS', meta={'current': 50, 'total': 100})
        wait_for('whole')
        return 'done'

    @app.task
    def add_one(number):
        return number + 1
"""


def test_a_long_task_is_followed_through_its_states(newcomer: Newcomer) -> None:
    newcomer.writes("tasks.py", TASKS)
    newcomer.runs_qbeat()
    long, failing = newcomer.task_ids("long", "failing")
    result = newcomer.result(long)
    assert result.state == "PENDING"

    newcomer.runs_worker()
    eventually(lambda: result.state == "STARTED", within=PATIENCE)
    (newcomer.folder / "half").touch()
    eventually(lambda: result.state == "PROGRESS", within=PATIENCE)
    assert result.info == {"current": 50, "total": 100}
    assert not result.ready()
    (newcomer.folder / "whole").touch()
    assert result.get(timeout=PATIENCE) == "done"
    assert result.state == "SUCCESS"

    failed = newcomer.finished(failing)
    assert failed.state == "FAILURE"
    assert isinstance(failed.result, TypeError)
    assert 'can only concatenate str (not "int") to str' in failed.traceback
