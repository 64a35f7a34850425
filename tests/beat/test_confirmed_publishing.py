"""The fast way on RabbitMQ: Celery's own messages to the byte, each confirmed, none lost whatever breaks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amqp.exceptions import NotFound
from celery import Celery, Task
from celery.beat import BeatLazyFunc
from celery.signals import before_task_publish
from kombu.entity import Exchange, Queue

from qbeat.beat.clock import SystemClock
from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Job, Publisher, Result, Verdict
from qbeat.beat.publishing.blockage import Blockage
from qbeat.beat.publishing.choice import publisher_for
from qbeat.beat.publishing.confirmed import ConfirmedSender
from qbeat.beat.publishing.plain import Answer, PlainScheduler
from qbeat.schedules import Interval
from qbeat.store.records import Firing
from tests.beat.declaring import OPTIONS, SETTINGS, add, app_with, nothing
from tests.beat.wire import entries_of, job, send_as_celery
from tests.servers import RabbitMQServer, TcpProxy, eventually
from tests.servers.fixtures import StartWorker

MakeSender = Callable[[Celery], ConfirmedSender]
PUBLISHED: Answer = (Verdict.PUBLISHED, None)
QUEUES = ("celery", "low", "urgent", "other", "q")


@pytest.fixture
def make_sender() -> Iterator[MakeSender]:
    """`make_sender(app)`: a sender for this thread, closed after the test."""
    made: list[ConfirmedSender] = []

    def make(app: Celery) -> ConfirmedSender:
        made.append(ConfirmedSender(app, PlainScheduler(app), Blockage()))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


@contextmanager
def publisher_on(app: Celery) -> Iterator[Publisher]:
    clock = SystemClock()
    publisher = publisher_for(app, clock, clock.now)
    publisher.start()
    eventually(lambda: publisher.ready)
    yield publisher
    publisher.close(5)
    clock.close()


def results_of(publisher: Publisher, jobs: Sequence[Job]) -> list[Result]:
    """Submit jobs and wait for their results."""
    publisher.submit(jobs)
    return collected(publisher, len(jobs))


def collected(publisher: Publisher, count: int) -> list[Result]:
    """Wait for so many results."""
    results: list[Result] = []

    def enough() -> bool:
        results.extend(publisher.collect())
        return len(results) >= count

    eventually(enough, within=20)
    return results


def verdicts(answers: Sequence[Answer | None]) -> list[Verdict | None]:
    return [answer and answer[0] for answer in answers]


def entry(name: str, *args: Any, **options: Any) -> Entry:
    return Entry(name, "tasks.add", Interval(60), "UTC", args=args, options=options)


def firing(one: Entry, number: int = 0) -> Job:
    return job(one, number, one.name.encode().hex().ljust(32, "0"))


def firings(count: int, number: int = 0) -> list[Job]:
    return [firing(entry(f"e{place}", place), number) for place in range(count)]


def ids(jobs: Sequence[Job]) -> list[str]:
    return [each.firing.task_id for each in jobs]


def taken(url: str, queues: Sequence[str] = QUEUES) -> list[Any]:
    """All messages of some queues, taken from them; a queue need not exist."""
    found: list[Any] = []
    with Celery("reader", broker=url, set_as_current=False).connection_for_read() as connection:
        for queue in queues:
            with connection.channel() as channel:
                try:
                    channel.queue_declare(queue, passive=True)
                except NotFound:
                    continue
                while (message := channel.basic_get(queue, no_ack=True)) is not None:
                    found.append(message)
    return found


def task_ids(messages: Sequence[Any]) -> list[str]:
    return [message.properties["correlation_id"] for message in messages]


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

# --- the message


PLAIN_OPTIONS = {
    "options of the task",  # it expires
    "expires in seconds",
    "expires at an instant",
    "countdown",
    "eta",
    "serializer",
    "compression",
    "retries",
    "reply to",
    "stamps",
    "unknown option",
}
"""What goes the plain way."""


@pytest.mark.parametrize("name", OPTIONS)
def test_the_message_is_celerys_own(rabbitmq_url: str, make_sender: MakeSender, name: str) -> None:
    app = app_with(rabbitmq_url, OPTIONS[name])
    assert_same_wire(app, make_sender(app), rabbitmq_url, fast=name not in PLAIN_OPTIONS)


PLAIN_SETTINGS = {"protocol 1", "serializer", "compression", "sent events"}
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
    fast_answer, _ = sender.send([job(feed, 0), job(replace(feed, name="other"), 0, "b" * 32)])
    assert fast_answer == (PUBLISHED if fast else None)
    messages = taken(url)
    assert bool(messages) == fast
    # By itself each firing is sent, one way or the other.
    assert sender.send([job(feed, 1)]) == [PUBLISHED]
    messages += taken(url)
    for ours in messages:
        if "task" in theirs.properties["application_headers"]:
            assert comparable(ours) == comparable(theirs)
    expected = [job(feed, number).firing.task_id for number in ((0, 1) if fast else (1,))]
    ours_ids = [message for message in messages if message.headers["periodic_task_name"] == "feed"]
    assert task_ids(ours_ids) == expected


ODD = [
    "",
    "ä€𝄞",
    '"quoted" %s %(x)s {0}',
    "\x00\x01\x02\n",
    "x" * 5_000,
    "\\u0041",
    "qbeatF",
    "\ufdd0id\ufdd0",
]


def test_entries_of_one_class_differ_in_nothing_but_what_is_theirs(
    rabbitmq_url: str, make_sender: MakeSender
) -> None:
    app = app_with(rabbitmq_url)
    values: list[Any] = [*ODD, -0.0, 1e300, True, None, 2**70, [[]], {"a": {"b": [1, {}]}}, float("inf")]
    app.conf.beat_schedule = {
        f"{number} {value if isinstance(value, str) else ''}"[:300]: {
            "task": "tasks.add",
            "schedule": 60,
            "args": [value, number],
            "kwargs": {},
        }
        for number, value in enumerate(values)
    } | {
        f"keyword {number}": {"task": "tasks.add", "schedule": 60, "kwargs": {"x": value}}
        for number, value in enumerate(values)
    }
    for name in app.conf.beat_schedule:
        send_as_celery(app, name)
    theirs = taken(rabbitmq_url)
    entries = entries_of(app)
    jobs = [firing(entries[name]) for name in app.conf.beat_schedule]
    assert make_sender(app).send(jobs) == [PUBLISHED] * len(jobs)
    ours = taken(rabbitmq_url)
    assert list(map(comparable, ours)) == list(map(comparable, theirs))
    assert [message.headers["periodic_task_name"] for message in ours] == list(app.conf.beat_schedule)
    assert task_ids(ours) == ids(jobs)
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
    whole = job(feed).firing
    at = whole.fire_time + fraction
    one = Firing(whole.uid, whole.entry, at, whole.lane, whole.task_id)
    assert sender.send([Job(one, feed), firing(entry("other"))]) == [PUBLISHED] * 2
    by_template, _ = taken(rabbitmq_url)
    assert sender.send_one(Job(one, feed)) == PUBLISHED
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


TASKS = """
from celery import Celery
app = Celery("tasks", broker={url!r})

