"""First steps with Celery: one file, `tasks.py`, on a broker alone, and with results."""

from __future__ import annotations

import re

import pytest
from celery import Celery

from tests.guides.newcomer import PATIENCE, Newcomer, succeeded

WITHOUT_RESULTS = """
    from celery import Celery

    app = Celery('tasks', broker='$BROKER')

    app.conf.beat_schedule = {
        'add-every-second': {'task': 'tasks.add', 'schedule': 1.0, 'args': (4, 4)},
    }

    @app.task
    def add(x, y):
        return x + y
"""

WITH_RESULTS = """
    from celery import Celery

    app = Celery('tasks', broker='$BROKER', backend='$BACKEND')

    @app.on_after_configure.connect
    def setup_periodic_tasks(sender, **kwargs):
        sender.add_periodic_task(1.0, add.s(4, 4), name='add'$OPTIONS)
        sender.add_periodic_task(1.0, divide.s(1, 0), name='divide'$OPTIONS)

    @app.task
    def add(x, y):
        return x + y

    @app.task
    def divide(x, y):
        return x / y
"""


def test_every_firing_that_history_shows_ran_once_on_a_broker_alone(newcomer: Newcomer) -> None:
    newcomer.writes("tasks.py", WITHOUT_RESULTS)
    qbeat = newcomer.runs_qbeat()
    worker = newcomer.runs_worker()
    newcomer.published("add-every-second", count=3)
    assert qbeat.terminate() == 0
    firings = newcomer.asks_qbeat("history", "add-every-second")
    assert {firing["outcome"] for firing in firings} == {"published"}
    task_ids = [firing["task_id"] for firing in firings]
    assert len(set(task_ids)) == len(task_ids)
    succeeded(worker, task_ids)
    assert sorted(_received(worker.output)) == sorted(task_ids)


def _received(output: str) -> list[str]:
    return re.findall(r"Task tasks\.add\[(.+)\] received", output)


def test_a_result_is_found_by_the_task_id_that_history_shows(newcomer: Newcomer) -> None:
    newcomer.writes("tasks.py", WITH_RESULTS.replace("$OPTIONS", ""))
    newcomer.runs_qbeat()
    newcomer.runs_worker()
    sum_, quotient = newcomer.task_ids("add", "divide")
    _check_success(newcomer, sum_)
    _check_failure(newcomer, quotient)


class ResultsByName(Celery):
    """An app whose reply queue has a name that others can know."""

    thread_oid = "results-of-periodic-tasks"


def test_a_result_over_rpc_is_found_by_the_program_that_the_entry_names_in_reply_to(
    rabbitmq_newcomer: Newcomer,
) -> None:
    # The rpc:// backend keeps no results: a worker sends each one to the queue named in the message's
    # `reply_to`, which is that of the sending thread. A beat reads no results, Celery's neither, so those of
    # periodic tasks are dropped, unless the entry's option `reply_to` names the queue of a program that does.
    # That queue has to exist before the task ends, as RabbitMQ drops what it has no queue for.
    newcomer = rabbitmq_newcomer
    newcomer.broker = newcomer.broker.replace("amqp://", "pyamqp://")
    newcomer.backend = "rpc://"
    options = f", reply_to={ResultsByName.thread_oid!r}"
    newcomer.writes("tasks.py", WITH_RESULTS.replace("$OPTIONS", options))
    newcomer.client = ResultsByName(broker=newcomer.broker, backend="rpc://", set_as_current=False)
    newcomer.declares_reply_queue()
    newcomer.runs_qbeat()
    newcomer.runs_worker()
    sum_, quotient = newcomer.task_ids("add", "divide")
    _check_success(newcomer, sum_)
    _check_failure(newcomer, quotient)


def test_a_call_in_the_readers_own_process_has_its_result_over_rpc_while_qbeat_runs(
    rabbitmq_newcomer: Newcomer,
) -> None:
    newcomer = rabbitmq_newcomer
    newcomer.backend = "rpc://"
    newcomer.writes("tasks.py", WITH_RESULTS.replace("$OPTIONS", ""))
    newcomer.runs_qbeat()
    newcomer.runs_worker()
    newcomer.published("add")
    assert newcomer.runs("-c", "from tasks import add; print(add.delay(2, 3).get(timeout=30))") == "5\n"


def _check_success(newcomer: Newcomer, task_id: str) -> None:
    result = newcomer.result(task_id)
    assert result.id == task_id
    assert result.get(timeout=PATIENCE) == 8
    assert result.ready()
    assert result.state == "SUCCESS"
    assert result.successful()
    assert not result.failed()
    assert result.traceback is None
    result.forget()
    assert newcomer.result(task_id).state == "PENDING"


def _check_failure(newcomer: Newcomer, task_id: str) -> None:
    result = newcomer.result(task_id)
    assert isinstance(result.get(timeout=PATIENCE, propagate=False), ZeroDivisionError)
    assert result.ready()
    assert result.state == "FAILURE"
    assert result.failed()
    assert not result.successful()
    assert "ZeroDivisionError: division by zero" in result.traceback
    with pytest.raises(ZeroDivisionError):
        result.get(timeout=PATIENCE)
