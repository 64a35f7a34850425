"""The fast way where store and broker are one Redis: Celery's own messages, pushed by the claims themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.signals import before_task_publish

from qbeat.beat.clock import SystemClock
from qbeat.beat.entries import Entry
from qbeat.beat.publishing.fused import Fusion, fusion_for
from qbeat.beat.publishing.plain import PlainScheduler, PlainSender
from qbeat.beat.replicas import Shares
from qbeat.beat.roster import Roster
from qbeat.beat.warmup import LULL, Warmup
from qbeat.schedules import Interval
from qbeat.store import open_store
from qbeat.store.base import Store
from qbeat.store.records import Change, Claim, EntryRecord, Message, NewFiring, Won
from tests.beat.confirmed import Own
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
from tests.beat.wire import FIRE_TIME, Wire, comparable, entries_of, lists, send_as_celery, submission
from tests.servers import RedisServer, TcpProxy, eventually
from tests.servers.fixtures import StartWorker


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    """A store in the Redis that is the broker, too."""
    with closing(open_store(redis_url)) as store:
        yield store


@pytest.fixture
def fusion_of(store: Store) -> Iterator[Callable[[Celery], Fusion]]:
    with ExitStack() as ending:

        def make(app: Celery) -> Fusion:
            fusion = fusion_for(app, store)
            assert fusion is not None
            ending.enter_context(closing(fusion))
            fusion.refresh()
            return fusion

        yield make


def message(fusion: Fusion, entry: Entry, number: int = 0) -> Message | None:
    firing = submission(entry, number).firing
    return fusion.message(entry, firing.uid, firing.fire_time, firing.task_id)


def claim(store: Store, entry: Entry, message: Message) -> Won:
    """Declare an entry, and claim its first firing with its message."""
    firing = submission(entry).firing
    record = EntryRecord(
        name=entry.name,
        uid=entry.name.encode().hex().ljust(32, "0")[:32],
        origin="declared",
        task=entry.task,
        schedule={},
        timezone="UTC",
        definition={},
        fingerprint="",
        generation="",
        anchor=0,
        cursor=0,
        next_fire_time=FIRE_TIME,
        due_at=FIRE_TIME,
    )
    assert store.save([Change(record, expected_revision=None)]) == [True]
    new = NewFiring(FIRE_TIME, firing.task_id, message)
    [won] = store.claim([Claim(record.uid, 0, 1, FIRE_TIME, None, None, (new,))], replica="r")
    return won


def queues(redis: RedisServer) -> Wire:
    """The messages in the queues; the store's own lists are of bytes."""
    own = [key for key in redis.client.scan_iter(_type="LIST") if key.startswith(b"{")]
    redis.client.delete(*own)
    return lists(redis.client)