@app.task
def note(text):
    with open("notes", "a") as file:
        file.write(f"{{text}} {{app.current_task.request.id}}\\n")

@app.task
def noted(text):
    note.run(text)
"""


class Own(Task):
    """A task class of the user's own: its messages go the plain way."""

    def apply_async(self, *args: Any, **options: Any) -> Any:
        return super().apply_async(*args, **options)


def test_a_worker_runs_both_kinds_of_messages(
    tmp_path: Path, rabbitmq_url: str, start_worker: StartWorker
) -> None:
    (tmp_path / "tasks.py").write_text(TASKS.format(url=rabbitmq_url))
    app = app_with(rabbitmq_url)
    app.task(add, name="tasks.note", shared=False)
    app.task(add, name="tasks.noted", base=Own, shared=False)
    entries = [
        Entry(f"{task}{number}", f"tasks.{task}", Interval(60), "UTC", args=(f"{task}{number}",))
        for number in range(10)
        for task in ("note", "noted")
    ]
    jobs = [firing(one) for one in entries]
    with publisher_on(app) as publisher:
        results = results_of(publisher, jobs)
    assert {result.verdict for result in results} == {Verdict.PUBLISHED}
    start_worker(tmp_path)
    notes = tmp_path / "notes"
    eventually(lambda: notes.exists() and len(notes.read_text().splitlines()) == len(jobs), within=30)
    assert len(set(notes.read_text().split())) == 2 * len(jobs)


