"""One qbeat on SQLite: the grid over a minute, `kill -9` at any instant, a broker that goes away."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from qbeat.schedules.base import SECOND
from qbeat.store import open_store
from tests.servers.fixtures import StartQbeat
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer
from tests.servers.waiting import eventually
from tests.torture.oracle import Ledger, Message, drain, messages_in, under_two_ids, write_app

KILLS = int(os.environ.get("QBEAT_KILLS", "12"))
SEED = int(os.environ.get("QBEAT_SEED", "20261121"))


def published(store: Path) -> list[int]:
    """The fire times that have been published so far."""
    with open_store(str(store), create=False) as opened:
        return [record.fire_time for record in opened.history() if record.outcome == "published"]


@pytest.mark.timeout(150)
def test_a_one_second_entry_gives_sixty_fire_times_on_one_grid_in_a_minute(
    tmp_path: Path, start_redis: Callable[..., RedisServer], start_qbeat: StartQbeat
) -> None:
    redis = start_redis()
    write_app(tmp_path, redis.url, "sender.add_periodic_task(1.0, tick.s('a'), name='a')")
    store = tmp_path / "qbeat.db"
    qbeat = start_qbeat(tmp_path, "-A", "tasks")
    qbeat.wait_for("fired for", within=30)
    eventually(lambda: len(published(store)) >= 60, within=90)
    assert qbeat.terminate() == 0

    minute = published(store)[:60]
    assert len(set(minute)) == 60
    assert {later - earlier for earlier, later in pairwise(minute)} == {SECOND}
    sent = messages_in(redis.client)
    assert len({message.fire_time for message in sent}) == len(sent) == len(published(store))
    assert Ledger(str(store)).problems() == []


@pytest.mark.timeout(600)
def test_killed_at_random_instants_it_loses_nothing_and_never_sends_under_two_ids(
    tmp_path: Path, start_redis: Callable[..., RedisServer], start_qbeat: StartQbeat
) -> None:
    redis = start_redis()
    write_app(
        tmp_path,
        redis.url,
        """
        for number in range(20):
            every = 0.25 + number * 0.05
            sender.add_periodic_task(every, tick.s(str(number)), name=f"busy-{number}")
        app.conf.qbeat_uncertain_after = 2
        """,
    )
    store = tmp_path / "qbeat.db"
    chance = random.Random(SEED)
    qbeat = start_qbeat(tmp_path, "-A", "tasks", "-l", "WARNING")
    for kill in range(KILLS):
        before = redis.client.llen("celery")
        if kill % 4:
            # Most kills hit a busy replica, some one that is still starting.
            eventually(more_than(redis, before), within=30)
        time.sleep(chance.uniform(0, 0.5))  # the instant of the kill is what is drawn here
        qbeat.kill()
        qbeat.start()
    before = redis.client.llen("celery")
    eventually(more_than(redis, before + 100), within=60)
    eventually(lambda: _unsettled_since_long(store) == 0, within=30)
    assert qbeat.terminate() == 0

    ledger, sent = Ledger(str(store)), messages_in(redis.client)
    assert ledger.problems() == []
    assert under_two_ids(sent) == {}
    assert {message.task_id for message in sent} == ledger.task_ids("published")
    assert ledger.count("claimed") == ledger.count("failed") == 0


def more_than(redis: RedisServer, count: int) -> Callable[[], bool]:
    return lambda: redis.client.llen("celery") > count


def _unsettled_since_long(store: Path) -> int:
    """Firings that are claimed and older than any under way can be."""
    with open_store(str(store), create=False) as opened:
        limit = opened.now() - 4 * SECOND
        return sum(1 for record in opened.history(until=limit) if record.outcome == "claimed")


@pytest.mark.timeout(240)
def test_it_recovers_from_a_redis_that_is_away_for_fifteen_seconds(
    tmp_path: Path, start_redis: Callable[..., RedisServer], start_qbeat: StartQbeat
) -> None:
    redis = start_redis(durable=True)
    store = outage(tmp_path, redis.url, redis.stop, redis.start, start_qbeat)
    hold_to_account(store, messages_in(redis.client))


@pytest.mark.timeout(240)
def test_it_recovers_from_a_rabbitmq_that_is_away_for_fifteen_seconds(
    tmp_path: Path, rabbitmq_server: RabbitMQServer, rabbitmq_url: str, start_qbeat: StartQbeat
) -> None:
    store = outage(tmp_path, rabbitmq_url, rabbitmq_server.stop, rabbitmq_server.start, start_qbeat)
    hold_to_account(store, drain(rabbitmq_url))


def outage(
    folder: Path, url: str, stop: Callable[[], None], start: Callable[[], None], start_qbeat: StartQbeat
) -> Path:
    """Run a one-second entry, stop the broker for fifteen seconds, wait for the recovery; return the store."""
    write_app(folder, url, "sender.add_periodic_task(1.0, tick.s('a'), name='a')")
    store = folder / "qbeat.db"
    qbeat = start_qbeat(folder, "-A", "tasks")
    qbeat.wait_for("fired for", within=30, count=3)
    stop()
    stopped_at = time.monotonic()
    qbeat.wait_for("The broker is away", within=10)
    eventually(lambda: time.monotonic() - stopped_at >= 15, within=20)
    before = len(published(store))
    start()
    eventually(lambda: len(published(store)) >= before + 4, within=30)
    assert qbeat.is_running
    assert qbeat.terminate() == 0
    return store


def hold_to_account(store: Path, sent: list[Message]) -> None:
    """Every fire time has its outcome, the outage was coalesced, and what was published reached the broker."""
    ledger = Ledger(str(store))
    assert ledger.problems() == []
    assert ledger.count("skipped", "coalesced") >= 10
    assert ledger.count("skipped") == ledger.count("skipped", "coalesced")
    assert ledger.count("claimed") == ledger.count("failed") == 0
    assert {message.task_id for message in sent} == ledger.task_ids("published")
    assert under_two_ids(sent) == {}
