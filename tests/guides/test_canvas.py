"""Designing work-flows: groups and chains, called by hand and as periodic entries."""

from __future__ import annotations

import json
import uuid

from tests.guides.newcomer import Newcomer

TASKS = """
    from celery import Celery, chain, group

    app = Celery('tasks', broker='$BROKER', backend='$BACKEND')

    @app.on_after_configure.connect
    def setup_periodic_tasks(sender, **kwargs):
        sender.add_periodic_task(1.0, group(buy_milk.s(7), buy_bread.s(5)), name='shopping')
        sender.add_periodic_task(1.0, chain(fetch_user_name.s(1) | greeting_user.s()), name='greeting')

    @app.task
    def buy_milk(price):
        return price

    @app.task
    def buy_bread(price):
        return price

    @app.task
    def fetch_user_name(user_id):
        return {1: 'Ada', 2: 'Grace'}[user_id]

    @app.task
    def greeting_user(name):
        return f'Hello, {name}!'
"""

CALLS = """
    import json

    from celery import chain, group
    from tasks import buy_bread, buy_milk, fetch_user_name, greeting_user

    shopping = group(buy_milk.s(7), buy_bread.s(5))().get(timeout=60)
    greeting = chain(fetch_user_name.s(2) | greeting_user.s())().get(timeout=60)
    print(json.dumps([shopping, greeting]))
"""


def test_groups_and_chains_run_as_calls_and_as_periodic_entries(newcomer: Newcomer) -> None:
    newcomer.writes("tasks.py", TASKS)
    newcomer.writes("calls.py", CALLS)
    newcomer.runs_qbeat()
    newcomer.runs_worker()

    assert json.loads(newcomer.runs("calls.py")) == [[7, 5], "Hello, Grace!"]

    greeting, shopping = newcomer.task_ids("greeting", "shopping")
    assert newcomer.finished(greeting).result == "Hello, Ada!"
    parts = [newcomer.finished(_part_id(shopping, position)) for position in range(2)]
    assert [part.result for part in parts] == [7, 5]
    assert [part._get_task_meta()["group_id"] for part in parts] == [shopping, shopping]


def _part_id(task_id: str, position: int) -> str:
    """The id of a group's part follows from that of the firing: the same if it is published again."""
    return str(uuid.uuid5(uuid.UUID(task_id), str(position)))
