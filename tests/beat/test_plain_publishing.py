"""The message on the wire is the one that Celery's own beat would have sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import celery.beat
import pytest
from celery import Celery, Task
from celery.beat import BeatLazyFunc

from qbeat.beat.publishing.base import Verdict
from qbeat.beat.publishing.marked import MarkedSender
from qbeat.beat.publishing.plain import PlainScheduler, PlainSender
from tests.beat.declaring import OPTIONS, SETTINGS, app_with, nothing
from tests.beat.publishing import KeepOff, no_sleeping
from tests.beat.wire import body, comparable, entries_of, instant, lists, send_as_celery, submission
from tests.servers import RedisServer
from tests.servers.server import free_port

MakeApp = Callable[..., Celery]
Send = Callable[..., tuple[Verdict, str | None]]


@pytest.fixture
def make_app(redis_url: str) -> MakeApp:
    """An app on the session's Redis with some tasks and one entry ``feed``."""

    return partial(app_with, redis_url)


@pytest.fixture(params=[PlainSender, MarkedSender])
def send(request: pytest.FixtureRequest) -> Iterator[Send]:
    """Send a firing of an entry (``feed`` if none is named) the plain way, and the way of a Redis broker."""
    senders: dict[int, PlainSender] = {}

    def send_one(app: Celery, name: str = "feed", number: int = 0) -> tuple[Verdict, str | None]:
        sender = senders.setdefault(id(app), request.param(app, PlainScheduler(app)))
        [answer] = sender.send([submission(entries_of(app)[name], number)])
        assert answer is not None
        return answer

    yield send_one
    for sender in senders.values():
        sender.close()


def assert_same_wire(app: Celery, send: Send, redis: RedisServer) -> None:
    send_as_celery(app, "feed")
    theirs = lists(redis.client)
    redis.client.flushall()
    assert send(app) == (Verdict.PUBLISHED, None)
    ours = lists(redis.client)
    assert sum(map(len, theirs.values())) == 1
    assert comparable(ours) == comparable(theirs)


@pytest.mark.parametrize("entry", OPTIONS.values(), ids=OPTIONS.keys())
def test_the_message_is_celerys_own(
    make_app: MakeApp, send: Send, redis_server: RedisServer, entry: Mapping[str, Any]
) -> None:
    assert_same_wire(make_app(entry), send, redis_server)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_message_is_celerys_own_under_any_settings(
    make_app: MakeApp, send: Send, redis_server: RedisServer, settings: Mapping[str, Any]
) -> None:
    entry = {"args": (1, 2), "options": {"priority": 1, "countdown": 60}}
    assert_same_wire(make_app(entry, **settings), send, redis_server)
    redis_server.client.flushall()
    assert_same_wire(make_app({"args": (1, 2)}, **settings), send, redis_server)


def test_callbacks_given_as_signatures_travel_too(
    make_app: MakeApp, send: Send, redis_server: RedisServer
) -> None:
    app = make_app()
    done, failed = app.tasks["tasks.add"].s(1).set(queue="low"), app.tasks["tasks.quiet"].si()
    app.conf.beat_schedule["feed"]["options"] = {"link": [done], "link_error": [failed]}
    assert_same_wire(app, send, redis_server)
    [message] = lists(redis_server.client)["celery"]
    assert [one["task"] for one in body(message)[2]["callbacks"]] == ["tasks.add"]
    assert [one["task"] for one in body(message)[2]["errbacks"]] == ["tasks.quiet"]


def test_a_task_class_of_the_users_own_sends_itself(
    make_app: MakeApp, send: Send, redis_server: RedisServer
) -> None:
    class Tracing(Task):
        def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
            options["headers"] = {**(options.get("headers") or {}), "traced": "yes"}
            return super().apply_async(args, kwargs, **options)

    app = make_app({"task": "tasks.traced"})
    app.task(nothing, name="tasks.traced", base=Tracing, shared=False)
    assert_same_wire(app, send, redis_server)
    [message] = lists(redis_server.client)["celery"]
    assert message["headers"]["traced"] == "yes"


