"""The publisher: the order of each entry is kept, nobody holds up the others, a broker may come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import length_hint
from typing import Any

import pytest
from celery import Celery
from celery.beat import BeatLazyFunc

from qbeat.beat.clock import SystemClock
from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Publisher, Result, Submission, Verdict
from qbeat.beat.publishing.choice import publisher_for
from qbeat.beat.publishing.plain import Answer, PlainScheduler, PlainSender
from qbeat.beat.publishing.pool import PooledPublisher
from qbeat.schedules import Interval
from tests.beat.publishing import Pauses
from tests.beat.wire import lists, submission
from tests.servers import RabbitMQServer, RedisServer, eventually

MakePublisher = Callable[..., Publisher]


def entry(name: str, *args: Any, **options: Any) -> Entry:
    return Entry(name, "tasks.add", Interval(60), "UTC", args=args, options=options)


def uid(name: str) -> str:
    return name.encode().hex().ljust(32, "0")


def firing(one: Entry, number: int = 0) -> Submission:
    return submission(one, number, uid(one.name))


Kind = Callable[[Celery, SystemClock], Publisher]


def plain(app: Celery, clock: SystemClock) -> Publisher:
    scheduler = PlainScheduler(app)
    return PooledPublisher(lambda: PlainSender(app, scheduler), clock, clock.now)


def chosen(app: Celery, clock: SystemClock) -> Publisher:
    return publisher_for(app, clock, clock.now)


@contextmanager
def publishers(kind: Kind) -> Iterator[MakePublisher]:
    made: list[Publisher] = []
    clock = SystemClock()

    def make(url: str, *, wait: bool = True) -> Publisher:
        publisher = kind(Celery("tasks", broker=url, set_as_current=False), clock)
        made.append(publisher)
        publisher.start()
        if wait:
            eventually(lambda: publisher.ready)
        return publisher

    yield make
    for publisher in made:
        publisher.close(5)
    clock.close()


@pytest.fixture(params=[plain, chosen])
def make_publisher(request: pytest.FixtureRequest) -> Iterator[MakePublisher]:
    """`make_publisher(url)`: a started publisher that is ready; the plain way, and the way chosen for Redis."""
    with publishers(request.param) as make:
        yield make


@pytest.fixture
def make_rabbit_publisher() -> Iterator[MakePublisher]:
    """`make_rabbit_publisher(url)`: a started publisher that is ready, of the way chosen for RabbitMQ."""
    with publishers(chosen) as make:
        yield make


class Collected:
    """What a publisher has answered so far."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.results: list[Result] = []

    def more(self, count: int) -> list[Result]:
        """Wait for so many more results; those."""
        before = len(self.results)

        def enough() -> bool:
            self.results += self.publisher.collect()
            return len(self.results) >= before + count

        eventually(enough, within=15)
        assert len(self.results) == before + count
        return self.results[before:]

    def of(self, name: str) -> list[Verdict]:
        return [result.verdict for result in self.results if result.submission.firing.entry == name]


def fire_times(redis: RedisServer, name: str) -> list[str]:
    return [
        message["headers"]["qbeat"]["fire_time"]
        for messages in lists(redis.client).values()
        for message in messages
        if message["headers"]["periodic_task_name"] == name
    ]


def test_the_firings_of_an_entry_go_out_in_their_order(
    make_publisher: MakePublisher, redis_url: str, redis_server: RedisServer
) -> None:
    publisher = make_publisher(redis_url)
    entries = [entry(f"e{number}", number) for number in range(5)]
    publisher.submit([firing(one, number) for number in range(40) for one in entries])
    assert publisher.in_flight == 200
    results = Collected(publisher).more(200)
    assert {result.verdict for result in results} == {Verdict.PUBLISHED}
    assert publisher.in_flight == 0
    for one in entries:
        times = fire_times(redis_server, one.name)
        assert times == sorted(times)
        assert len(set(times)) == 40


