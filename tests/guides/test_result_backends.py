"""Where results go: Redis, a database through SQLAlchemy, RPC, and memcached."""

from __future__ import annotations

import pytest
from celery import Celery

from tests.guides.newcomer import Newcomer

TASKS = """
    from celery import Celery

    app = Celery('tasks', broker='$BROKER', backend='$BACKEND')

    @app.on_after_configure.connect
    def setup_periodic_tasks(sender, **kwargs):
        sender.add_periodic_task(1.0, add.s(4, 4), name='add', reply_to='sums')
        sender.add_periodic_task(1.0, divide.s(1, 0), name='divide', reply_to='sums')

    @app.task
    def add(x, y):
        return x + y

    @app.task
    def divide(x, y):
        return x / y
"""

CLEANUP = "celery.backend_cleanup"


class ReaderOfSums(Celery):
    """An app whose reply queue is the one that the entries name; only rpc:// looks at it."""

    thread_oid = "sums"


@pytest.fixture(params=["redis", "sqlalchemy", "rpc", "memcached"])
def backend(request: pytest.FixtureRequest, newcomer: Newcomer) -> str:
    kind: str = request.param
    if kind == "sqlalchemy":
        newcomer.backend = f"db+sqlite:///{newcomer.folder}/results.db"
    elif kind == "rpc":
        newcomer.backend = "rpc://"
    elif kind == "memcached":
        newcomer.backend = request.getfixturevalue("memcached_url")
    return kind


def test_a_periodic_tasks_result_is_in_the_backend(newcomer: Newcomer, backend: str) -> None:
    newcomer.writes("tasks.py", TASKS)
    newcomer.client = ReaderOfSums(broker=newcomer.broker, backend=newcomer.backend, set_as_current=False)
    if backend == "rpc":
        newcomer.declares_reply_queue()
    newcomer.runs_qbeat()
    newcomer.runs_worker()

    add, divide = newcomer.task_ids("add", "divide")
    sum_ = newcomer.finished(add)
    assert (sum_.state, sum_.result) == ("SUCCESS", 8)
    quotient = newcomer.finished(divide)
    assert quotient.state == "FAILURE"
    assert isinstance(quotient.result, ZeroDivisionError)

    # Celery schedules its clean-up for the backend that cannot expire results by itself.
    names = {entry["name"] for entry in newcomer.asks_qbeat("list")}
    assert names == {"add", "divide"} | ({CLEANUP} if backend == "sqlalchemy" else set())