def test_a_firing_is_known_by_its_id_and_its_headers(
    make_app: MakeApp, send: Send, redis_server: RedisServer
) -> None:
    app = make_app({"options": {"headers": {"mine": 1}}})
    send(app)
    [message] = lists(redis_server.client)["celery"]
    headers = message["headers"]
    task_id = submission(entries_of(app)["feed"]).firing.task_id
    assert headers["id"] == headers["root_id"] == message["properties"]["correlation_id"] == task_id
    assert headers["celery_beat_task"] is True
    assert headers["periodic_task_name"] == "feed"
    assert headers["qbeat"] == {"entry": "feed", "fire_time": "2026-09-21T14:13:20Z", "lane": "auto"}
    assert headers["mine"] == 1


def test_headers_that_are_none_are_none(make_app: MakeApp, send: Send, redis_server: RedisServer) -> None:
    # Celery's own beat loses such a firing.
    assert send(make_app({"options": {"headers": None}})) == (Verdict.PUBLISHED, None)
    [message] = lists(redis_server.client)["celery"]
    assert message["headers"]["periodic_task_name"] == "feed"


def test_relative_times_count_from_the_sending(
    make_app: MakeApp, send: Send, redis_server: RedisServer
) -> None:
    app = make_app({"options": {"countdown": 30, "expires": 90}})
    before = datetime.now(UTC)
    send(app)
    after = datetime.now(UTC)
    [message] = lists(redis_server.client)["celery"]
    assert before <= instant(message, "eta") - timedelta(seconds=30) <= after
    assert before <= instant(message, "expires") - timedelta(seconds=90) <= after
    assert 80_000 < float(message["properties"]["expiration"]) <= 90_000


# --- one firing is not the next


def test_headers_that_somebody_adds_to_one_firing_do_not_reach_the_next(
    make_app: MakeApp, send: Send, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Sentry does: https://docs.sentry.io/platforms/python/integrations/celery/crons/
    original = celery.beat.Scheduler.apply_entry
    seen: list[Any] = []

    def patched(*args: Any, **kwargs: Any) -> Any:
        _, entry = args
        seen.append((entry.name, entry.schedule))
        entry.options["headers"][f"sentry-{len(seen)}"] = "yes"
        entry.options["headers"].setdefault("nested", {})["deep"] = len(seen)
        return original(*args, **kwargs)

    monkeypatch.setattr(celery.beat.Scheduler, "apply_entry", patched)
    app = make_app({"options": {"headers": {"mine": 1, "nested": {"a": 1}}}})
    for number in range(2):
        assert send(app, number=number) == (Verdict.PUBLISHED, None)
    first, second = [message["headers"] for message in lists(redis_server.client)["celery"]]
    assert first["sentry-1"] == "yes"
    assert "sentry-1" not in second
    assert second["sentry-2"] == "yes"
    assert second["nested"] == {"a": 1, "deep": 2}
    assert [name for name, _ in seen] == ["feed", "feed"]
    assert app.conf.beat_schedule["feed"]["options"] == {"headers": {"mine": 1, "nested": {"a": 1}}}


def test_what_the_task_does_to_its_arguments_does_not_reach_the_next_firing(
    make_app: MakeApp, send: Send, redis_server: RedisServer
) -> None:
    class Greedy(Task):
        def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
            kwargs["items"].append("more")
            return super().apply_async(args, kwargs, **options)

    def feed(items: list[str]) -> None: ...

    app = make_app({"task": "tasks.greedy", "kwargs": {"items": ["one"]}})
    app.task(feed, name="tasks.greedy", base=Greedy, shared=False)
    for number in range(2):
        send(app, number=number)
    assert [body(message)[1] for message in lists(redis_server.client)["celery"]] == [
        {"items": ["one", "more"]}
    ] * 2


def test_a_lazy_argument_is_evaluated_for_each_firing(
    make_app: MakeApp, send: Send, redis_server: RedisServer
) -> None:
    calls: list[int] = []

    def count(step: int) -> int:
        calls.append(step)
        return step * len(calls)

    app = make_app({"args": (BeatLazyFunc(count, step=10),), "kwargs": {"y": BeatLazyFunc(lambda: "lazy")}})
    for number in range(3):
        assert send(app, number=number) == (Verdict.PUBLISHED, None)
    assert [body(message)[:2] for message in lists(redis_server.client)["celery"]] == [
        [[10 * number], {"y": "lazy"}] for number in (1, 2, 3)
    ]
    assert calls == [10, 10, 10]


def test_a_receiver_of_the_publishing_signals_sees_each_firing(
    make_app: MakeApp, send: Send, redis_server: RedisServer
) -> None:
    from celery.signals import after_task_publish, before_task_publish

    seen: list[tuple[str, str]] = []

    def before(sender: Any, headers: Any, **_: Any) -> None:
        headers["watched"] = "yes"
        seen.append(("before", sender))

    def after(sender: Any, **_: Any) -> None:
        seen.append(("after", sender))

    before_task_publish.connect(before)
    after_task_publish.connect(after)
    try:
        send(make_app())
    finally:
        before_task_publish.disconnect(before)
        after_task_publish.disconnect(after)
    assert seen == [("before", "tasks.add"), ("after", "tasks.add")]
    [message] = lists(redis_server.client)["celery"]
    assert message["headers"]["watched"] == "yes"


# --- whose fault it is


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"args": (BeatLazyFunc(_raise, LookupError("no cat")),)}, "LookupError: no cat"),
        ({"args": (BeatLazyFunc(_raise, OSError("no such file")),)}, "OSError: no such file"),
        ({"args": (object(),)}, "not JSON serializable"),
        ({"args": (1, 2, 3, 4)}, "takes from 0 to 2 positional arguments"),
        ({"options": {"serializer": "nosuch"}}, "nosuch"),
        ({"options": {"expires": "soon"}}, "soon"),
    ],
    ids=["lazy", "lazy with an error of the system", "unencodable", "arity", "serializer", "expires"],
)
def test_an_entry_that_cannot_be_sent_fails_by_its_own_fault(
    make_app: MakeApp, send: Send, redis_server: RedisServer, entry: Mapping[str, Any], reason: str
) -> None:
    verdict, error = send(make_app(entry))
    assert verdict is Verdict.FAILED
    assert error is not None
    assert reason in error
    assert "\n" not in error
    assert lists(redis_server.client) == {}