@pytest.mark.parametrize("broker", ["redis_url", "rabbitmq_url"])
def test_what_is_made_ready_ahead_goes_out_like_all_else(broker: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(broker)
    entries = [entry(f"e{number}", number) for number in range(50)]
    ahead = iter([(one, uid(one.name)) for one in entries])
    with publishers(chosen) as make:
        publisher = make(url, wait=False)
        publisher.get_ready(ahead)
        eventually(lambda: length_hint(ahead) == 0)
        publisher.submit([firing(one) for one in entries])
        results = Collected(publisher).more(50)
    assert {result.verdict for result in results} == {Verdict.PUBLISHED}


def test_what_cannot_be_made_ready_ahead_is_published_all_the_same(redis_url: str) -> None:
    def refusing(app: Celery, clock: SystemClock) -> Publisher:
        return PooledPublisher(lambda: RefusingSender(app, PlainScheduler(app)), clock, clock.now)

    entries = [entry(f"e{number}", number) for number in range(50)]
    ahead = iter([(one, uid(one.name)) for one in entries])
    with publishers(refusing) as make:
        publisher = make(redis_url)
        publisher.get_ready(ahead)
        eventually(lambda: length_hint(ahead) < len(entries))
        publisher.submit([firing(entries[0])])
        assert [result.verdict for result in Collected(publisher).more(1)] == [Verdict.PUBLISHED]
    assert length_hint(ahead) > 0


class RefusingSender(PlainSender):
    """Makes nothing ready ahead."""

    def get_ready(self, entries: Sequence[tuple[Entry, str]]) -> bool:
        raise ConnectionError(f"no answer about {len(entries)} entries")


def test_a_broker_that_comes_back_and_takes_nothing_is_asked_with_growing_pauses(redis_url: str) -> None:
    def promising(app: Celery, clock: SystemClock) -> Publisher:
        return PooledPublisher(lambda: PromisingSender(app, PlainScheduler(app)), clock, clock.now)

    with publishers(promising) as make:
        publisher = make(redis_url)
        pauses = Pauses(publisher)
        collected = Collected(publisher)
        for number in range(4):
            publisher.submit([firing(entry("a", 1), number)])
            collected.more(1)
            eventually(lambda: publisher.ready)
    assert collected.of("a") == [Verdict.UNSENT] * 4
    assert pauses.asked == [0.2, 0.4, 0.8, 1.6]


class PromisingSender(PlainSender):
    """Finds a broker that is well, until it is given something."""

    def send(self, submissions: Sequence[Submission]) -> Sequence[Answer]:
        return [(Verdict.UNSENT, "too much")] * len(submissions)


def test_it_knows_what_it_holds(make_publisher: MakePublisher, redis_url: str) -> None:
    publisher = make_publisher(redis_url)
    one = firing(entry("a", 1))
    assert not publisher.holds(one.firing)
    publisher.submit([one])
    assert publisher.holds(one.firing)
    Collected(publisher).more(1)
    assert not publisher.holds(one.firing)


def test_a_slow_lazy_argument_does_not_delay_other_entries(
    make_publisher: MakePublisher, redis_url: str, redis_server: RedisServer
) -> None:
    publisher = make_publisher(redis_url)
    asked, answer = threading.Event(), threading.Event()

    def slow() -> int:
        asked.set()
        assert answer.wait(20)
        return 1

    collected = Collected(publisher)
    publisher.submit([firing(entry("slow", BeatLazyFunc(slow)))])
    publisher.submit([firing(entry("quick", 1), number) for number in range(3)])
    assert asked.wait(10)
    collected.more(3)
    assert collected.of("quick") == [Verdict.PUBLISHED] * 3
    assert collected.of("slow") == []
    answer.set()
    collected.more(1)
    assert collected.of("slow") == [Verdict.PUBLISHED]


def test_a_lazy_argument_that_raises_does_not_hold_up_others(
    make_publisher: MakePublisher, redis_url: str, redis_server: RedisServer
) -> None:
    publisher = make_publisher(redis_url)

    def broken() -> int:
        raise LookupError("no cat")

    publisher.submit(
        [
            firing(one, number)
            for number in range(3)
            for one in (entry("bad", BeatLazyFunc(broken)), entry("good", 1))
        ]
    )
    collected = Collected(publisher)
    collected.more(6)
    assert collected.of("good") == [Verdict.PUBLISHED] * 3
    # The later ones of the entry come back unsent: the outbox keeps their order.
    assert collected.of("bad") == [Verdict.FAILED, Verdict.UNSENT, Verdict.UNSENT]
    assert publisher.ready


def test_a_queue_that_cannot_be_written_does_not_hold_up_others(
    make_publisher: MakePublisher, redis_url: str, redis_server: RedisServer
) -> None:
    publisher = make_publisher(redis_url)
    bad, good = entry("bad", 1, queue="occupied"), [entry(f"good{number}", number) for number in range(10)]
    collected = Collected(publisher)
    publisher.submit([firing(one) for one in (*good[:5], bad, *good[5:])])
    collected.more(11)
    redis_server.client.delete("occupied")
    redis_server.client.set("occupied", "by something else")
    publisher.submit([firing(one, 1) for one in (*good[:5], bad, *good[5:])])
    collected.more(11)
    assert all(collected.of(one.name) == [Verdict.PUBLISHED] * 2 for one in good)
    assert collected.of("bad")[1] is not Verdict.PUBLISHED
    assert len(lists(redis_server.client)["celery"]) == 20


def test_after_a_stop_of_the_broker_the_same_firings_go_out_under_the_same_ids(
    make_publisher: MakePublisher, start_redis: Callable[..., RedisServer]
) -> None:
    redis = start_redis(durable=True)
    publisher = make_publisher(redis.url)
    collected = Collected(publisher)
    one = entry("a", 1)
    publisher.submit([firing(one, 0)])
    collected.more(1)
    redis.stop()
    publisher.submit([firing(one, 1), firing(one, 2)])
    collected.more(2)
    assert collected.of("a")[1] in {Verdict.UNSENT, Verdict.UNCERTAIN}
    assert collected.of("a")[2] is Verdict.UNSENT
    eventually(lambda: not publisher.ready)
    redis.start()
    eventually(lambda: publisher.ready, within=15)
    publisher.submit([firing(one, 1), firing(one, 2)])
    collected.more(2)
    assert collected.of("a")[3:] == [Verdict.PUBLISHED] * 2
    ids = [message["headers"]["id"] for message in lists(redis.client)["celery"]]
    assert ids == [firing(one, number).firing.task_id for number in range(3)]


def test_a_broker_that_is_away_at_the_start_is_waited_for(
    make_publisher: MakePublisher, start_redis: Callable[..., RedisServer]
) -> None:
    redis = start_redis()
    redis.stop()
    publisher = make_publisher(redis.url, wait=False)
    assert not publisher.ready
    redis.start()
    eventually(lambda: publisher.ready, within=15)


def test_closing_finishes_what_is_under_way(
    make_publisher: MakePublisher, redis_url: str, redis_server: RedisServer
) -> None:
    publisher = make_publisher(redis_url)
    publisher.submit([firing(entry(f"e{number}", number)) for number in range(50)])
    results = publisher.close(10)
    assert [result.verdict for result in results] == [Verdict.PUBLISHED] * 50
    assert len(lists(redis_server.client)["celery"]) == 50


def test_a_firing_whose_time_has_passed_is_not_begun(
    make_publisher: MakePublisher, redis_url: str, redis_server: RedisServer
) -> None:
    publisher = make_publisher(redis_url)
    late = firing(entry("late", 1))
    publisher.submit([Submission(late.firing, late.entry, start_before=-1.0)])
    [result] = Collected(publisher).more(1)
    assert result.verdict is Verdict.EXPIRED
    assert lists(redis_server.client) == {}


# --- RabbitMQ


def queued(url: str, queue: str = "celery") -> list[Any]:
    """All messages of a queue, taken."""
    found: list[Any] = []
    with Celery("reader", broker=url, set_as_current=False).connection_for_read() as connection:
        channel = connection.default_channel
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            found.append(message)
    return found


def test_rabbitmq_confirms_each_message(make_rabbit_publisher: MakePublisher, rabbitmq_url: str) -> None:
    publisher = make_rabbit_publisher(rabbitmq_url)
    publisher.submit([firing(entry("a", 1), number) for number in range(5)])
    results = Collected(publisher).more(5)
    assert [result.verdict for result in results] == [Verdict.PUBLISHED] * 5
    # Confirmed: they are there now, without waiting.
    messages = queued(rabbitmq_url)
    ids = [message.properties["correlation_id"] for message in messages]
    assert ids == [result.submission.firing.task_id for result in results]
    assert messages[0].properties["application_headers"]["qbeat"]["entry"] == "a"


def test_the_message_on_rabbitmq_is_celerys_own(
    make_rabbit_publisher: MakePublisher, rabbitmq_url: str
) -> None:
    from tests.beat.wire import entries_of, send_as_celery

    app = Celery("tasks", broker=rabbitmq_url, set_as_current=False)
    app.conf.beat_schedule = {
        "a": {"task": "x", "schedule": 60, "args": [1], "options": {"priority": 4, "headers": {"mine": 1}}}
    }
    send_as_celery(app, "a")
    [theirs] = queued(rabbitmq_url)
    publisher = make_rabbit_publisher(rabbitmq_url)
    publisher.submit([submission(entries_of(app)["a"])])
    Collected(publisher).more(1)
    [ours] = queued(rabbitmq_url)
    assert ours.body == theirs.body
    assert ours.delivery_info["routing_key"] == theirs.delivery_info["routing_key"]
    for message in (ours, theirs):
        message.properties.pop("correlation_id")
        message.properties.pop("reply_to")
        headers = message.properties["application_headers"]
        for name in ("id", "root_id", "celery_beat_task", "periodic_task_name", "qbeat"):
            headers.pop(name, None)
    assert ours.properties == theirs.properties


def test_an_exchange_that_rabbitmq_does_not_have_is_the_entrys_own_fault(
    make_rabbit_publisher: MakePublisher, rabbitmq_url: str
) -> None:
    publisher = make_rabbit_publisher(rabbitmq_url)
    collected = Collected(publisher)
    publisher.submit([firing(entry("bad", 1, exchange="nosuch", routing_key="x")), firing(entry("good", 1))])
    collected.more(2)
    assert collected.of("bad") == [Verdict.FAILED]
    assert collected.of("good") == [Verdict.PUBLISHED]
    assert "nosuch" in str([result.error for result in collected.results])
    assert publisher.ready


def test_after_a_restart_of_rabbitmq_the_same_firings_go_out_under_the_same_ids(
    make_rabbit_publisher: MakePublisher, rabbitmq_url: str, rabbitmq_server: RabbitMQServer
) -> None:
    publisher = make_rabbit_publisher(rabbitmq_url)
    collected = Collected(publisher)
    one = entry("a", 1)
    publisher.submit([firing(one, 0)])
    collected.more(1)
    rabbitmq_server.kill()
    publisher.submit([firing(one, 1)])
    collected.more(1)
    assert collected.of("a")[1] in {Verdict.UNSENT, Verdict.UNCERTAIN}
    rabbitmq_server.start()
    eventually(lambda: publisher.ready, within=30)
    publisher.submit([firing(one, 1)])
    collected.more(1)
    assert collected.of("a")[2] is Verdict.PUBLISHED
    ids = {message.properties["correlation_id"] for message in queued(rabbitmq_url)}
    assert ids == {firing(one, number).firing.task_id for number in range(2)}
