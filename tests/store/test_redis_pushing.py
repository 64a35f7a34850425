"""Where store and broker are one Redis: a claim that is won has pushed its messages, any other has not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from qbeat.store import open_store
from qbeat.store.base import Store, StoreUnavailable
from qbeat.store.records import AUTO, Claim, EntryRecord, Message, NewFiring, Won
from tests.servers import RedisServer, TcpProxy, eventually
from tests.store.making import (
    SECOND,
    START,
    Clock,
    claim_of,
    create,
    entry,
    fire,
    history_of,
    read,
    settled,
    take_over,
    task_id,
    uid_of,
)

QUEUE = "celery"
BUSY = "local from = redis.call('TIME')[1] while redis.call('TIME')[1] - from < 2 do end"
"""A script that keeps Redis from answering anybody for more than a second."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(redis_url: str, clock: Clock) -> Iterator[Store]:
    with open_store(redis_url, clock=clock) as opened:
        yield opened


@pytest.fixture
def client(redis_server: RedisServer) -> Any:
    return redis_server.client


def pushing(record: EntryRecord, *fire_times: int, key: str = QUEUE, **changes: Any) -> Claim:
    """A claim whose firings bring a message each."""
    claim = claim_of(record, *fire_times, **changes)
    firings = tuple(
        NewFiring(
            firing.fire_time, firing.task_id, Message(key, f"{record.name} ä {firing.fire_time - START}")
        )
        for firing in claim.firings
    )
    return claim_of(record, *fire_times, **{"firings": firings, **changes})


def messages(client: Any, key: str = QUEUE) -> list[str]:
    """What a worker would get, in its order."""
    return [message.decode() for message in client.lrange(key, 0, -1)[::-1]]


def test_a_won_claim_has_pushed_and_published(store: Store, client: Any, clock: Clock) -> None:
    create(store, entry())
    clock.now += 15 * SECOND
    assert store.claim([pushing(read(store), 10, 20)], replica="r1") == [Won.YES]
    assert messages(client) == ["a ä 10", "a ä 20"]
    assert store.unsettled() == 0
    for record, fire_time in zip(history_of(store), [START + 10, START + 20], strict=True):
        assert (record.fire_time, record.outcome, record.lane) == (fire_time, "published", AUTO)
        assert (record.claimed_at, record.published_at) == (clock.now, clock.now)
        assert (record.task_id, record.replica, record.attempt) == (task_id("a", fire_time), "r1", 1)
    after = read(store)
    assert (after.last_published_at, after.last_fire_time) == (clock.now, START + 20)
    assert (after.total_run_count, after.cursor) == (2, START + 20)


def test_a_lost_claim_pushes_nothing(store: Store, client: Any) -> None:
    create(store, entry())
    claim = pushing(read(store), 10)
    fire(store, "a", 10)
    assert store.claim([claim, pushing(entry("x", revision=1), 10)], replica="r2") == [Won.LOST, Won.LOST]
    assert messages(client) == []


def test_a_queued_claim_pushes_nothing_and_waits_in_the_outbox(store: Store, client: Any) -> None:
    create(store, entry())
    fire(store, "a", 10, replica="r1")
    assert store.claim([pushing(read(store), 20)], replica="r2") == [Won.QUEUED]
    assert messages(client) == []
    assert store.unsettled() == 2
    store.leave("r1")
    assert [(one.fire_time - START, one.task_id) for one in take_over(store)] == [
        (10, task_id("a", START + 10)),
        (20, task_id("a", START + 20)),
    ]


def test_a_batch_pushes_in_its_order_to_each_list(store: Store, client: Any) -> None:
    create(store, *(entry(name) for name in "abcd"))
    a, b, c, d = store.entries()
    fire(store, "c", 5)
    d_again = pushing(entry("d", cursor=START + 10, revision=1), 30, key="low")
    claims = [pushing(d, 10), pushing(a, 10, key="low"), pushing(c, 10), pushing(b, 10, 20), d_again]
    assert store.claim(claims, replica="r1") == [Won.YES, Won.YES, Won.LOST, Won.YES, Won.YES]
    assert messages(client) == ["d ä 10", "b ä 10", "b ä 20"]
    assert messages(client, "low") == ["a ä 10", "d ä 30"]


def test_firings_with_and_without_messages_can_be_mixed(store: Store, client: Any) -> None:
    create(store, entry("a"), entry("b"))
    claims = [pushing(read(store, "a"), 10), claim_of(read(store, "b"), 10)]
    assert store.claim(claims, replica="r1") == [Won.YES, Won.YES]
    outcomes = {one.entry: one.outcome for one in history_of(store)}
    assert outcomes == {"a": "published", "b": "claimed"}
    assert (messages(client), store.unsettled()) == (["a ä 10"], 1)


