"""The fast way on RabbitMQ: each message confirmed and in order, none lost whatever the broker refuses or breaks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from celery import Task
from celery.beat import BeatLazyFunc
from kombu.entity import Exchange, Queue

from qbeat.beat.clock import SystemClock
from qbeat.beat.publishing.base import Submission, Verdict
from qbeat.beat.publishing.choice import publisher_for
from qbeat.beat.publishing.confirmed import ConfirmedSender
from qbeat.beat.publishing.plain import Answer
from tests.beat.confirmed import (
    PUBLISHED,
    MakeSender,
    Own,
    collected,
    entry,
    firing,
    firings,
    ids,
    publisher_on,
    results_of,
    taken,
    task_ids,
    verdicts,
)
from tests.beat.declaring import app_with, nothing
from tests.beat.publishing import Pauses
from tests.servers import RabbitMQServer, TcpProxy, eventually

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
    submissions = [firing(one, number) for number in range(20) for one in kinds]
    with publisher_on(app) as publisher:
        results = results_of(publisher, submissions)
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

    def __init__(self, sender: ConfirmedSender, submissions: Sequence[Submission]) -> None:
        self.answers: Sequence[Answer | None] = ()
        self._sender = sender
        self._thread = threading.Thread(target=self._send, args=(submissions,))
        self._thread.start()

    def _send(self, submissions: Sequence[Submission]) -> None:
        self.answers = self._sender.send(submissions)

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
    submissions = firings(200, 1)
    proxy.freeze()
    sending = InAThread(sender, submissions)
    sending.wait_for_window()
    proxy.cut()
    assert sending.result() == [Verdict.UNCERTAIN] * 200
    assert verdicts(sender.send(submissions)) == [Verdict.UNSENT] * 200
    proxy.restore()
    assert sender.send(submissions) == [PUBLISHED] * 200
    counts = Counter(task_ids(taken(rabbitmq_url)))
    assert set(counts) == {*ids(submissions), *ids(firings(2))}
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
                    confirmed.add(result.submission.firing.task_id)
                    waiting.pop(result.submission.firing.task_id, None)
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
        with alarm(rabbitmq_server):
            stuck = results_of(publisher, firings(50, 1))
            assert {result.verdict for result in stuck} <= {Verdict.UNCERTAIN, Verdict.UNSENT}
            eventually(lambda: not publisher.ready)
            # What is tried again all the same is not sent: it would lie in the broker's socket.
            again = results_of(publisher, firings(50, 1))
            assert {result.verdict for result in again} == {Verdict.UNSENT}
        eventually(lambda: publisher.ready, within=15)
        results = results_of(publisher, firings(50, 1))
        assert {result.verdict for result in results} == {Verdict.PUBLISHED}
    counts = Counter(task_ids(taken(rabbitmq_url)))
    assert set(counts) == {*ids(firings(5)), *ids(firings(50, 1))}
    assert max(counts.values()) <= 2


@pytest.mark.parametrize("way", ["fast", "plain"])
def test_an_alarm_is_heeded_as_soon_as_it_is_heard(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    for module in ("plain", "confirmed"):
        monkeypatch.setattr(f"qbeat.beat.publishing.{module}.SOCKET_TIMEOUT", 120.0)
    app = app_with(rabbitmq_url)
    app.task(nothing, name="tasks.own", base=Own, shared=False)
    one = replace(entry("one"), task="tasks.add" if way == "fast" else "tasks.own")
    with publisher_on(app) as publisher:
        assert [each.verdict for each in results_of(publisher, [firing(one)])] == [Verdict.PUBLISHED]
        with alarm(rabbitmq_server):
            [result] = results_of(publisher, [firing(one, 1)])
            assert result.verdict is Verdict.UNCERTAIN
            assert not publisher.ready


def test_what_an_alarm_held_up_in_the_brokers_socket_is_not_sent_again(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer
) -> None:
    submissions = firings(50, 1)
    with publisher_on(app_with(rabbitmq_url)) as publisher:
        assert len(results_of(publisher, firings(5))) == 5
        with alarm(rabbitmq_server):
            stuck = results_of(publisher, submissions)
            assert {result.verdict for result in stuck} == {Verdict.UNCERTAIN}
        eventually(lambda: publisher.ready, within=15)
        assert {result.verdict for result in results_of(publisher, submissions)} == {Verdict.PUBLISHED}
    assert Counter(task_ids(taken(rabbitmq_url))) == Counter(ids([*firings(5), *submissions]))


def test_an_alarm_is_heeded_even_when_the_messages_do_not_fit_into_the_socket(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qbeat.beat.publishing.plain.SOCKET_TIMEOUT", 1.0)
    submissions = [firing(entry(f"e{place}", "x" * 80_000), 1) for place in range(300)]
    with publisher_on(app_with(rabbitmq_url)) as publisher:
        assert len(results_of(publisher, firings(5))) == 5
        with alarm(rabbitmq_server):
            stuck = results_of(publisher, submissions)
            assert Verdict.UNCERTAIN in {result.verdict for result in stuck}
            assert not publisher.ready
        eventually(lambda: publisher.ready, within=15)
        assert {result.verdict for result in results_of(publisher, submissions)} == {Verdict.PUBLISHED}


def test_an_alarm_that_is_raised_before_the_start_is_waited_for(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer
) -> None:
    clock = SystemClock()
    publisher = publisher_for(app_with(rabbitmq_url), clock, clock.now)
    pauses = Pauses(publisher)
    try:
        with alarm(rabbitmq_server):
            publisher.start()
            eventually(lambda: publisher.ready or len(pauses.asked) >= 3)
            assert not publisher.ready
        eventually(lambda: publisher.ready, within=15)
    finally:
        publisher.close(5)
        clock.close()


def test_a_user_who_may_publish_to_one_exchange_only_is_not_kept_waiting(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer
) -> None:
    host = rabbitmq_url.rpartition("/")[2]
    name, virtual_host = f'<<"limited-{host}">>', f'<<"{host}">>'
    rabbitmq_server.evaluate(f'rabbit_auth_backend_internal:add_user({name}, <<"secret">>, {name})')
    rabbitmq_server.evaluate(
        f"rabbit_auth_backend_internal:set_permissions"
        f'({name}, {virtual_host}, <<".*">>, <<"^(tasks|celery)$">>, <<".*">>, {name})'
    )
    app = app_with(rabbitmq_url.replace("guest:guest", f"limited-{host}:secret"))
    with app_with(rabbitmq_url).connection_for_write() as connection, connection.channel() as channel:
        Exchange("tasks", "direct", durable=True)(channel).declare()
    with publisher_on(app) as publisher:
        submission = firing(entry("one", exchange="tasks", routing_key="x"))
        assert [result.verdict for result in results_of(publisher, [submission])] == [Verdict.PUBLISHED]


@contextmanager
def alarm(rabbitmq: RabbitMQServer) -> Iterator[None]:
    """The broker is short of memory."""
    rabbitmq.evaluate("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})")
    try:
        yield
    finally:
        rabbitmq.evaluate("rabbit_alarm:clear_alarm({resource_limit, memory, node()})")
