"""Code of the user's that shapes messages: each firing is sent as Celery sends it, whatever the entry before said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import Any

import celery.app.amqp
import kombu.serialization
import pytest
from celery import Celery, Task
from celery.app.amqp import AMQP
from celery.signals import task_sent
from kombu.messaging import Producer

from qbeat.beat.publishing.base import Submission
from qbeat.beat.publishing.marked import MarkedSender
from qbeat.beat.publishing.plain import PlainScheduler
from tests.beat.confirmed import PUBLISHED, MakeSender, entry, firing, verdicts
from tests.beat.declaring import add, app_with
from tests.beat.wire import comparable, entries_of, lists, send_as_celery
from tests.servers import RedisServer

Patch = pytest.MonkeyPatch


def queue_of(args: Any) -> dict[str, str]:
    return {"queue": f"q{args[0]}"}


class RouterObject:
    def route_for_task(self, _task: str, args: Any = None, _kwargs: Any = None) -> dict[str, str]:
        return queue_of(args)


def router_function(_name: str, args: Any, *_: Any, **__: Any) -> dict[str, str]:
    return queue_of(args)


def routed_by(*routers: Any) -> Callable[[Celery, Patch], None]:
    def shape(app: Celery, _patch: Patch) -> None:
        app.conf.task_routes = list(routers)

    return shape


class Shadowed(Task):
    def shadow_name(self, args: Any, _kwargs: Any, _options: Any) -> str:
        return f"shadow of {args[0]}"


def shadow_by_class(app: Celery, _patch: Patch) -> None:
    del app.tasks["tasks.add"]
    app.task(add, name="tasks.add", base=Shadowed, shared=False)


def shadow_by_option(app: Celery, _patch: Patch) -> None:
    del app.tasks["tasks.add"]
    app.task(add, name="tasks.add", shadow_name=lambda _, args, *__: str(args), shared=False)


def value_by_property(app: Celery, _patch: Patch) -> None:
    places = count()

    class Changing(Task):
        ignore_result = property(lambda _: next(places) % 2 == 0)

    del app.tasks["tasks.add"]
    app.task(add, name="tasks.add", base=Changing, shared=False)


class Messages(AMQP):
    def as_task_v2(self, task_id: str, name: str, args: Any = None, *rest: Any, **options: Any) -> Any:
        return super().as_task_v2(task_id, name, [*args, "more"], *rest, **options)


def own_amqp(app: Celery, patch: Patch) -> None:
    patch.setitem(vars(app), "amqp", Messages(app))


def own_message_maker(app: Celery, patch: Patch) -> None:
    make = app.amqp.create_task_message

    def create_task_message(task_id: str, name: str, args: Any, *rest: Any, **options: Any) -> Any:
        message = make(task_id, name, args, *rest, **options)
        message.headers["seen"] = str(args)
        return message

    patch.setattr(app.amqp, "create_task_message", create_task_message)


def own_sender(app: Celery, patch: Patch) -> None:
    send = app.amqp.send_task_message

    def send_task_message(producer: Any, name: str, message: Any, **options: Any) -> Any:
        message.headers["seen"] = str(message.body[0])
        return send(producer, name, message, **options)

    patch.setattr(app.amqp, "send_task_message", send_task_message)


class OwnCelery(Celery):
    def send_task(self, name: str, args: Any = None, *rest: Any, **options: Any) -> Any:
        return super().send_task(name, [*args, "more"], *rest, **options)


def own_app(app: Celery, patch: Patch) -> None:
    patch.setattr(app, "__class__", OwnCelery)


def traced_producer(_app: Celery, patch: Patch) -> None:
    publish = Producer._publish

    def _publish(self: Any, body: Any, *args: Any, **options: Any) -> Any:
        headers = args[3]
        headers["length"] = len(body)
        return publish(self, body, *args, **options)

    patch.setattr(Producer, "_publish", _publish)


def redacted_texts(_app: Celery, patch: Patch) -> None:
    patch.setattr(celery.app.amqp, "saferepr", lambda value, *_, **__: f"{len(value)} values")


def own_json(_app: Celery, patch: Patch) -> None:
    codec = kombu.serialization.registry._encoders["json"]
    patch.setitem(
        kombu.serialization.registry._encoders,
        "json",
        codec._replace(encoder=lambda value: json.dumps(value, ensure_ascii=False)),
    )


def json_of_another_name(app: Celery, patch: Patch) -> None:
    codec = kombu.serialization.registry._encoders["json"]
    encoder = codec._replace(encoder=lambda value: json.dumps(value, ensure_ascii=False))
    patch.setitem(kombu.serialization.registry._encoders, "tight", encoder)
    for declared in app.conf.beat_schedule.values():
        declared["options"] = {"serializer": "tight"}


def text_of_arguments(app: Celery, _patch: Patch) -> None:
    for declared in app.conf.beat_schedule.values():
        declared["options"] = {"argsrepr": "['a']"}


def header_of_arguments(app: Celery, _patch: Patch) -> None:
    for declared in app.conf.beat_schedule.values():
        declared["options"] = {"headers": {"argsrepr": "['a']"}}


SHAPES: dict[str, Callable[[Celery, Patch], None]] = {
    "a router that is an object": routed_by(RouterObject()),
    "a router that is a function": routed_by(router_function),
    "a router by its path": routed_by(f"{__name__}.router_function"),
    "a class of routers by its path": routed_by(f"{__name__}.RouterObject"),
    "a router behind a mapping": routed_by({"elsewhere.*": "low"}, RouterObject()),
    "shadow names of a task class": shadow_by_class,
    "shadow names of a task": shadow_by_option,
    "a property of a task class": value_by_property,
    "a class of the app's messages": own_amqp,
    "a maker of messages": own_message_maker,
    "a sender of messages": own_sender,
    "a class of apps": own_app,
    "a tracer of the producer": traced_producer,
    "texts without secrets": redacted_texts,
    "another JSON": own_json,
    "a JSON of another name": json_of_another_name,
    "texts of arguments as an option": text_of_arguments,
    "texts of arguments as a header": header_of_arguments,
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest, monkeypatch: Patch) -> Iterator[Callable[[Celery], None]]:
    """What shapes the messages of an app."""
    yield lambda app: SHAPES[request.param](app, monkeypatch)
    monkeypatch.undo()


NAMES = ("a", "ä", "c", "d")


def shaped_app(url: str, shape: Callable[[Celery], None]) -> Celery:
    """An app with entries that are alike but for their arguments."""
    app = app_with(url)
    app.conf.beat_schedule = {name: {"task": "tasks.add", "schedule": 60, "args": [name]} for name in NAMES}
    shape(app)
    return app


def submissions_of(app: Celery) -> list[Submission]:
    entries = entries_of(app)
    return [firing(entries[name]) for name in NAMES]


def test_on_redis_messages_are_shaped_as_celery_shapes_them(
    redis_url: str, redis_server: RedisServer, shape: Callable[[Celery], None]
) -> None:
    app = shaped_app(redis_url, shape)
    for name in NAMES:
        send_as_celery(app, name)
    theirs = lists(redis_server.client)
    redis_server.client.flushall()
    submissions = submissions_of(app)
    with closing(MarkedSender(app, PlainScheduler(app))) as sender:
        assert sender.send(submissions) == [PUBLISHED] * len(submissions)
    ours = lists(redis_server.client)
    assert json.dumps(comparable(ours)) == json.dumps(comparable(theirs))


def test_on_rabbitmq_shaped_messages_go_the_plain_way(
    rabbitmq_url: str, make_sender: MakeSender, shape: Callable[[Celery], None]
) -> None:
    app = shaped_app(rabbitmq_url, shape)
    submissions = submissions_of(app)
    assert verdicts(make_sender(app).send(submissions)) == [None] * len(submissions)


def test_whoever_hears_of_sent_tasks_hears_of_each(rabbitmq_url: str, make_sender: MakeSender) -> None:
    def hear(**_: Any) -> None: ...

    submissions = [firing(entry("one")), firing(entry("other"))]
    task_sent.connect(hear)
    try:
        assert verdicts(make_sender(app_with(rabbitmq_url)).send(submissions)) == [None, None]
    finally:
        task_sent.disconnect(hear)