def test_a_full_batch_of_long_messages_is_pushed_whole(store: Store, client: Any) -> None:
    create(store, *(entry(f"n{number}") for number in range(1_000)))
    body = "ü" * 2_000
    claims = [
        claim_of(
            record,
            firings=(NewFiring(START + 10, task_id(record.name, START + 10), Message(QUEUE, body)),),
            new_cursor=START + 10,
        )
        for record in store.entries()
    ]
    assert store.claim(claims, replica="r1") == [Won.YES] * 1_000
    assert messages(client) == [body] * 1_000


def test_more_messages_of_one_claim_than_one_push_takes_keep_their_order(store: Store, client: Any) -> None:
    create(store, *(entry(f"n{number}") for number in range(10)))
    claims = [pushing(record, *range(1, 901)) for record in store.entries()]
    assert store.claim(claims, replica="r1") == [Won.YES] * 10
    expected = [f"n{number} ä {fire_time}" for number in range(10) for fire_time in range(1, 901)]
    assert messages(client) == expected


def waiting(store: Store) -> list[tuple[str, int, bool]]:
    """What anybody can take from the outbox now: entries, seconds, whether uncertain."""
    return [(one.entry, one.fire_time - START, one.uncertain) for one in take_over(store, replica="r2")]


def test_what_a_list_refuses_waits_in_the_outbox_while_all_else_is_pushed(
    store: Store, client: Any, clock: Clock
) -> None:
    create(store, *(entry(name) for name in "abcde"))
    a, b, c, d, e = store.entries()
    client.set("taken", "by another program")
    clock.now += 15 * SECOND
    claims = [
        pushing(a, 10, key="free"),
        pushing(b, 10, 11, key="taken"),
        pushing(c, 10),
        claim_of(d, 10, new_cursor=START + 10),
        pushing(e, 10, key="free"),
    ]
    won = [Won.YES, Won.QUEUED, Won.YES, Won.YES, Won.YES]
    assert store.claim(claims, replica="r1") == won
    assert (messages(client, "free"), messages(client)) == (["a ä 10", "e ä 10"], ["c ä 10"])
    assert store.claim(claims, replica="r1") == [Won.LOST] * 5
    assert waiting(store) == [("b", 10, False), ("b", 11, False)]
    ends = {(one.entry, one.outcome, one.published_at) for one in history_of(store)}
    published = {(name, "published", clock.now) for name in "ace"}
    assert ends == {*published, ("b", "claimed", None), ("d", "claimed", None)}
    assert [(one.total_run_count, one.cursor - START) for one in store.entries()] == [
        (2, 11) if one is b else (1, 10) for one in (a, b, c, d, e)
    ]
    assert store.unsettled() == 3


def test_later_claims_of_an_entry_wait_behind_what_a_list_refused(store: Store, client: Any) -> None:
    create(store, entry("a"))
    client.set("taken", "by another program")
    again = pushing(entry("a", cursor=START + 10, revision=1), 20)
    assert store.claim([pushing(read(store), 10, key="taken"), again], replica="r1") == [Won.QUEUED] * 2
    assert messages(client) == []
    assert waiting(store) == [("a", 10, False), ("a", 20, False)]


def test_a_claim_for_several_lists_is_pushed_to_none_if_one_refuses(store: Store, client: Any) -> None:
    create(store, entry("a"), entry("b"))
    a, b = store.entries()
    client.set("taken", "by another program")
    first, second = pushing(a, 10, 20).firings, pushing(a, 10, 20, key="taken").firings
    mixed = pushing(a, firings=(first[0], second[1]), new_cursor=START + 20)
    assert store.claim([mixed, pushing(b, 10)], replica="r1") == [Won.QUEUED, Won.YES]
    assert messages(client) == ["b ä 10"]
    assert waiting(store) == [("a", 10, False), ("a", 20, False)]


def test_settlements_that_come_with_a_refused_message_are_written_once(store: Store, client: Any) -> None:
    create(store, entry("a"), entry("b"))
    fire(store, "a", 10)
    client.set("taken", "by another program")
    claims = [pushing(read(store, "a"), 20), pushing(read(store, "b"), 10, key="taken")]
    assert store.claim(claims, [settled("a", 10)], replica="r1") == [Won.YES, Won.QUEUED]
    ends = [(one.entry, one.fire_time - START, one.outcome) for one in history_of(store)]
    assert sorted(ends) == [("a", 10, "published"), ("a", 20, "published"), ("b", 10, "claimed")]
    assert store.unsettled() == 1


def test_a_list_that_this_user_may_not_push_to_holds_up_no_other(
    store: Store, client: Any, redis_server: RedisServer
) -> None:
    create(store, entry("a"), entry("b"))
    client.acl_setuser(
        "limited", enabled=True, passwords=["+pw"], commands=["+@all"], keys=["{qbeat}:*", "free"]
    )
    url = redis_server.url.replace("redis://", "redis://limited:pw@")
    claims = [pushing(read(store, "a"), 10, key="free"), pushing(read(store, "b"), 10, key="secret")]
    try:
        with open_store(url) as limited:
            assert limited.claim(claims, replica="r1") == [Won.YES, Won.QUEUED]
    finally:
        client.acl_deluser("limited")
    assert (messages(client, "free"), messages(client, "secret")) == (["a ä 10"], [])
    assert waiting(store) == [("b", 10, False)]


