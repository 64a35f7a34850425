"""The fast way on RabbitMQ: Celery's own messages to the byte, and workers that run them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.signals import before_task_publish

from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Submission, Verdict
from qbeat.beat.publishing.blockage import Blockage
from qbeat.beat.publishing.confirmed import CHANNEL, ConfirmedSender
from qbeat.beat.publishing.frame_templates import FrameTemplates, Rendered
from qbeat.beat.publishing.plain import PlainScheduler
from qbeat.schedules import Interval
from qbeat.store.records import Firing
from tests.beat.confirmed import (
    PUBLISHED,
    MakeSender,
    Own,
    entry,
    firing,
    firings,
    ids,
    looks_at_arguments,
    publisher_on,
    results_of,
    taken,
    task_ids,
)
from tests.beat.declaring import (
    MOMENTARY,
    NOTING,
    OPTIONS,
    PLAIN_SETTINGS,
    SETTINGS,
    add,
    app_with,
    odd_entries,
)
from tests.beat.wire import entries_of, send_as_celery, submission
from tests.servers import RabbitMQServer, eventually
from tests.servers.fixtures import StartWorker


def comparable(message: Any) -> tuple[Any, ...]:
    """All of a message that a consumer sees, in the order in which it lies there, less what differs each time."""
    properties = dict(message.properties)
    headers = properties.pop("application_headers")
    if "task" not in headers:  # protocol 1
        body: Any = {**message.decode(), "id": "an id"} if hasattr(message, "decode") else None
    else:
        body = message.body
    for name in ("eta", "expires"):
        if headers.get(name):
            headers[name] = "an instant"
    if "expiration" in properties:
        properties["expiration"] = "milliseconds"
    shown = [(name, value) for name, value in headers.items() if name not in _OURS | _IDS]
    rest = [(name, value) for name, value in properties.items() if name not in _IDS]
    route = message.delivery_info["exchange"], message.delivery_info["routing_key"]
    return route, repr(rest), repr(shown), body


_OURS = {"celery_beat_task", "periodic_task_name", "qbeat"}
_IDS = {"id", "root_id", "correlation_id"}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_message_is_celerys_own(rabbitmq_url: str, make_sender: MakeSender, name: str) -> None:
    app = app_with(rabbitmq_url, OPTIONS[name])
    assert_same_wire(app, make_sender(app), rabbitmq_url, fast=name not in MOMENTARY | {"unknown option"})


_OF_REDIS = {"priority steps", "key prefix"}


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in _OF_REDIS])
def test_the_message_is_celerys_own_under_any_settings(
    rabbitmq_url: str, make_sender: MakeSender, name: str
) -> None:
    app = app_with(rabbitmq_url, {"args": (1, 2), "options": {"priority": 1}}, **SETTINGS[name])
    assert_same_wire(app, make_sender(app), rabbitmq_url, fast=name not in PLAIN_SETTINGS)


def assert_same_wire(app: Celery, sender: ConfirmedSender, url: str, *, fast: bool) -> None:
    send_as_celery(app, "feed")
    [theirs] = taken(url)
    feed = entries_of(app)["feed"]
    fast_answer, _ = sender.send([submission(feed, 0), submission(replace(feed, name="other"), 0, "b" * 32)])
    assert fast_answer == (PUBLISHED if fast else None)
    messages = taken(url)
    assert bool(messages) == fast
    # By itself each firing is sent, one way or the other.
    assert sender.send([submission(feed, 1)]) == [PUBLISHED]
    messages += taken(url)
    for ours in messages:
        if "task" in theirs.properties["application_headers"]:
            assert comparable(ours) == comparable(theirs)
    expected = [submission(feed, number).firing.task_id for number in ((0, 1) if fast else (1,))]
    ours_ids = [message for message in messages if message.headers["periodic_task_name"] == "feed"]
    assert task_ids(ours_ids) == expected


def test_entries_of_one_class_differ_in_nothing_but_what_is_theirs(
    rabbitmq_url: str, make_sender: MakeSender
) -> None:
    app = app_with(rabbitmq_url)
    app.conf.beat_schedule = odd_entries()
    for name in app.conf.beat_schedule:
        send_as_celery(app, name)
    theirs = taken(rabbitmq_url)
    entries = entries_of(app)
    submissions = [firing(entries[name]) for name in app.conf.beat_schedule]
    assert make_sender(app).send(submissions) == [PUBLISHED] * len(submissions)
    ours = taken(rabbitmq_url)
    assert list(map(comparable, ours)) == list(map(comparable, theirs))
    assert [message.headers["periodic_task_name"] for message in ours] == list(app.conf.beat_schedule)
    assert task_ids(ours) == ids(submissions)
    assert ours[0].headers["qbeat"] == {
        "entry": ours[0].headers["periodic_task_name"],
        "fire_time": "2026-09-21T14:13:20Z",
        "lane": "auto",
    }


@pytest.mark.parametrize("fraction", [0, 1_000, 1])
def test_a_fire_time_has_as_many_decimals_as_it_needs(
    rabbitmq_url: str, make_sender: MakeSender, fraction: int
) -> None:
    app = app_with(rabbitmq_url)
    feed = entries_of(app)["feed"]
    sender = make_sender(app)
    whole = submission(feed).firing
    at = whole.fire_time + fraction
    one = Firing(whole.uid, whole.entry, at, whole.lane, whole.task_id)
    assert sender.send([Submission(one, feed), firing(entry("other"))]) == [PUBLISHED] * 2
    by_template, _ = taken(rabbitmq_url)
    assert sender.send_one(Submission(one, feed)) == PUBLISHED
    [by_celery] = taken(rabbitmq_url)
    assert by_template.properties == by_celery.properties


def test_a_message_too_large_for_a_frame_goes_the_plain_way(
    rabbitmq_url: str, make_sender: MakeSender
) -> None:
    app = app_with(rabbitmq_url)
    sender = make_sender(app)
    large, small = firing(entry("large", "x" * 300_000)), firing(entry("small", "x"))
    assert sender.send([large, small]) == [None, PUBLISHED]
    assert sender.send([large]) == [PUBLISHED]
    assert sorted(task_ids(taken(rabbitmq_url))) == sorted(ids([large, small]))


def test_a_message_too_large_for_the_frames_of_its_broker_goes_the_plain_way(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer, make_sender: MakeSender
) -> None:
    sender = make_sender(app_with(rabbitmq_url))
    large, small = firing(entry("large", "x" * 30_000)), firing(entry("small", "x"))
    rabbitmq_server.evaluate("application:set_env(rabbit, frame_max, 16384)")
    try:
        sender.connect()
    finally:
        rabbitmq_server.evaluate("application:set_env(rabbit, frame_max, 131072)")
    assert sender.send([large, small]) == [None, PUBLISHED]
    assert sender.send([large]) == [PUBLISHED]
    assert sorted(task_ids(taken(rabbitmq_url))) == sorted(ids([large, small]))


def test_whoever_watches_sees_each_message(rabbitmq_url: str, make_sender: MakeSender) -> None:
    app = app_with(rabbitmq_url)
    sender = make_sender(app)
    seen: list[Any] = []

    def watch(headers: Any, **_: Any) -> None:
        seen.append(headers["id"])

    assert sender.send(firings(2)) == [PUBLISHED] * 2
    before_task_publish.connect(watch)
    try:
        assert sender.send(firings(2, 1)) == [None, None]
        assert sender.send(firings(1, 1)) == [PUBLISHED]
    finally:
        before_task_publish.disconnect(watch)
    assert seen == ids(firings(1, 1))
    assert sender.send(firings(2, 2)) == [PUBLISHED] * 2


def test_queues_are_declared_on_each_connection_anew(
    rabbitmq_url: str, make_sender: MakeSender, rabbitmq_server: RabbitMQServer
) -> None:
    app = app_with(rabbitmq_url)
    sender = make_sender(app)
    assert sender.send(firings(2)) == [PUBLISHED] * 2
    with app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_delete("celery")
    sender.close()
    assert sender.send(firings(2, 1)) == [PUBLISHED] * 2
    assert task_ids(taken(rabbitmq_url)) == ids(firings(2, 1))


# --- workers


def test_a_worker_runs_both_kinds_of_messages(
    tmp_path: Path, rabbitmq_url: str, start_worker: StartWorker
) -> None:
    (tmp_path / "tasks.py").write_text(NOTING.format(url=rabbitmq_url))
    app = app_with(rabbitmq_url)
    app.task(add, name="tasks.note", shared=False)
    app.task(add, name="tasks.noted", base=Own, shared=False)
    entries = [
        Entry(f"{task}{number}", f"tasks.{task}", Interval(60), "UTC", args=(f"{task}{number}",))
        for number in range(10)
        for task in ("note", "noted")
    ]
    submissions = [firing(one) for one in entries]
    with publisher_on(app) as publisher:
        results = results_of(publisher, submissions)
    assert {result.verdict for result in results} == {Verdict.PUBLISHED}
    start_worker(tmp_path)
    notes = tmp_path / "notes"
    eventually(lambda: notes.exists() and len(notes.read_text().splitlines()) == len(submissions), within=30)
    assert len(set(notes.read_text().split())) == 2 * len(submissions)


# --- ahead of time


def test_what_is_ready_stays_so_when_more_entries_come_than_are_remembered(
    rabbitmq_url: str, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qbeat.beat.publishing.classes.MAX_REMEMBERED", 2)
    app = app_with(rabbitmq_url)
    sender, looks = make_sender(app), looks_at_arguments(app)
    first = firings(3)
    second = [firing(each.entry, 1) for each in first]
    assert sender.send(first) == [PUBLISHED] * 3
    looks.clear()
    assert sender.send(second) == [PUBLISHED] * 3
    assert looks == [(2,)]
    assert [sender.get_ready([(each.entry, each.firing.uid)]) for each in first] == [False] * 3
    assert task_ids(taken(rabbitmq_url)) == ids([*first, *second])


def test_threads_that_find_out_the_same_at_a_time_agree_on_one_class(rabbitmq_url: str) -> None:
    app = app_with(rabbitmq_url)
    templates = FrameTemplates(app, CHANNEL)
    templates.refresh()
    one, other = firings(2)
    with closing(ConfirmedSender(app, PlainScheduler(app), Blockage(), templates)) as sender:

        def render(submission: Submission) -> Rendered:
            assert templates.frames(other, sender._render) is not None
            return sender._render(submission)

        found = [templates.frames(one, render), templates.frames(other, sender._render)]
        routes = [each and each[0] for each in found]
        assert routes[0] is not None
        assert routes[0] is routes[1]
        templates.distrust(routes[0])
        assert [templates.frames(each, sender._render) for each in (one, other)] == [None, None]
