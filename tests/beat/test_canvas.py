"""Chains, groups and chords as periodic entries: they run on a worker, under ids derived from the firing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from qbeat.beat.publishing.base import Verdict
from qbeat.beat.publishing.marked import MarkedSender
from qbeat.beat.publishing.plain import PlainScheduler, PlainSender
from tests.beat.apps import Apps
from tests.beat.publishing import KeepOff, no_sleeping
from tests.beat.wire import body, entries_of, lists, submission
from tests.servers import RedisServer
from tests.servers.fixtures import StartWorker

SOURCE = """
app = Celery("tasks", broker="{broker}", backend="{backend}")

@app.task(name="tasks.add")
def add(x, y):
    return x + y

@app.task(name="tasks.total")
def total(numbers):
    return sum(numbers)

@app.task(name="tasks.who", bind=True)
def who(self, *previous):
    return [*(previous[0] if previous else []), [self.request.id, (self.request.headers or {{}}).get("periodic_task_name")]]

@app.task(name="tasks.keep")
def keep(value, key):
    app.backend.client.set(key, str(value))
    return value

app.add_periodic_task(60, chain(add.s(1, 2), add.s(3), add.s(4)), name="chain")
app.add_periodic_task(60, group(add.s(1, 2), add.s(3, 4)), name="group")
app.add_periodic_task(60, chord([add.s(1, 2), add.s(3, 4)], total.s()), name="chord")
app.add_periodic_task(60, group(add.s(1, 2), add.s(3, 4)) | total.s(), name="group into task")
app.add_periodic_task(60, add.s(1, 2) | group(add.s(3), add.s(4)) | total.s(), name="group in chain")
app.add_periodic_task(60, chain(who.s(), who.s(), who.s()), name="ids")
app.add_periodic_task(60, (add.s(1, 2) | add.s(3)).set(queue="low"), name="options of a chain")
app.add_periodic_task(60, add.s(1, 2).set(link=keep.s("linked")), name="link")
app.add_periodic_task(60, add.chunks([(1, 2), (3, 4)], 1), name="chunks")
"""


@pytest.fixture
def app(apps: Apps, redis_url: str, redis_server: RedisServer) -> Celery:
    source = SOURCE.format(broker=redis_url, backend=redis_server.database_url(1))
    name = apps.write(source, name="canvas_tasks")
    from qbeat.beat.app.loading import AppOptions, load_app

    return load_app(AppOptions(app=name))


@pytest.fixture(params=[PlainSender, MarkedSender])
def sender(request: pytest.FixtureRequest, app: Celery) -> Iterator[PlainSender]:
    made: PlainSender = request.param(app, PlainScheduler(app))
    yield made
    made.close()


def send(sender: PlainSender, app: Celery, name: str, number: int = 0) -> str:
    """Send a firing; its id."""
    one = submission(entries_of(app)[name], number, uuid.uuid5(uuid.NAMESPACE_DNS, name).hex)
    assert sender.send([one]) == [(Verdict.PUBLISHED, None)]
    return one.firing.task_id


def outcome(app: Celery, task_id: str) -> Any:
    return AsyncResult(task_id, app=app).get(timeout=20)


def test_they_all_run_on_a_worker(
    apps: Apps, app: Celery, sender: PlainSender, start_worker: StartWorker
) -> None:
    start_worker(apps.folder, "canvas_tasks", arguments=["-Q", "celery,low"])
    ids = {name: send(sender, app, name) for name in entries_of(app) if name != "celery.backend_cleanup"}
    assert outcome(app, ids["chain"]) == 10
    # A worker takes a chord apart, for that needs the result backend; its own result names that of the body.
    for name in ("chord", "group into task"):
        (body_id, _), _ = outcome(app, ids[name])
        assert outcome(app, body_id) == 10
    assert outcome(app, ids["group in chain"]) == 13
    assert outcome(app, ids["options of a chain"]) == 6
    assert outcome(app, ids["link"]) == 3
    parts = [uuid.uuid5(uuid.UUID(ids["group"]), str(position)) for position in range(2)]
    assert [outcome(app, str(part)) for part in parts] == [3, 7]
    told = outcome(app, ids["ids"])
    assert [task_id for task_id, _ in told][-1] == ids["ids"]
    assert len({task_id for task_id, _ in told}) == 3
    assert told[0][1] == "ids"


CANVASES = ["chain", "group", "chord", "group into task", "group in chain", "options of a chain", "chunks"]


@pytest.mark.parametrize("name", CANVASES)
def test_a_result_backend_that_is_away_costs_nothing(
    app: Celery, sender: PlainSender, redis_server: RedisServer, off_result_backend: KeepOff, name: str
) -> None:
    app.conf.result_backend = "redis://127.0.0.1:1/0"
    off_result_backend(app)
    with no_sleeping():
        send(sender, app, name)
    assert lists(redis_server.client)


@pytest.mark.parametrize("name", CANVASES)
def test_nobody_subscribes_to_results(
    app: Celery, sender: PlainSender, redis_server: RedisServer, off_result_backend: KeepOff, name: str
) -> None:
    off_result_backend(app)
    redis_server.client.config_resetstat()
    send(sender, app, name)
    stats: Any = redis_server.client.info("commandstats")
    assert "cmdstat_subscribe" not in stats


def test_the_parts_of_a_firing_have_the_same_ids_each_time(
    app: Celery, sender: PlainSender, redis_server: RedisServer
) -> None:
    def sent(name: str, number: int) -> list[str]:
        for key in lists(redis_server.client):
            redis_server.client.delete(key)
        redis_server.client.delete("qbeat:marks")
        send(sender, app, name, number)
        messages = [message for wire in lists(redis_server.client).values() for message in wire]
        found = [message["headers"]["id"] for message in messages]
        following = [part for message in messages for part in body(message)[2]["chain"] or []]
        return found + [task_id for part in following for task_id in _task_ids(part)]

    for name in ("chain", "group", "group into task", "group in chain"):
        first = sent(name, 0)
        assert len(first) == len(set(first))
        assert sent(name, 0) == first
        assert not set(sent(name, 1)) & set(first)


def _task_ids(part: dict[str, Any]) -> list[str]:
    """The ids of the tasks in a signature; the id of a chord itself is only its group's, and Celery's to choose."""
    if part["task"] != "celery.chord":
        return [part["options"]["task_id"]]
    header, last = part["kwargs"]["header"], part["kwargs"]["body"]
    tasks = header["kwargs"]["tasks"] if isinstance(header, dict) else header
    return [one["options"]["task_id"] for one in (*tasks, last)]


def test_each_message_of_a_canvas_tells_its_entry(
    app: Celery, sender: PlainSender, redis_server: RedisServer
) -> None:
    for name in ("chain", "group"):
        send(sender, app, name)
    headers = [message["headers"] for message in lists(redis_server.client)["celery"]]
    assert [one["periodic_task_name"] for one in headers] == ["chain", "group", "group"]
    assert {one["qbeat"]["fire_time"] for one in headers} == {"2026-09-21T14:13:20Z"}


def test_the_signature_that_the_app_declared_is_left_as_it_is(app: Celery, sender: PlainSender) -> None:
    before = repr(app.conf.beat_schedule["chain"])
    send(sender, app, "chain")
    assert repr(app.conf.beat_schedule["chain"]) == before