# --- order


def test_the_firings_of_each_entry_keep_their_order_on_both_ways(rabbitmq_url: str) -> None:
    app = app_with(rabbitmq_url)
    app.task(nothing, name="tasks.own", base=Own, shared=False)
    kinds = [
        entry("fast", 1),
        entry("lazy", BeatLazyFunc(int)),
        replace(entry("own"), task="tasks.own"),
        entry("later", 1, countdown=60),
    ]
    jobs = [firing(one, number) for number in range(20) for one in kinds]
    with publisher_on(app) as publisher:
        results = results_of(publisher, jobs)
    assert {(result.verdict, result.error) for result in results} == {PUBLISHED}
    found = [message.headers["qbeat"] for message in taken(rabbitmq_url)]
    for one in kinds:
        times = [header["fire_time"] for header in found if header["entry"] == one.name]
        assert times == sorted(times)
        assert len(set(times)) == 20


def test_entries_that_go_alone_do_not_wait_for_each_other(rabbitmq_url: str) -> None:
    asked, answer = threading.Event(), threading.Event()

    class Slow(Task):
        def apply_async(self, *args: Any, **options: Any) -> Any:
            asked.set()
            assert answer.wait(20)
            return super().apply_async(*args, **options)

    app = app_with(rabbitmq_url)
    app.task(nothing, name="tasks.slow", base=Slow, shared=False)
    slow = replace(entry("slow"), task="tasks.slow")
    late = [firing(entry(f"late{number}", 1, countdown=60)) for number in range(3)]
    with publisher_on(app) as publisher:
        publisher.submit([firing(slow)])
        assert asked.wait(10)
        results = results_of(publisher, [*late, *firings(3)])
        assert publisher.in_flight == 1
        answer.set()
        results += collected(publisher, 1)
    assert {result.verdict for result in results} == {Verdict.PUBLISHED}


# --- what a broker refuses


def test_what_a_full_queue_refuses_has_failed_and_the_rest_is_published(
    rabbitmq_url: str, make_sender: MakeSender
) -> None:
    bounds = {"x-max-length": 3, "x-overflow": "reject-publish"}
    app = app_with(rabbitmq_url, task_queues=[Queue("celery"), Queue("full", queue_arguments=bounds)])
    sender = make_sender(app)
    full = [firing(entry(f"f{number}", queue="full")) for number in range(10)]
    fine = firings(10)
    answers = sender.send([one for pair in zip(full, fine, strict=True) for one in pair])
    assert answers[1::2] == [PUBLISHED] * 10
    assert verdicts(answers[::2]) == [Verdict.PUBLISHED] * 3 + [Verdict.FAILED] * 7
    assert "MessageNacked" in str(answers[-2])
    assert task_ids(taken(rabbitmq_url, ["full"])) == ids(full[:3])
    assert task_ids(taken(rabbitmq_url)) == ids(fine)
    # There is room again, and the window's count is still right.
    assert sender.send([*full[3:5], *fine[:1]]) == [PUBLISHED] * 3


