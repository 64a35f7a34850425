"""Two and three real replicas on real servers, under a nemesis; an oracle says whether a fire time went wrong."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from qbeat.schedules.base import SECOND
from qbeat.store import open_store
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import TcpProxy
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer
from tests.torture.cluster import Cluster, Fault, Replica, broken_link, faults_wanted, restarted
from tests.torture.oracle import Ledger, Message, drain, messages_in, under_two_ids, write_app

SEED = int(os.environ.get("QBEAT_SEED", "1"))
LONG = "QBEAT_FAULTS" in os.environ

ENTRIES = """
for number in range(12):
    policy = {"catch_up": "all" if number % 3 == 0 else "latest"}
    sender.add_periodic_task(0.5 + number / 8, tick.s(str(number)), name=f"busy-{number}", qbeat=policy)
app.conf.qbeat_uncertain_after = 2
"""


@dataclass
class Ground:
    """Where a battle takes place."""

    store: str
    """As this test reaches it, without a proxy."""
    replicas_store: str
    broker: str
    sent: Callable[[], list[Message]]
    faults: Callable[[Cluster], dict[str, Fault]]
    exactly_once: bool
    own_clocks: bool = False
    """Whether the store goes by the clocks of the replicas."""


def sqlite_redis(folder: Path, ending: ExitStack) -> Ground:
    redis = ending.enter_context(RedisServer(durable=True))
    link = ending.enter_context(TcpProxy(redis.port))
    store = str(folder / "qbeat.db")
    return Ground(
        store,
        store,
        link.url(redis.url),
        lambda: messages_in(redis.client),
        lambda cluster: {"broker link": broken_link(link, cluster), "broker": restarted(redis, cluster)},
        exactly_once=True,
        own_clocks=True,
    )


def redis_redis(folder: Path, ending: ExitStack) -> Ground:
    del folder
    redis = ending.enter_context(RedisServer(durable=True))
    link = ending.enter_context(TcpProxy(redis.port))
    return Ground(
        redis.url,
        link.url(redis.url),
        link.url(redis.url),
        lambda: messages_in(redis.client),
        lambda cluster: {"link": broken_link(link, cluster), "redis": restarted(redis, cluster)},
        exactly_once=True,
    )


def two_redises(folder: Path, ending: ExitStack) -> Ground:
    del folder
    store, broker = (ending.enter_context(RedisServer(durable=True)) for _ in range(2))
    store_link, broker_link = (ending.enter_context(TcpProxy(server.port)) for server in (store, broker))
    return Ground(
        store.url,
        store_link.url(store.url),
        broker_link.url(broker.url),
        lambda: messages_in(broker.client),
        lambda cluster: {
            "store link": broken_link(store_link, cluster),
            "broker link": broken_link(broker_link, cluster),
            "store": restarted(store, cluster),
            "broker": restarted(broker, cluster),
        },
        exactly_once=True,
    )


def postgres_redis(folder: Path, ending: ExitStack) -> Ground:
    del folder
    postgres = ending.enter_context(PostgresServer())
    redis = ending.enter_context(RedisServer(durable=True))
    url = postgres.database_url(postgres.new_database())
    store_link, broker_link = (ending.enter_context(TcpProxy(server.port)) for server in (postgres, redis))
    return Ground(
        url,
        store_link.url(url),
        broker_link.url(redis.url),
        lambda: messages_in(redis.client),
        lambda cluster: {
            "store link": broken_link(store_link, cluster),
            "broker link": broken_link(broker_link, cluster),
            "store": restarted(postgres, cluster),
            "broker": restarted(redis, cluster),
        },
        exactly_once=True,
    )


def on_rabbitmq(ground: Callable[[Path, ExitStack], Ground]) -> Callable[..., Ground]:
    """The same store with RabbitMQ as the broker."""

    def prepare(folder: Path, ending: ExitStack, server: RabbitMQServer, url: str) -> Ground:
        prepared = ground(folder, ending)
        link = ending.enter_context(TcpProxy(server.port))
        return Ground(
            prepared.store,
            prepared.replicas_store,
            link.url(url),
            lambda: drain(url),
            lambda cluster: {
                **{name: fault for name, fault in prepared.faults(cluster).items() if "broker" not in name},
                "broker link": broken_link(link, cluster),
                **({"broker": restarted(server, cluster)} if LONG else {}),  # it takes seconds to boot
            },
            exactly_once=False,
            own_clocks=prepared.own_clocks,
        )

    return prepare


REDIS_GROUNDS = [
    pytest.param(sqlite_redis, 2, id="sqlite-redis-2"),
    pytest.param(redis_redis, 3, id="redis-redis-3"),
    pytest.param(postgres_redis, 2, id="postgres-redis-2"),
    pytest.param(two_redises, 2, id="redis-another-redis-2"),
]
RABBIT_GROUNDS = [
    pytest.param(on_rabbitmq(sqlite_redis), 2, id="sqlite-rabbitmq-2"),
    pytest.param(on_rabbitmq(redis_redis), 2, id="redis-rabbitmq-2"),
    pytest.param(on_rabbitmq(postgres_redis), 3, id="postgres-rabbitmq-3"),
]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("prepare", "count"), REDIS_GROUNDS if LONG else REDIS_GROUNDS[:3])
def test_on_redis_every_fire_time_has_one_outcome_and_one_message(
    tmp_path: Path, prepare: Callable[[Path, ExitStack], Ground], count: int
) -> None:
    with ExitStack() as ending:
        battle(tmp_path, prepare(tmp_path, ending), count)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("prepare", "count"), RABBIT_GROUNDS if LONG else RABBIT_GROUNDS[:1])
def test_on_rabbitmq_every_fire_time_has_one_outcome_and_one_task_id(
    tmp_path: Path,
    rabbitmq_server: RabbitMQServer,
    rabbitmq_url: str,
    prepare: Callable[..., Ground],
    count: int,
) -> None:
    with ExitStack() as ending:
        battle(tmp_path, prepare(tmp_path, ending, rabbitmq_server, rabbitmq_url), count)


def battle(folder: Path, ground: Ground, count: int) -> None:
    """Run replicas under faults, let them come to rest, and hold everything against the oracle."""
    write_app(folder, ground.broker, ENTRIES)
    replicas = [Replica(number, folder, ground.replicas_store, steppable=True) for number in range(count)]
    with Cluster(replicas, random.Random(SEED), own_clocks=ground.own_clocks) as cluster:
        cluster.strike({**cluster.faults(), **ground.faults(cluster)}, faults_wanted(6))
        cluster.rest(lambda: came_to_rest(ground.store, cluster.pids()))
        assert cluster.stop() == [0] * count
    ledger, sent = Ledger(ground.store), ground.sent()
    tell(cluster, ledger, sent)
    assert cluster.breaths_with_firings > cluster.faults_struck // 4, "what was struck was mostly idle"
    judge(ledger, sent, exactly_once=ground.exactly_once)


def tell(cluster: Cluster, ledger: Ledger, sent: list[Message]) -> None:
    """Print what a long run is asked for: how much was broken, what should have been, and what came."""
    struck = Counter(cluster.log)
    print(f"\n{cluster.faults_struck} faults in {cluster.seconds:.0f} s, ", end="")
    print(f"{cluster.breaths_with_firings} of them among firings: ", end="")
    print(", ".join(f"{name} {number}" for name, number in sorted(struck.items())))
    print(f"{ledger.fire_times()} fire times: {ledger.count('published')} published, ", end="")
    print(f"{ledger.count('skipped', 'coalesced')} coalesced; {len(sent)} messages, ", end="")
    print(f"{len(sent) - len({message.task_id for message in sent})} of them second copies", flush=True)


def came_to_rest(url: str, pids: set[int]) -> bool:
    """Whether these processes all live, firings go out again and none of those before is left in the outbox."""
    with open_store(url, create=False) as store:
        if not pids <= {replica.pid for replica in store.replicas()}:
            return False  # one that is still starting does not know yet how to be stopped
        now = store.now()
        recent = list(store.history(since=now - 4 * SECOND, until=now - 2 * SECOND))
        if len(recent) < 8 or not store.unsettled():
            return len(recent) >= 8
        return all(record.outcome != "claimed" for record in store.history(until=now - 2 * SECOND))


def judge(ledger: Ledger, sent: list[Message], *, exactly_once: bool) -> None:
    assert ledger.problems() == []
    assert under_two_ids(sent) == {}
    assert {message.task_id for message in sent} == ledger.task_ids("published")
    assert ledger.count("claimed") == ledger.count("failed") == 0
    copies = Counter(message.task_id for message in sent)
    twice = {task_id: number for task_id, number in copies.items() if number > 1}
    if exactly_once:
        assert twice == {}
