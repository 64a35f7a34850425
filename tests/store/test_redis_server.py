"""A Redis that restarts, fills up, forgets or refuses: what the store makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis.exceptions as errors

from qbeat.store import open_store
from qbeat.store.base import Store, StoreError, StoreUnavailable, StoreUnusable
from qbeat.store.records import Won
from qbeat.store.redis import RedisStore, opening
from qbeat.store.redis.errors import explain
from qbeat.store.redis.scripts import Script, script
from tests.servers import RedisServer, TcpProxy, free_port
from tests.store.making import (
    START,
    claim_of,
    create,
    entry,
    fire,
    fire_times,
    history_of,
    publish,
    read,
    release,
    replica,
    settled,
    skip,
    take_over,
)


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    with open_store(redis_url) as opened:
        yield opened


@pytest.fixture
def client(redis_server: RedisServer, redis_url: str) -> Any:
    return redis_server.client


def live(store: Store) -> None:
    """Use every verb once."""
    create(store, entry("a"), entry("b"))
    store.heartbeat(replica(), live_within=10)
    fire(store, "a", 10, 20)
    store.claim([claim_of(read(store, "b"), 10, skips=(skip(5, 6, 2),))], replica="r1")
    store.settle([settled("a", 10)], [release("b", 10)])
    assert len(take_over(store, stale_after=10**12)) == 1
    assert fire_times(history_of(store)) == [5, 10, 10, 20]
    assert len(store.overdue(START + 100, 10)) == 2
    store.leave("r1")
    assert store.prune(START + 10, 10) == 1
    assert store.remove(["b"]) == 1
    assert store.now() > START - 10**15
    assert (store.unsettled(), store.replicas()) == (1, [])


# --- scripts and keys


def test_scripts_that_redis_has_forgotten_are_loaded_again(store: Store, client: Any) -> None:
    create(store, entry())
    client.script_flush()
    claim = claim_of(read(store), 10)
    client.script_flush()
    assert store.claim([claim], replica="r1") == [Won.YES]
    client.script_flush()
    store.settle([settled("a", 10)])
    assert [one.outcome for one in history_of(store)] == ["published"]


def test_every_key_is_under_the_hash_tag_of_the_prefix(redis_server: RedisServer, redis_url: str) -> None:
    with open_store(redis_url) as store:
        live(store)  # so that Redis knows the scripts: their texts are hard to tell from keys
        redis_server.client.flushdb()
    with redis_server.client.monitor() as monitor, open_store(f"{redis_url}?prefix=app:1") as store:
        live(store)
        redis_server.client.echo("the end")
        seen = commands_until(monitor, "the end")
    given = [key for kind, command in seen if command[0] == "EVALSHA" for key in command[3:19]]
    touched = [command[1] for kind, command in seen if kind == "lua" and len(command) > 1]
    assert len(touched) > 100
    assert {key[:8] for key in (*given, *touched)} == {"{app:1}:"}
    client: Any = redis_server.client
    assert {key[:8] for key in client.keys("*")} == {b"{app:1}:"}


def commands_until(monitor: Any, last: str) -> list[tuple[str, list[str]]]:
    """What Redis was told, and by what kind of client, scripts included."""
    seen: list[tuple[str, list[str]]] = []
    while not seen or last not in " ".join(seen[-1][1]):
        command = monitor.next_command()
        seen.append((command["client_type"], command["command"].split(" ")))
    return seen


def test_stores_of_two_prefixes_do_not_meet(redis_url: str) -> None:
    with open_store(f"{redis_url}?prefix=one") as one, open_store(f"{redis_url}?prefix=two") as two:
        live(one)
        assert (two.entries(), history_of(two), two.unsettled()) == ([], [], 0)
        live(two)
        assert [record.name for record in one.entries()] == ["a"]


def test_stores_in_two_databases_do_not_meet(redis_server: RedisServer, redis_url: str) -> None:
    with open_store(redis_url) as one, open_store(redis_server.database_url(1)) as two:
        live(one)
        assert two.entries() == []
        live(two)
        assert [record.name for record in one.entries()] == ["a"]


def test_a_removed_and_pruned_store_leaves_only_its_mark(store: Store, client: Any) -> None:
    live(store)
    store.remove(["a"])
    store.prune(START + 1_000, 1_000)
    left = {key.decode() for key in client.keys("*")}
    assert left == {"{qbeat}:meta", "{qbeat}:numbers"}


def test_the_clock_is_that_of_redis(store: Store, client: Any) -> None:
    def now() -> int:
        seconds, microseconds = client.time()
        return int(seconds * 1_000_000 + microseconds)

    create(store, entry())
    before = now()
    fire(store, "a", 10)
    pulse = store.heartbeat(replica(), live_within=10)
    instants = [before, history_of(store)[0].claimed_at, pulse.now, store.now(), now()]
    assert instants == sorted(instants)


# --- restarts and broken connections


def test_what_was_written_outlives_a_restart_of_a_durable_redis(
    start_redis: Callable[..., RedisServer],
) -> None:
    server = start_redis(durable=True)
    with open_store(server.url) as store:
        create(store, entry("a"), entry("b"))
        publish(store, "a", 10, 20)
        fire(store, "b", 10)
        before = store.entries(), history_of(store), store.unsettled()
        server.stop()
        server.start()
        assert (store.entries(), history_of(store), store.unsettled()) == before
        server.stop()
        server.start()
        assert store.claim([claim_of(read(store), 30)], replica="r1") == [Won.YES]


def test_a_redis_that_is_away_is_unavailable_until_it_is_back(
    start_redis: Callable[..., RedisServer],
) -> None:
    server = start_redis(durable=True)
    with open_store(server.url) as store:
        create(store, entry())
        server.kill()
        for act in (store.entries, store.unsettled, lambda: store.settle([settled("a", 10)]), store.now):
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                act()
        server.start()
        assert read(store).name == "a"


def test_reads_survive_a_connection_that_is_cut(
    redis_server: RedisServer, redis_url: str, start_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = start_proxy(redis_server.port)
    with open_store(proxy.url(redis_url)) as store:
        create(store, entry())
        proxy.drop()
        assert read(store).name == "a"


def test_a_claim_under_way_on_a_connection_that_is_cut_is_no_more_known(
    redis_server: RedisServer, redis_url: str, start_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = start_proxy(redis_server.port)
    with open_store(proxy.url(redis_url)) as store:
        create(store, entry())
        claim = claim_of(read(store), 10)
        proxy.freeze()
        finish = store.begin_claim([claim], replica="r1")
        proxy.drop()
        with pytest.raises(StoreUnavailable):
            finish()
        proxy.restore()
        (won,) = store.claim([claim_of(read(store), 20)], replica="r1")
        assert won is not Won.LOST


def test_a_redis_that_answers_nothing_is_given_up_in_time(
    redis_server: RedisServer, redis_url: str, start_proxy: Callable[[int], TcpProxy]
) -> None:
    proxy = start_proxy(redis_server.port)
    with open_store(f"{proxy.url(redis_url)}?socket_timeout=0.2") as store:
        create(store, entry())
        proxy.freeze()
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            store.entries()
        proxy.restore()
        assert read(store).name == "a"


def test_a_store_that_is_emptied_in_use_says_so_and_starts_anew(store: Store, client: Any) -> None:
    create(store, entry())
    claim = claim_of(read(store), 10)
    client.flushall()
    with pytest.raises(StoreUnavailable, match="emptied"):
        store.claim([claim], replica="r1")
    assert store.entries() == []
    create(store, entry())
    fire(store, "a", 10)


# --- opening


def test_nothing_is_made_where_nothing_may_be_made(redis_url: str, client: Any) -> None:
    with pytest.raises(StoreUnusable, match="start qbeat once"):
        open_store(redis_url, create=False)
    assert client.dbsize() == 0


def test_what_is_there_can_be_used_where_nothing_may_be_made(redis_url: str, store: Store) -> None:
    create(store, entry())
    with open_store(redis_url, create=False) as other:
        assert read(other).name == "a"


def test_a_store_of_a_newer_program_is_refused(redis_url: str, store: Store, client: Any) -> None:
    client.hset("{qbeat}:meta", mapping={"version": 7, "compatible_from": 6})
    with pytest.raises(StoreUnusable, match=r"newer qbeat \(version 7"):
        open_store(redis_url)
    with pytest.raises(StoreUnusable, match="newer qbeat"):
        store.entries()


def test_a_store_that_a_newer_program_left_usable_is_used(redis_url: str, store: Store, client: Any) -> None:
    client.hset("{qbeat}:meta", mapping={"version": 2, "compatible_from": 1})
    with open_store(redis_url) as other:
        create(other, entry())
    assert client.hget("{qbeat}:meta", "version") == b"2"


@pytest.mark.parametrize("key", ["meta", "entries", "due", "outbox", "starts"])
def test_keys_of_another_program_are_left_alone(redis_url: str, client: Any, key: str) -> None:
    client.set(f"{{qbeat}}:{key}", "mine")
    with pytest.raises(StoreUnusable, match=r"another program.*\?prefix="):
        open_store(redis_url)
    assert client.keys("*") == [f"{{qbeat}}:{key}".encode()]


def test_keys_without_a_version_are_left_alone(redis_url: str, store: Store, client: Any) -> None:
    create(store, entry())
    client.delete("{qbeat}:meta")
    with pytest.raises(StoreUnusable, match="not its version"):
        open_store(redis_url)
    assert client.hlen("{qbeat}:entries") == 1


def test_a_key_that_another_program_takes_in_use_harms_nothing(store: Store, client: Any) -> None:
    create(store, entry())
    claim = claim_of(read(store), 10)
    client.rename("{qbeat}:due", "elsewhere")
    client.set("{qbeat}:due", "mine")
    with pytest.raises(StoreUnusable, match="another program"):
        store.claim([claim], replica="r1")
    client.rename("elsewhere", "{qbeat}:due")
    assert store.claim([claim], replica="r1") == [Won.YES]


def test_each_step_of_a_migration_is_taken_once(store: RedisStore, client: Any) -> None:
    text = """
        if tonumber(redis.call('HGET', KEYS[1], 'version')) >= tonumber(ARGV[1]) then return 0 end
        redis.call('HINCRBY', KEYS[1], 'steps', 1)
        return redis.call('HSET', KEYS[1], 'version', ARGV[1])
    """
    steps = {number: Script(f"to_{number}", text, "0" * 40) for number in (2, 3)}
    for _ in range(2):  # as two replicas that both found version 1
        opening.migrate(store._server, store._keys, 1, steps, target=3)
    assert client.hmget("{qbeat}:meta", "version", "steps") == [b"3", b"2"]


def test_a_redis_that_throws_keys_away_is_warned_of(
    redis_url: str, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", "1gb")
    try:
        open_store(redis_url).close()
    finally:
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
    assert "noeviction" in caplog.text
    caplog.clear()
    open_store(redis_url).close()
    assert caplog.text == ""


def test_a_redis_that_is_too_old_is_refused() -> None:
    with pytest.raises(StoreUnusable, match=r"version 6\.0\.16: a store needs 6\.2"):
        opening._check_version("redis://h", "6.0.16")
    for version in ("6.2.0", "7.0.15", "8.0", "255.255.255", ""):
        opening._check_version("redis://h", version)


# --- refusals


def refusal_of(url: str) -> StoreError:
    with pytest.raises(StoreError) as refusal:
        open_store(url).close()
    assert "secret" not in str(refusal.value)
    return refusal.value


def test_a_wrong_password_is_for_a_person_to_correct(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    server.client.config_set("requirepass", "right")
    for wrong in ("", ":secret@", "nobody:secret@"):
        refusal = refusal_of(server.url.replace("//", f"//{wrong}"))
        assert isinstance(refusal, StoreUnusable)
        assert "password" in str(refusal)
    open_store(server.url.replace("//", "//:right@")).close()


def test_a_database_that_redis_does_not_have_is_for_a_person_to_correct(redis_server: RedisServer) -> None:
    refusal = refusal_of(redis_server.database_url(99))
    assert isinstance(refusal, StoreUnusable)
    assert "database" in str(refusal)


def test_a_port_where_nobody_listens_may_be_served_later() -> None:
    refusal = refusal_of(f"redis://:secret@127.0.0.1:{free_port()}")
    assert isinstance(refusal, StoreUnavailable)
    assert "cannot be reached" in str(refusal)


def test_a_server_that_is_no_redis_is_for_a_person_to_correct() -> None:
    refusal = explain(errors.InvalidResponse("Protocol Error: b'HTTP/1.1 400'"), "redis://h")
    assert isinstance(refusal, StoreUnusable)
    assert "does not speak as Redis does" in str(refusal)


@pytest.mark.parametrize("forbidden", ["time", "hset", "zadd", "evalsha"])
def test_a_user_without_a_command_is_for_a_person_to_allow(
    start_redis: Callable[..., RedisServer], forbidden: str
) -> None:
    server = start_redis()
    server.client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", f"-{forbidden}")
    url = server.url.replace("redis://", "redis://app:pw@")
    refused = pytest.raises(StoreUnusable, match="does not let this user work: allow it all commands")
    with refused, open_store(url) as store:
        create(store, entry())
        store.now()


def test_a_replica_refuses_what_writes(start_redis: Callable[..., RedisServer]) -> None:
    primary, follower = start_redis(), start_redis()
    with open_store(follower.url) as store:
        create(store, entry())
        claim = claim_of(read(store), 10)
        follower.client.replicaof("127.0.0.1", primary.port)
        with pytest.raises(StoreUnavailable, match="replica that may only be read"):
            store.claim([claim], replica="r1")
    assert "replica that may only be read" in str(refusal_of(follower.url))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (errors.BusyLoadingError("Redis is loading the dataset in memory"), StoreUnavailable, "loading"),
        (errors.OutOfMemoryError("command not allowed"), StoreUnavailable, "no memory left"),
        (
            errors.ResponseError(
                "Error running script (call to f_1): @user_script:3: -OOM command not allowed when used memory"
            ),
            StoreUnavailable,
            "no memory left",
        ),
        (errors.ResponseError("MISCONF Redis is configured to save RDB snapshots"), StoreUnavailable, "disk"),
        (errors.ResponseError("NOREPLICAS Not enough good replicas to write."), StoreUnavailable, "replicas"),
        (errors.ResponseError("BUSY Redis is busy running a script."), StoreUnavailable, "SCRIPT KILL"),
        (errors.ClusterDownError("CLUSTERDOWN Hash slot not served"), StoreUnavailable, "cluster"),
        (
            errors.TryAgainError("Multiple keys request during rehashing of slot"),
            StoreUnavailable,
            "repaired or moved",
        ),
        (
            errors.ResponseError("TRYAGAIN Multiple keys request during rehashing of slot"),
            StoreUnavailable,
            "repaired or moved",
        ),
        (errors.AskError("13822 127.0.0.1:7001"), StoreUnavailable, "repaired or moved"),
        (errors.ResponseError("ASK 13822 127.0.0.1:7001"), StoreUnavailable, "repaired or moved"),
        (
            errors.ResponseError(
                "ERR Error running script (call to f_1): Script killed by user with SCRIPT KILL."
            ),
            StoreUnavailable,
            "has ended",
        ),
        (errors.ConnectionError("max number of clients reached"), StoreUnavailable, "too many clients"),
        (
            errors.ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
            StoreUnusable,
            "ssl_ca_certs",
        ),
        (errors.NoPermissionError("this user has no permissions"), StoreUnusable, "does not let this user"),
        (errors.ResponseError("unknown command 'EVALSHA'"), StoreUnusable, "unknown command"),
        (ConnectionResetError(104, "Connection reset by peer"), StoreUnavailable, "cannot be reached"),
    ],
)
def test_each_refusal_has_a_sentence(error: Exception, kind: type[StoreError], words: str) -> None:
    refusal = explain(error, "redis://h")
    assert isinstance(refusal, kind)
    assert words in str(refusal)
    assert str(refusal).startswith("the Redis at redis://h ")


# --- rows that cannot be read


@pytest.mark.parametrize("broken", [b"?", b'["%s"]', b'["%s",1,2,3,[],5,6,7,8,9,10]'])
def test_an_entry_that_cannot_be_read_is_left_out_and_stays(
    store: Store, client: Any, caplog: pytest.LogCaptureFixture, broken: bytes
) -> None:
    create(store, entry("a"), entry("b"))
    client.hset("{qbeat}:entries", "a", broken)
    assert [record.name for record in store.entries()] == ["b"]
    assert store.entries(["a"]) == []
    assert "left out" in caplog.text
    assert client.hget("{qbeat}:entries", "a") == broken


def test_a_uid_of_another_length_is_an_error(store: Store) -> None:
    with pytest.raises(ValueError, match="no uid"):
        create(store, entry(uid="short"))


def test_scripts_of_one_verb_are_always_the_same() -> None:
    assert script("claim").digest == script("claim").digest
    assert script("claim").text.count("local function settle(") == 1
