"""Next steps with Celery: a package `proj` with the app in `proj/celery.py` and tasks in `proj/tasks.py`."""

from __future__ import annotations

from tests.guides.newcomer import Newcomer

CELERY = """
    from celery import Celery

    app = Celery('proj', broker='$BROKER', backend='$BACKEND', include=['proj.tasks'])

    app.conf.update(
        result_expires=3600,
        beat_schedule={'add': {'task': 'proj.tasks.add', 'schedule': 1.0, 'args': (16, 16)}},
    )

    if __name__ == '__main__':
        app.start()
"""

TASKS = """
    from .celery import app

    @app.on_after_finalize.connect
    def setup_periodic_tasks(sender, **kwargs):
        sender.add_periodic_task(1.0, mul.s(4, 6))

    @app.on_after_configure.connect
    def set_up_too_late_for_celery(sender, **kwargs):
        sender.add_periodic_task(1.0, xsum.s([1, 2, 3]), name='sum')

    @app.task
    def add(x, y):
        return x + y

    @app.task
    def mul(x, y):
        return x * y

    @app.task
    def xsum(numbers):
        return sum(numbers)
"""


def test_a_package_with_its_tasks_in_include_fires_what_each_module_declares(newcomer: Newcomer) -> None:
    newcomer.writes("proj/__init__.py", "")
    newcomer.writes("proj/celery.py", CELERY)
    newcomer.writes("proj/tasks.py", TASKS)
    newcomer.runs_qbeat("proj")
    newcomer.runs_worker("proj")
    task_ids = newcomer.task_ids("add", "proj.tasks.mul(4, 6)", "sum")
    assert [newcomer.finished(task_id).result for task_id in task_ids] == [32, 24, 6]