def test_a_message_that_must_be_routed_and_cannot_has_failed(
    rabbitmq_url: str, make_sender: MakeSender
) -> None:
    sender = make_sender(app_with(rabbitmq_url))
    nowhere = {"exchange": "amq.direct", "routing_key": "nowhere"}
    must, may = firing(entry("must", mandatory=True, **nowhere)), firing(entry("may", **nowhere))
    answers = sender.send([must, may, *firings(2)])
    assert verdicts(answers) == [Verdict.FAILED] + [Verdict.PUBLISHED] * 3
    assert "NO_ROUTE" in str(answers[0])
    assert sender.send([must])[0] == answers[0]


def test_an_exchange_that_goes_away_takes_no_other_entry_along(
    rabbitmq_url: str, make_sender: MakeSender
) -> None:
    app = app_with(rabbitmq_url)
    sender = make_sender(app)
    gone = [firing(entry(f"g{number}", exchange="gone", routing_key="x"), 0) for number in range(3)]
    with app.connection_for_write() as connection, connection.channel() as channel:
        Exchange("gone", "direct", durable=True)(channel).declare()
        assert sender.send([*gone, *firings(3)]) == [PUBLISHED] * 6
        channel.exchange_delete("gone")
    for number in (1, 2):
        answers = sender.send([*gone, *firings(3, number)])
        assert answers[3:] == [PUBLISHED] * 3
        assert Verdict.PUBLISHED not in verdicts(answers[:3])
    answers = sender.send(gone[:1])
    assert verdicts(answers) == [Verdict.FAILED]
    assert "gone" in str(answers)


def test_a_queue_that_is_declared_otherwise_fails_alone(rabbitmq_url: str, make_sender: MakeSender) -> None:
    app = app_with(rabbitmq_url)
    with app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_declare("odd", durable=False, auto_delete=False)
    sender = make_sender(app)
    odd = firing(entry("odd", queue="odd"))
    assert sender.send([odd, *firings(3)]) == [None, *[PUBLISHED] * 3]
    assert verdicts(sender.send([odd])) == [Verdict.FAILED]
    assert sender.send(firings(3, 1)) == [PUBLISHED] * 3


# --- what breaks


class InAThread:
    """A batch that is being sent, so that the test may break something in the meantime."""

    def __init__(self, sender: ConfirmedSender, jobs: Sequence[Job]) -> None:
        self.answers: Sequence[Answer | None] = ()
        self._sender = sender
        self._thread = threading.Thread(target=self._send, args=(jobs,))
        self._thread.start()

    def _send(self, jobs: Sequence[Job]) -> None:
        self.answers = self._sender.send(jobs)

    def wait_for_window(self) -> None:
        """Wait until messages are out that are not confirmed."""
        eventually(lambda: self._sender._window is not None and self._sender._window.unanswered)

    def result(self) -> list[Verdict | None]:
        self._thread.join(20)
        return verdicts(self.answers)


def test_a_connection_cut_in_the_middle_of_a_window_loses_nothing(
    rabbitmq_url: str,
    rabbitmq_server: RabbitMQServer,
    make_sender: MakeSender,
    start_proxy: Callable[[int], TcpProxy],
) -> None:
    proxy = start_proxy(rabbitmq_server.port)
    sender = make_sender(app_with(proxy.url(rabbitmq_url)))
    assert sender.send(firings(2)) == [PUBLISHED] * 2
    jobs = firings(200, 1)
    proxy.freeze()
    sending = InAThread(sender, jobs)
    sending.wait_for_window()
    proxy.cut()
    assert sending.result() == [Verdict.UNCERTAIN] * 200
    assert verdicts(sender.send(jobs)) == [Verdict.UNSENT] * 200
    proxy.restore()
    assert sender.send(jobs) == [PUBLISHED] * 200
    counts = Counter(task_ids(taken(rabbitmq_url)))
    assert set(counts) == {*ids(jobs), *ids(firings(2))}
    assert max(counts.values()) <= 2