def nothing_happened(store: Store, client: Any, *queues: str) -> bool:
    assert [messages(client, queue) for queue in queues] == [[]] * len(queues)
    assert {(record.cursor, record.total_run_count) for record in store.entries()} == {(START, 0)}
    assert history_of(store) == []
    assert store.overdue(START + 12, 10) != []
    return True


def test_a_user_who_may_only_add_to_lists_is_refused_no_more_than_others(
    store: Store, client: Any, redis_server: RedisServer
) -> None:
    create(store, entry("a"), entry("b"))
    client.set("taken", "by another program")
    client.acl_setuser("adding", enabled=True, passwords=["+pw"], commands=["+@all", "-lpop"], keys=["*"])
    url = redis_server.url.replace("redis://", "redis://adding:pw@")
    claims = [pushing(read(store, "a"), 10), pushing(read(store, "b"), 10, key="taken")]
    try:
        with open_store(url) as adding:
            assert adding.claim(claims, replica="r1") == [Won.YES, Won.QUEUED]
    finally:
        client.acl_deluser("adding")
    assert messages(client) == ["a ä 10"]


def test_a_redis_without_memory_refuses_the_whole_batch(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    with open_store(server.url) as store:
        create(store, entry())
        server.client.set("taken", "by another program")
        server.client.config_set("maxmemory-policy", "noeviction")
        server.client.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailable, match="no memory left"):
            store.claim([pushing(read(store), 10)], replica="r1")
        with pytest.raises(StoreUnavailable, match="no memory left"):
            store.claim([claim_of(read(store), 10)], replica="r1")
        with pytest.raises(StoreUnavailable, match="no memory left"):
            store.claim([pushing(read(store), 10, key="taken")], replica="r1")
        server.client.config_set("maxmemory", 0)
        assert nothing_happened(store, server.client, QUEUE)
        assert store.claim([pushing(read(store), 10)], replica="r1") == [Won.YES]


def test_a_claim_whose_answer_is_lost_is_not_made_again(redis_url: str, client: Any) -> None:
    with open_store(f"{redis_url}?socket_timeout=0.2") as store:
        create(store, entry())
        claim = pushing(read(store), 10)
        with keeping_busy(redis_url), pytest.raises(StoreUnavailable, match="did not answer in time"):
            store.claim([claim], replica="r1")
        assert eventually(lambda: messages(client) == ["a ä 10"])
        assert store.claim([claim], replica="r1") == [Won.LOST]
        assert messages(client) == ["a ä 10"]
        assert read(store).total_run_count == 1


class keeping_busy:  # noqa: N801 - it reads as what it does
    """Within it Redis answers nobody; at its end it does again."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=30)
        self._probe = redis.Redis.from_url(url, socket_timeout=0.1, retry=None)
        self._work = threading.Thread(target=lambda: self._client.eval(BUSY, 0))

    def __enter__(self) -> None:
        self._work.start()
        eventually(self._is_busy, what="Redis is busy")

    def __exit__(self, *_: object) -> None:
        self._work.join()
        self._client.close()
        self._probe.close()

    def _is_busy(self) -> bool:
        try:
            self._probe.ping()
        except redis.TimeoutError:
            return True
        return False


def test_a_claim_on_a_connection_that_broke_unnoticed_is_made_once(
    redis_server: RedisServer, redis_url: str, client: Any, start_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = start_proxy(redis_server.port)
    with open_store(proxy.url(redis_url)) as store:
        create(store, entry())
        claim = pushing(read(store), 10)
        proxy.drop()
        assert store.claim([claim], replica="r1") == [Won.YES]
        assert messages(client) == ["a ä 10"]


@pytest.mark.parametrize(
    ("broker", "pushes"),
    [("{url}", True), ("{other}", False), ("amqp://127.0.0.1:{port}", False), ("redis://h/?what=x", False)],
)
def test_a_store_knows_its_own_redis(
    redis_server: RedisServer, redis_url: str, broker: str, pushes: bool
) -> None:
    url = broker.format(url=redis_url, other=redis_server.database_url(1), port=redis_server.port)
    with open_store(f"{redis_url}?prefix=own") as store:
        assert store.pushes_to(url) is pushes


def test_ordinary_claims_and_pushing_ones_keep_one_history(store: Store, client: Any) -> None:
    create(store, entry())
    fire(store, "a", 10)
    assert store.claim([pushing(read(store), 20)], replica="r1") == [Won.YES]
    store.leave("r1")
    (firing,) = take_over(store)
    assert firing.fire_time == START + 10
    assert [(one.fire_time - START, one.outcome) for one in history_of(store)] == [
        (10, "claimed"),
        (20, "published"),
    ]
    assert uid_of("a") == firing.uid
