"""Exactly once on a Redis broker: what has been sent is not sent again, whoever tries, whatever answer was lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import takewhile
from typing import Any

import pytest
import redis
from celery import group
from kombu.entity import Exchange, Queue

from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Submission, Verdict
from qbeat.beat.publishing.choice import _sender_maker
from qbeat.beat.publishing.marked import MarkedSender
from qbeat.beat.publishing.plain import PlainScheduler
from qbeat.beat.publishing.templates import Templates
from qbeat.schedules import Interval
from qbeat.store.records import Message
from tests.beat.confirmed import looks_at_arguments
from tests.beat.declaring import app_with
from tests.beat.publishing import KeepOff
from tests.beat.wire import Wire, body, comparable, entries_of, lists, send_as_celery, submission
from tests.servers import RedisServer, TcpProxy, eventually
from tests.torture.oracle import messages_in

PUBLISHED = (Verdict.PUBLISHED, None)
MakeSender = Callable[[str], MarkedSender]


@pytest.fixture
def make_sender() -> Iterator[MakeSender]:
    """`make_sender(url)`: a sender as each replica has one, closed after the test."""
    with ExitStack() as ending:

        def make(url: str) -> MarkedSender:
            app = app_with(url)
            return ending.enter_context(closing(MarkedSender(app, PlainScheduler(app))))

        yield make


def firing(name: str, number: int = 0, **options: Any) -> Submission:
    entry = Entry(name, "tasks.add", Interval(60), "UTC", options=options)
    return submission(entry, number, name.encode().hex().ljust(32, "0"))


def sent(redis: RedisServer) -> list[str]:
    """The task ids in the queue, in the order in which a worker takes them."""
    return [message.task_id for message in reversed(messages_in(redis.client))]


def ids(*submissions: Submission) -> list[str]:
    return [each.firing.task_id for each in submissions]


def test_what_one_replica_has_sent_no_other_sends_again(
    redis_url: str, redis_server: RedisServer, make_sender: MakeSender
) -> None:
    submissions = [firing("fast"), firing("slow", countdown=60), firing("fast", 1)]
    for replica in (make_sender(redis_url), make_sender(redis_url)):
        assert replica.send(submissions) == [PUBLISHED] * 3
    assert sent(redis_server) == ids(*submissions)


def test_of_a_batch_that_was_sent_in_part_the_rest_is_sent(
    redis_url: str, redis_server: RedisServer, make_sender: MakeSender
) -> None:
    submissions = [firing(f"entry {place}", number) for number in range(3) for place in range(4)]
    make_sender(redis_url).send(submissions[:5])
    assert make_sender(redis_url).send(submissions) == [PUBLISHED] * 12
    assert sent(redis_server) == ids(*submissions)


def test_a_fire_time_before_the_mark_is_never_sent(
    redis_url: str, redis_server: RedisServer, make_sender: MakeSender
) -> None:
    sender = make_sender(redis_url)
    early, late = firing("one"), firing("one", 1)
    assert sender.send([late]) == sender.send([early]) == [PUBLISHED]
    assert sent(redis_server) == ids(late)


def test_each_lane_of_an_entry_has_a_mark_of_its_own(
    redis_url: str, redis_server: RedisServer, make_sender: MakeSender
) -> None:
    automatic = firing("one", 1)
    by_hand = firing("one")
    by_hand = by_hand._replace(firing=by_hand.firing._replace(lane="manual:a"))
    for _ in range(2):
        assert make_sender(redis_url).send([automatic, by_hand]) == [PUBLISHED] * 2
    assert sent(redis_server) == ids(automatic, by_hand)


def test_a_push_whose_answer_is_lost_is_made_once(
    redis_url: str, redis_server: RedisServer, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qbeat.beat.publishing.plain.SOCKET_TIMEOUT", 0.3)
    sender = make_sender(redis_url)
    first, second = firing("one"), firing("one", 1)
    assert sender.send([first]) == [PUBLISHED]
    redis_server.process.pause()
    try:
        [(verdict, _)] = sender.send([second])
    finally:
        redis_server.process.resume()
    assert verdict is Verdict.UNCERTAIN
    eventually(lambda: sent(redis_server) == ids(first, second))  # it had reached Redis all the same
    assert sender.send([second]) == [PUBLISHED]
    assert sent(redis_server) == ids(first, second)


def test_a_queue_that_is_none_moves_no_mark(
    redis_url: str, redis_server: RedisServer, make_sender: MakeSender
) -> None:
    sender = make_sender(redis_url)
    assert sender.send([firing("one")]) == [PUBLISHED]
    redis_server.client.delete("celery")
    redis_server.client.set("celery", "by something else")
    answers = sender.send([firing("one", 1), firing("other", queue="low")])
    assert [verdict for verdict, _ in answers] == [Verdict.FAILED, Verdict.PUBLISHED]
    redis_server.client.delete("celery")
    assert sender.send([firing("one", 1)]) == [PUBLISHED]
    assert sent(redis_server) == ids(firing("one", 1))


def test_of_a_canvas_that_a_queue_refuses_nothing_is_sent(
    redis_url: str, redis_server: RedisServer, off_result_backend: KeepOff
) -> None:
    app = app_with(redis_url)
    off_result_backend(app)
    both = group(app.signature("tasks.add", queue=queue) for queue in ("celery", "low"))
    canvas = Entry("both", "celery.group", Interval(60), "UTC", canvas=dict(both))
    with closing(MarkedSender(app, PlainScheduler(app))) as sender:
        assert sender.send([submission(canvas)]) == [PUBLISHED]
        redis_server.client.delete("celery", "low")
        redis_server.client.set("low", "by something else")
        for _ in range(2):
            [(verdict, _)] = sender.send([submission(canvas, 1)])
            assert verdict is Verdict.FAILED
            assert lists(redis_server.client) == {}
        redis_server.client.delete("low")
        for _ in range(2):
            assert sender.send([submission(canvas, 1)]) == [PUBLISHED]
    assert {key: len(messages) for key, messages in lists(redis_server.client).items()} == {
        "celery": 1,
        "low": 1,
    }


# --- what goes to subscribers, or to a queue that expires

SPECIAL = {
    "fanout": Queue("news", Exchange("news", "fanout"), routing_key=""),
    "expiring": Queue("news", expires=600),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("prefix", ["", "pfx:"])
def test_what_is_not_for_a_lasting_queue_is_sent_once_and_as_celery_sends_it(
    redis_url: str, redis_server: RedisServer, kind: str, prefix: str
) -> None:
    app = app_with(
        redis_url,
        {"options": {"queue": "news"}},
        task_queues=[Queue("celery"), SPECIAL[kind]],
        broker_transport_options={"global_keyprefix": prefix},
    )
    feed = submission(entries_of(app)["feed"])
    with listening(redis_server.client) as heard:
        send_as_celery(app, "feed")
        theirs = heard() | lists(redis_server.client), expiring(redis_server.client)
        redis_server.client.flushall()
        for _ in range(2):
            with closing(MarkedSender(app, PlainScheduler(app))) as sender:
                assert sender.send([feed]) == [PUBLISHED]
        ours = heard() | lists(redis_server.client), expiring(redis_server.client)
    assert [len(messages) for messages in ours[0].values()] == [1]
    assert (comparable(ours[0]), ours[1]) == (comparable(theirs[0]), theirs[1])


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_made_ready_is_not_sent(redis_url: str, redis_server: RedisServer, kind: str) -> None:
    app = app_with(redis_url, task_queues=[Queue("celery"), SPECIAL[kind]])
    one, other = firing("one", queue="news"), firing("other", queue="news")
    with listening(redis_server.client) as heard, closing(MarkedSender(app, PlainScheduler(app))) as sender:
        for each in (one, other):
            assert sender.get_ready([(each.entry, each.firing.uid)])
        assert heard() | lists(redis_server.client) == {}
        assert sender.send([one, other]) == [PUBLISHED] * 2
        [messages] = (heard() | lists(redis_server.client)).values()
    assert [message["headers"]["id"] for message in messages] == ids(one, other)


def test_a_queue_that_is_bound_to_an_exchange_later_gets_messages_from_then_on(
    redis_url: str, redis_server: RedisServer
) -> None:
    topics = Exchange("topics", "topic")
    app = app_with(redis_url, task_queues=[Queue("celery", topics, routing_key="#")])
    with closing(MarkedSender(app, PlainScheduler(app))) as sender:
        assert sender.send([firing("one"), firing("other")]) == [PUBLISHED] * 2
        with app.connection_for_write() as connection:
            Queue("later", topics, routing_key="#")(connection.default_channel).declare()
        assert sender.send([firing("one", 1)]) == [PUBLISHED]
    found = {
        key: [message["headers"]["id"] for message in queue]
        for key, queue in lists(redis_server.client).items()
    }
    assert found == {
        "celery": ids(firing("one"), firing("other"), firing("one", 1)),
        "later": ids(firing("one", 1)),
    }


def test_the_event_of_a_firing_is_sent_once(redis_url: str, redis_server: RedisServer) -> None:
    app = app_with(redis_url, task_send_sent_event=True)
    one = firing("one")
    with listening(redis_server.client) as heard:
        for _ in range(2):
            with closing(MarkedSender(app, PlainScheduler(app))) as sender:
                assert sender.send([one]) == [PUBLISHED]
        [events] = heard().values()
    assert [body(event)["uuid"] for event in events] == sent(redis_server) == ids(one)


@contextmanager
def listening(client: redis.Redis) -> Iterator[Callable[[], Wire]]:
    """A function that returns what has been published to subscribers since its last call, by channel."""
    with client.pubsub() as subscriber:
        subscriber.psubscribe("*")
        assert subscriber.get_message(timeout=5) is not None

        def heard() -> Wire:
            client.publish("end", "")
            found: Wire = {}
            for message in takewhile(lambda message: message["channel"] != b"end", subscriber.listen()):
                found.setdefault(message["channel"].decode(), []).append(json.loads(message["data"]))
            return found

        yield heard


def expiring(client: redis.Redis) -> list[str]:
    """The lists that expire."""
    return [key.decode() for key in client.scan_iter(_type="LIST") if int(client.pttl(key)) > 0]


# --- what is ready


def test_what_one_thread_has_made_ready_the_others_push(
    redis_url: str, redis_server: RedisServer, start_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = start_proxy(redis_server.port)
    app = app_with(proxy.url(redis_url))
    make = _sender_maker(app, PlainScheduler(app))
    with closing(make()) as one, closing(make()) as other:
        first = firing("one")
        assert one.send([first]) == [PUBLISHED]
        second, looks = submission(first.entry, 1, first.firing.uid), looks_at_arguments(app)
        proxy.cut()
        [answer] = other.send([second])
        assert answer is not None
        assert answer[0] is Verdict.UNSENT
        proxy.restore()
        eventually(lambda: other.send([second]) == [PUBLISHED])
        assert looks == []
    assert sent(redis_server) == ids(first, second)


def test_what_is_ready_stays_so_when_more_entries_come_than_are_remembered(
    redis_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qbeat.beat.publishing.classes.MAX_REMEMBERED", 2)
    app = app_with(redis_url)
    first = [firing(name) for name in ("one", "two", "three")]
    second = [submission(each.entry, 1, each.firing.uid) for each in first]
    with closing(MarkedSender(app, PlainScheduler(app))) as sender:
        assert sender.send(first) == [PUBLISHED] * 3
        looks = looks_at_arguments(app)
        assert sender.send(second) == [PUBLISHED] * 3
        assert len(looks) == 1
        assert [sender.get_ready([(each.entry, each.firing.uid)]) for each in first] == [False] * 3
    assert sent(redis_server) == ids(*first, *second)


def test_entries_of_more_classes_than_are_remembered_go_the_plain_way(
    redis_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qbeat.beat.publishing.classes.MAX_CLASSES", 2)
    app = app_with(redis_url)
    first = [firing(name, headers={"tenant": name}) for name in ("one", "two", "three")]
    second = [submission(each.entry, 1, each.firing.uid) for each in first]
    with closing(MarkedSender(app, PlainScheduler(app))) as sender:
        assert sender.send(first) == [PUBLISHED] * 3
        looks = looks_at_arguments(app)
        assert sender.send(second[:2]) == [PUBLISHED] * 2
        assert looks == []
        assert sender.send(second[2:]) == [PUBLISHED]
        assert looks != []
    tenants = [message["headers"]["tenant"] for message in lists(redis_server.client)["celery"]]
    assert tenants == ["one", "two", "three"] * 2


def test_an_entry_that_is_declared_anew_is_made_ready_anew(redis_url: str, redis_server: RedisServer) -> None:
    app = app_with(redis_url)
    with closing(MarkedSender(app, PlainScheduler(app))) as sender:
        for number in range(2):
            entry = Entry("one", "tasks.add", Interval(60), "UTC", args=(number,))
            uid = "a" * 32
            assert sender.get_ready([(entry, uid)])
            looks = looks_at_arguments(app)
            assert sender.send([submission(entry, number, uid)]) == [PUBLISHED]
            assert looks == []
    [messages] = lists(redis_server.client).values()
    assert [body(message)[0] for message in messages] == [[0], [1]]


def test_a_class_whose_messages_differ_in_more_than_is_filled_in_goes_the_plain_way(redis_url: str) -> None:
    app = app_with(redis_url)
    templates = Templates(app)
    templates.refresh()
    rendered: list[Submission] = []
    with closing(MarkedSender(app, PlainScheduler(app))) as sender:

        def render(each: Submission) -> list[Message]:
            [message] = sender.render(each)
            rendered.append(each)
            payload = message.payload.replace('"lang": "py"', f'"lang": "py{len(rendered)}"')
            assert payload != message.payload
            return [message._replace(payload=payload)]

        for name in ("one", "two"):
            each = firing(name)
            assert templates.message(each.entry, each.firing.uid, each.firing.task_id, "", render) is None
    assert [each.entry.name for each in rendered] == ["one", "one"]
