"""What Redis refuses: an entry's own fault is the entry's, the state that a Redis is in holds nobody to blame."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from redis import exceptions

from qbeat.beat.clock import SystemClock
from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Submission, Verdict
from qbeat.beat.publishing.choice import publisher_for
from qbeat.beat.publishing.marked import MarkedSender
from qbeat.beat.publishing.plain import PlainScheduler
from qbeat.beat.publishing.refusals import is_refusal
from qbeat.schedules import Interval
from tests.beat.confirmed import publisher_on, results_of, verdicts
from tests.beat.declaring import app_with
from tests.beat.wire import lists, submission
from tests.servers import RedisServer, eventually, free_port


def firing(name: str, number: int = 0, **options: Any) -> Submission:
    entry = Entry(name, "tasks.add", Interval(60), "UTC", options=options)
    return submission(entry, number, name.encode().hex().ljust(32, "0"))


def sender_on(url: str) -> MarkedSender:
    app = app_with(url)
    return MarkedSender(app, PlainScheduler(app))


@pytest.fixture
def limited_url(start_redis: Callable[..., RedisServer]) -> str:
    """A Redis of the test's own, for a user to whom the queue `other` is forbidden."""
    server = start_redis()
    server.start()
    keys = ("celery*", "_kombu.binding*", "qbeat:*")
    rights = ["on", ">secret", "+@all", "&*", *(f"~{key}" for key in keys)]
    server.client.execute_command("ACL", "SETUSER", "app", *rights)
    return server.url.replace("redis://", "redis://app:secret@")


@pytest.mark.parametrize("options", [{"queue": "other"}, {"queue": "other", "countdown": 60}])
def test_an_entry_that_may_not_use_its_queue_fails_alone_and_keeps_the_connection(
    limited_url: str, options: dict[str, Any]
) -> None:
    with closing(sender_on(limited_url)) as sender:
        sender.connect()
        connection = sender._connection
        for number in range(3):
            submissions = [firing("good", number), firing("bad", number, **options), firing("last", number)]
            assert verdicts(sender.send(submissions)) == [
                Verdict.PUBLISHED,
                Verdict.FAILED,
                Verdict.PUBLISHED,
            ]
        assert sender._connection is connection


def test_a_task_that_chokes_on_its_arguments_fails_alone(redis_url: str) -> None:
    app = app_with(redis_url)

    def choke(*_: Any) -> None:
        raise RuntimeError("choked")

    app.tasks["tasks.quiet"].__header__ = choke
    bad = Entry("bad", "tasks.quiet", Interval(60), "UTC")
    with closing(MarkedSender(app, PlainScheduler(app))) as sender:
        submissions = [firing("good"), submission(bad), firing("last")]
        assert verdicts(sender.send(submissions)) == [Verdict.PUBLISHED, Verdict.FAILED, Verdict.PUBLISHED]


def test_a_broker_that_refuses_one_entry_is_not_away(limited_url: str) -> None:
    with publisher_on(app_with(limited_url)) as publisher:
        for number in range(2):
            results = results_of(publisher, [firing("bad", number, queue="other"), firing("good", number)])
            found = {result.submission.entry.name: result.verdict for result in results}
            assert found == {"bad": Verdict.FAILED, "good": Verdict.PUBLISHED}
            assert publisher.ready


def test_a_redis_that_is_a_replica_now_is_left(start_redis: Callable[..., RedisServer]) -> None:
    one, other = start_redis(), start_redis()
    one.start()
    other.start()
    with closing(sender_on(one.url)) as sender:
        assert verdicts(sender.send([firing("one")])) == [Verdict.PUBLISHED]
        one.client.execute_command("REPLICAOF", "127.0.0.1", other.port)
        assert verdicts(sender.send([firing("one", 1)])) == [Verdict.UNSENT]
        assert not sender.is_connected
        one.client.execute_command("REPLICAOF", "NO", "ONE")
        one.client.delete("celery")  # what its new master had, or had not, copied to it
        assert verdicts(sender.send([firing("one", 1)])) == [Verdict.PUBLISHED]
    assert [len(messages) for messages in lists(one.client).values()] == [1]