def test_confirmations_that_do_not_come_leave_the_window_uncertain(
    rabbitmq_url: str,
    rabbitmq_server: RabbitMQServer,
    make_sender: MakeSender,
    start_proxy: Callable[[int], TcpProxy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qbeat.beat.publishing.confirmed.SOCKET_TIMEOUT", 0.3)
    proxy = start_proxy(rabbitmq_server.port)
    sender = make_sender(app_with(proxy.url(rabbitmq_url)))
    assert sender.send(firings(2)) == [PUBLISHED] * 2
    proxy.freeze()
    answers = sender.send(firings(20, 1))
    assert verdicts(answers) == [Verdict.UNCERTAIN] * 20
    assert "no confirmation" in str(answers[0])
    proxy.restore()
    assert sender.send(firings(20, 1)) == [PUBLISHED] * 20
    assert set(task_ids(taken(rabbitmq_url))) == {*ids(firings(2)), *ids(firings(20, 1))}


def test_a_connection_that_the_broker_has_closed_in_a_lull_makes_nothing_uncertain(
    rabbitmq_url: str,
    rabbitmq_server: RabbitMQServer,
    make_sender: MakeSender,
    start_proxy: Callable[[int], TcpProxy],
) -> None:
    proxy = start_proxy(rabbitmq_server.port)
    sender = make_sender(app_with(proxy.url(rabbitmq_url)))
    assert sender.send(firings(2)) == [PUBLISHED] * 2
    proxy.drop()
    assert sender.send(firings(2, 1)) == [PUBLISHED] * 2
    assert task_ids(taken(rabbitmq_url)) == ids([*firings(2), *firings(2, 1)])


def test_a_broker_killed_among_windows_loses_nothing(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer
) -> None:
    app = app_with(rabbitmq_url)
    confirmed: set[str] = set()
    waiting = {each.firing.task_id: each for each in firings(3_000)}
    with publisher_on(app) as publisher:

        def turn() -> bool:
            """As the dispatcher does: submit what is not out, while the broker is there."""
            if publisher.ready:
                out = [each for each in waiting.values() if not publisher.holds(each.firing)]
                publisher.submit(out[: 1_000 - publisher.in_flight])
            for result in publisher.collect():
                if result.verdict is Verdict.PUBLISHED:
                    confirmed.add(result.job.firing.task_id)
                    waiting.pop(result.job.firing.task_id, None)
                else:
                    assert result.verdict in {Verdict.UNCERTAIN, Verdict.UNSENT}
            return not waiting

        eventually(lambda: turn() or len(confirmed) > 500, within=20)
        rabbitmq_server.kill()
        eventually(lambda: turn() or not publisher.ready, within=20)
        rabbitmq_server.start()
        eventually(turn, within=60)
    assert set(task_ids(taken(rabbitmq_url))) == set(ids(firings(3_000)))


def test_an_alarm_of_the_broker_holds_publishing_back_and_its_end_sets_it_free(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qbeat.beat.publishing.confirmed.SOCKET_TIMEOUT", 0.5)
    app = app_with(rabbitmq_url)
    with publisher_on(app) as publisher:
        assert len(results_of(publisher, firings(5))) == 5
        rabbitmq_server.evaluate("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})")
        try:
            stuck = results_of(publisher, firings(50, 1))
            assert {result.verdict for result in stuck} <= {Verdict.UNCERTAIN, Verdict.UNSENT}
            eventually(lambda: not publisher.ready)
            # What is tried again all the same is not sent: it would lie in the broker's socket.
            again = results_of(publisher, firings(50, 1))
            assert {result.verdict for result in again} == {Verdict.UNSENT}
        finally:
            rabbitmq_server.evaluate("rabbit_alarm:clear_alarm({resource_limit, memory, node()})")
        eventually(lambda: publisher.ready, within=15)
        results = results_of(publisher, firings(50, 1))
        assert {result.verdict for result in results} == {Verdict.PUBLISHED}
    counts = Counter(task_ids(taken(rabbitmq_url)))
    assert set(counts) == {*ids(firings(5)), *ids(firings(50, 1))}
    assert max(counts.values()) <= 2
