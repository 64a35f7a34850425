"""The guides' routing and rate limits: a low-priority queue, `task_annotations`, `ignore_result`, remote control."""

from __future__ import annotations

from tests.guides.newcomer import PATIENCE, Newcomer, succeeded
from tests.servers import eventually

TASKS = """
    from celery import Celery

    app = Celery('tasks', broker='$BROKER', backend='$BACKEND')

    app.conf.task_routes = {'tasks.add': 'low-priority'}
    app.conf.worker_prefetch_multiplier = 0  # a worker whose tasks all wait for their rate takes on more
    app.conf.task_annotations = {'tasks.add': {'rate_limit': '1/h'}}

    @app.on_after_configure.connect
    def setup_periodic_tasks(sender, **kwargs):
        sender.add_periodic_task(1.0, add.s(2, 2), name='add')
        sender.add_periodic_task(1.0, forgettable.s(), name='forgettable')

    @app.task(bind=True)
    def add(self, x, y):
        return [x + y, self.request.delivery_info['routing_key']]

    @app.task(bind=True, ignore_result=True)
    def forgettable(self):
        return self.request.delivery_info['routing_key']
"""


def test_routes_rate_limits_and_ignored_results_are_those_of_the_app(newcomer: Newcomer) -> None:
    newcomer.writes("tasks.py", TASKS)
    newcomer.runs_qbeat()
    ordinary = newcomer.runs_worker("tasks", "-Q", "celery")
    task_ids = newcomer.published("add", "forgettable", count=2)
    forgettable = task_ids["forgettable"][0]
    succeeded(ordinary, [forgettable])
    assert newcomer.result(forgettable).state == "PENDING"
    assert "tasks.add[" not in ordinary.output

    patient = newcomer.runs_worker("tasks", "-Q", "low-priority")
    first, second = task_ids["add"][:2]
    assert newcomer.finished(first).result == [4, "low-priority"]
    patient.wait_for(rf"\[{second}\] received", within=PATIENCE)
    assert "tasks.forgettable[" not in patient.output

    _lift_the_limit(newcomer)
    patient.wait_for(r"tasks\.add\[.*\] succeeded", count=2, within=PATIENCE)
    # What the old limit holds back stays held for its hour: it was only the first that it let through.
    assert not newcomer.result(second).ready()


def _lift_the_limit(newcomer: Newcomer) -> None:
    def lifted() -> bool:
        told = newcomer.runs("-m", "celery", "-A", "tasks", "control", "rate_limit", "tasks.add", "100/s")
        return told.count("new rate limit set successfully") == 2

    eventually(lifted, within=PATIENCE, what="both workers take the new rate limit")