def test_a_redis_without_memory_is_waited_for(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    server.start()
    with closing(sender_on(server.url)) as sender:
        assert verdicts(sender.send([firing("one")])) == [Verdict.PUBLISHED]
        server.client.config_set("maxmemory", "1")
        submissions = [firing("one", 1), firing("slow", countdown=60), firing("new", queue="low")]
        # The third fails on Kombu's side, where its queue is bound.
        assert verdicts(sender.send(submissions)) == [Verdict.UNSENT, Verdict.UNSENT, Verdict.UNCERTAIN]
        server.client.config_set("maxmemory", "0")
        assert verdicts(sender.send(submissions)) == [Verdict.PUBLISHED] * 3


def refuse(server: RedisServer, state: str, *, start: bool) -> None:
    """Bring a Redis into a state in which it takes no writes, or out of it."""
    if state == "full":
        server.client.config_set("maxmemory", "1" if start else "0")
    elif state == "without replicas":
        server.client.config_set("min-replicas-to-write", "1" if start else "0")
    else:
        nobody = ("127.0.0.1", free_port())
        server.client.execute_command("REPLICAOF", *(nobody if start else ("NO", "ONE")))


STATES = ("full", "without replicas", "a replica")


@pytest.mark.parametrize("state", STATES)
def test_a_redis_that_takes_no_writes_is_away_until_one_works(
    start_redis: Callable[..., RedisServer], state: str
) -> None:
    server = start_redis()
    server.start()
    with publisher_on(app_with(server.url)) as publisher:
        assert [result.verdict for result in results_of(publisher, [firing("one")])] == [Verdict.PUBLISHED]
        refuse(server, state, start=True)
        [result] = results_of(publisher, [firing("one", 1)])
        assert result.verdict is Verdict.UNSENT
        asked = connections(server)
        eventually(lambda: publisher.ready or connections(server) >= asked + 3)
        assert not publisher.ready
        refuse(server, state, start=False)
        eventually(lambda: publisher.ready, within=15)
        assert [result.verdict for result in results_of(publisher, [firing("one", 1)])] == [Verdict.PUBLISHED]
    assert [len(messages) for messages in lists(server.client).values()] == [2]


@pytest.mark.parametrize("state", STATES)
def test_a_redis_that_takes_no_writes_at_the_start_is_waited_for(
    start_redis: Callable[..., RedisServer], state: str
) -> None:
    server = start_redis()
    server.start()
    refuse(server, state, start=True)
    app, clock = app_with(server.url), SystemClock()
    publisher = publisher_for(app, clock, clock.now)
    publisher.start()
    try:
        eventually(lambda: publisher.ready or connections(server) >= 3)
        assert not publisher.ready
        refuse(server, state, start=False)
        eventually(lambda: publisher.ready, within=15)
    finally:
        publisher.close(5)
        clock.close()


def test_a_redis_that_cannot_bind_a_queue_is_away(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    server.start()
    with publisher_on(app_with(server.url)) as publisher:
        refuse(server, "full", start=True)
        results_of(publisher, [firing("new", queue="low")])
        assert not publisher.ready


def test_to_ask_a_redis_whether_it_takes_writes_leaves_nothing_there(
    redis_url: str, redis_server: RedisServer
) -> None:
    with closing(sender_on(redis_url)) as sender:
        sender.check()
        assert redis_server.client.keys() == []


def connections(server: RedisServer) -> int:
    """How many connections a Redis has had: each new look at it makes one."""
    info: dict[str, Any] = server.client.info("stats")
    return int(info["total_connections_received"])


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), True),
        (
            exceptions.ResponseError("Command # 1 (LLEN a) of pipeline caused error: WRONGTYPE Operation"),
            True,
        ),
        (exceptions.NoPermissionError("this user has no permissions"), True),
        (
            exceptions.ResponseError("Command # 1 (LLEN a) of pipeline caused error: BUSY Redis is busy"),
            False,
        ),
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), False),
        (exceptions.ResponseError("-OOM command not allowed, as a script is told before Redis 7"), False),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), False),
        (exceptions.ClusterDownError("The cluster is down"), False),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), False),
        (exceptions.ConnectionError("Connection closed by server."), False),
        (ValueError("not Redis' own"), False),
    ],
)
def test_a_refusal_is_told_from_the_state_of_a_redis(error: Exception, refused: bool) -> None:
    assert is_refusal(error) == refused
    wrapped = OSError("as Kombu wraps it")
    wrapped.__cause__ = error
    assert is_refusal(wrapped) == refused