def assert_same_wire(app: Celery, fusion: Fusion, store: Store, redis: RedisServer, *, fast: bool) -> None:
    send_as_celery(app, "feed")
    theirs = lists(redis.client)
    redis.client.delete(*theirs)
    feed = entries_of(app)["feed"]
    # The first of a class is what its template is made of; the second is filled in.
    assert (message(fusion, replace(feed, name="first"), 7) is not None) == fast
    filled = message(fusion, feed)
    if not fast:
        assert filled is None
        return
    assert filled is not None
    assert claim(store, feed, filled) is Won.YES
    ours = queues(redis)
    # As texts: what is in another order would be other bytes.
    assert json.dumps(comparable(ours)) == json.dumps(comparable(theirs))
    [[sent]] = ours.values()
    task_id = submission(feed).firing.task_id
    assert sent["headers"]["id"] == sent["headers"]["root_id"] == task_id
    assert sent["properties"]["correlation_id"] == task_id
    assert sent["headers"]["periodic_task_name"] == "feed"
    assert sent["headers"]["qbeat"] == {
        "entry": "feed",
        "fire_time": "2026-09-21T14:13:20Z",
        "lane": "auto",
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_the_message_is_celerys_own(
    redis_server: RedisServer,
    redis_url: str,
    store: Store,
    fusion_of: Callable[[Celery], Fusion],
    name: str,
) -> None:
    app = app_with(redis_url, OPTIONS[name])
    assert_same_wire(app, fusion_of(app), store, redis_server, fast=name not in MOMENTARY)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_message_is_celerys_own_under_any_settings(
    redis_server: RedisServer,
    redis_url: str,
    store: Store,
    fusion_of: Callable[[Celery], Fusion],
    name: str,
) -> None:
    app = app_with(redis_url, {"args": (1, 2), "options": {"priority": 1}}, **SETTINGS[name])
    fast = name not in PLAIN_SETTINGS | {"queues"}  # which of them are bound to the exchange may change
    assert_same_wire(app, fusion_of(app), store, redis_server, fast=fast)


def test_entries_of_one_class_differ_in_nothing_but_what_is_theirs(
    redis_server: RedisServer, redis_url: str, fusion_of: Callable[[Celery], Fusion]
) -> None:
    app = app_with(redis_url)
    app.conf.beat_schedule = odd_entries()
    fusion = fusion_of(app)
    entries = entries_of(app)
    for name in app.conf.beat_schedule:
        send_as_celery(app, name)
        theirs = lists(redis_server.client)
        redis_server.client.flushall()
        filled = message(fusion, entries[name])
        assert filled is not None
        ours = {filled.key: [json.loads(filled.payload)]}
        assert json.dumps(comparable(ours)) == json.dumps(comparable(theirs))
        assert ours["celery"][0]["headers"]["periodic_task_name"] == name


def test_whoever_watches_sends_entries_the_plain_way(
    redis_url: str, fusion_of: Callable[[Celery], Fusion]
) -> None:
    app = app_with(redis_url)
    fusion, feed = fusion_of(app), entries_of(app)["feed"]
    assert message(fusion, feed) is not None

    def watch(**_: Any) -> None: ...

    before_task_publish.connect(watch)
    try:
        fusion.refresh()
        assert message(fusion, feed, 1) is None
    finally:
        before_task_publish.disconnect(watch)
    fusion.refresh()
    assert message(fusion, feed, 2) is not None


def test_a_worker_runs_both_kinds_of_messages(
    tmp_path: Path,
    redis_url: str,
    store: Store,
    fusion_of: Callable[[Celery], Fusion],
    start_worker: StartWorker,
) -> None:
    (tmp_path / "tasks.py").write_text(NOTING.format(url=redis_url))
    app = app_with(redis_url)
    app.task(add, name="tasks.note", shared=False)
    app.task(add, name="tasks.noted", base=Own, shared=False)
    fast = Entry("fast", "tasks.note", Interval(60), "UTC", args=("fast",))
    plain = Entry("plain", "tasks.noted", Interval(60), "UTC", args=("plain",))
    fusion = fusion_of(app)
    assert message(fusion, plain) is None
    filled = message(fusion, fast)
    assert filled is not None
    assert claim(store, fast, filled) is Won.YES
    with closing(PlainSender(app, PlainScheduler(app))) as sender:
        sender.send([submission(plain, uid="b" * 32)])
    start_worker(tmp_path)
    notes = tmp_path / "notes"
    eventually(lambda: notes.exists() and len(notes.read_text().splitlines()) == 2, within=30)
    assert set(notes.read_text().splitlines()) == {
        f"fast {submission(fast).firing.task_id}",
        f"plain {submission(plain, uid='b' * 32).firing.task_id}",
    }


# --- ahead of time


def test_what_a_lull_has_made_ready_needs_no_broker_any_more(
    redis_server: RedisServer,
    redis_url: str,
    fusion_of: Callable[[Celery], Fusion],
    start_proxy: Callable[[int], TcpProxy],
) -> None:
    proxy = start_proxy(redis_server.port)
    app = app_with(proxy.url(redis_url))
    with closing(Fusion(app, PlainScheduler(app))) as fusion, closing(SystemClock()) as clock:
        feed = entries_of(app)["feed"]
        roster = Roster({"feed": feed}, Shares("me"))
        roster.load([record_of(feed)])
        warmup = Warmup(fusion, roster, clock)
        warmup.restart()
        warmup.work(lull=LULL / 2)
        assert warmup.wait(lull=1) == 0  # too short a lull leaves it all to do
        warmup.work(lull=1)
        assert warmup.wait(lull=1) > 0
        proxy.cut()
        assert message(fusion, feed) is not None


def test_a_broker_that_is_away_while_a_message_is_learned_is_asked_again(
    redis_server: RedisServer, redis_url: str, start_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = start_proxy(redis_server.port)
    app = app_with(proxy.url(redis_url))
    feed = entries_of(app)["feed"]
    with closing(Fusion(app, PlainScheduler(app))) as fusion:
        fusion.refresh()
        proxy.cut()
        assert message(fusion, feed) is None
        proxy.restore()
        eventually(lambda: message(fusion, feed) is not None)


def record_of(entry: Entry) -> EntryRecord:
    return EntryRecord(
        name=entry.name,
        uid="a" * 32,
        origin="declared",
        task=entry.task,
        schedule=entry.schedule.to_data(),
        timezone="UTC",
        definition=entry.definition,
        fingerprint=entry.fingerprint,
        generation="",
        anchor=0,
        cursor=0,
        next_fire_time=FIRE_TIME,
        due_at=FIRE_TIME,
    )