def test_a_broker_that_cannot_be_reached_has_nothing_for_certain(send: Send, make_app: MakeApp) -> None:
    app = make_app()
    app.conf.broker_write_url = f"redis://127.0.0.1:{free_port()}/0"
    verdict, error = send(app)
    assert verdict is Verdict.UNSENT
    assert error is not None
    assert "refused" in error


def test_a_broker_that_went_away_is_found_again_by_the_next_firing(
    make_app: MakeApp, send: Send, start_redis: Callable[..., RedisServer]
) -> None:
    redis = start_redis(durable=True)
    app = make_app()
    app.conf.broker_write_url = redis.url
    assert send(app, number=0)[0] is Verdict.PUBLISHED
    redis.stop()
    assert send(app, number=1)[0] in {Verdict.UNCERTAIN, Verdict.UNSENT}
    redis.start()
    assert send(app, number=1) == (Verdict.PUBLISHED, None)
    times = [message["headers"]["qbeat"]["fire_time"] for message in lists(redis.client)["celery"]]
    assert times == ["2026-09-21T14:13:20Z", "2026-09-21T14:13:21Z"]


# --- the result backend


@pytest.mark.parametrize(
    "backend",
    [
        "redis://127.0.0.1:1/0",
        "db+sqlite:////nosuch/folder/results.db",
        "cache+memcached://127.0.0.1:1/",
        "rpc://",
    ],
)
def test_a_result_backend_that_is_away_costs_nothing(
    make_app: MakeApp,
    send: Send,
    redis_server: RedisServer,
    off_result_backend: KeepOff,
    backend: str,
) -> None:
    app = make_app(result_backend=backend)
    off_result_backend(app)
    with no_sleeping():
        for number in range(3):
            assert send(app, number=number) == (Verdict.PUBLISHED, None)
    assert len(lists(redis_server.client)["celery"]) == 3


def test_nobody_subscribes_to_results(
    make_app: MakeApp, send: Send, redis_server: RedisServer, off_result_backend: KeepOff
) -> None:
    app = make_app(result_backend=redis_server.url)
    off_result_backend(app)
    redis_server.client.config_resetstat()
    for number in range(20):
        send(app, number=number)
    stats: Any = redis_server.client.info("commandstats")
    assert "cmdstat_subscribe" not in stats
