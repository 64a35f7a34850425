"""A Redis Cluster as a store: keys that are elsewhere, keys that move, nodes that fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from qbeat.store import open_store
from qbeat.store.base import Store, StoreUnavailable, StoreUnusable
from qbeat.store.records import Won
from qbeat.store.redis.nodes import Nodes
from tests.servers import RedisServer, eventually, free_port
from tests.servers.server import HOST
from tests.store.making import claim_of, create, entry, history_of, read, replica
from tests.store.redis_forms import ClusterNode, ask, works

SLOTS = 16384


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What a test enters here ends with it, the last first."""
    with ExitStack() as ending:
        yield ending


@pytest.fixture
def nodes(opened: ExitStack) -> list[Any]:
    """The clients of a cluster's two nodes; the store's keys are on the second."""
    servers = [opened.enter_context(ClusterNode()) for _ in range(2)]
    clients: list[Any] = [server.client for server in servers]
    slot = clients[0].execute_command("CLUSTER KEYSLOT", "{qbeat}")
    # The second has one more: a node without slots would become the other's replica.
    clients[0].execute_command("CLUSTER ADDSLOTS", *range(slot), *range(slot + 2, SLOTS))
    clients[1].execute_command("CLUSTER ADDSLOTS", slot, slot + 1)
    clients[0].execute_command("CLUSTER MEET", HOST, servers[1].port)
    for server in servers:
        eventually(partial(_is_whole, server), within=30, what="the cluster is whole")
    return clients


def _is_whole(server: RedisServer) -> bool:
    return b"cluster_state:ok" in ask(server.port, b"CLUSTER INFO\r\n")


def url_of(client: Any) -> str:
    return f"redis://{HOST}:{client.connection_pool.connection_kwargs['port']}"


@pytest.mark.parametrize("node", [0, 1], ids=["another node", "the node that has the keys"])
def test_a_cluster_serves_as_a_store_whichever_node_is_named(nodes: list[Any], node: int) -> None:
    with open_store(url_of(nodes[node])) as store:
        works(store)
        assert not store.pushes_to(url_of(nodes[node]))
    assert nodes[0].dbsize() == 0
    assert nodes[1].dbsize() > 0


def test_keys_that_move_to_another_node_are_followed(nodes: list[Any]) -> None:
    with open_store(url_of(nodes[1])) as store:
        create(store, entry())
        _move_keys(nodes[1], nodes[0])
        assert store.claim([claim_of(read(store), 10)], replica="r1") == [Won.YES]
    assert nodes[1].dbsize() == 0


@pytest.mark.parametrize("moved", [0, 1, None], ids=["no key", "one key", "all keys"])
def test_while_keys_are_on_their_way_the_store_is_away_and_then_comes_back(
    nodes: list[Any], moved: int | None
) -> None:
    source, target = nodes[1], nodes[0]
    with open_store(url_of(source)) as store:
        create(store, entry())
        claim = claim_of(read(store), 10)
        _begin_to_move(source, target, source.keys("*")[:moved])
        for act in (
            lambda: store.claim([claim], replica="r1"),
            lambda: store.heartbeat(replica(), live_within=10),
            store.entries,
        ):
            with pytest.raises(StoreUnavailable, match="repaired or moved"):
                act()
        _move(source, target, source.keys("*"))
        _end_move(source, target)
        assert store.claim([claim], replica="r1") == [Won.YES]


def _move_keys(source: Any, target: Any) -> None:
    _begin_to_move(source, target, source.keys("*"))
    _end_move(source, target)


def _begin_to_move(source: Any, target: Any, keys: list[bytes]) -> None:
    slot = _slot(source)
    target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", _id(source))
    source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", _id(target))
    _move(source, target, keys)


def _move(source: Any, target: Any, keys: list[bytes]) -> None:
    if keys:
        port = target.connection_pool.connection_kwargs["port"]
        source.execute_command("MIGRATE", HOST, port, "", 0, 5000, "KEYS", *keys)


def _end_move(source: Any, target: Any) -> None:
    for client in (target, source):
        client.execute_command("CLUSTER SETSLOT", _slot(source), "NODE", _id(target))


def _slot(client: Any) -> int:
    slot: int = client.execute_command("CLUSTER KEYSLOT", "{qbeat}")
    return slot


def _id(client: Any) -> str:
    name: bytes = client.execute_command("CLUSTER MYID")
    return name.decode()


# --- nodes that fail


@pytest.fixture
def pair(opened: ExitStack) -> list[RedisServer]:
    """Two nodes of a cluster; the first has all slots, the second none."""
    servers: list[RedisServer] = [opened.enter_context(ClusterNode()) for _ in range(2)]
    first: Any = servers[0].client
    first.execute_command("CLUSTER ADDSLOTS", *range(SLOTS))
    first.execute_command("CLUSTER MEET", HOST, servers[1].port)
    for server in servers:
        eventually(partial(_is_whole, server), within=30, what="the cluster is whole")
    return servers


def _replicate(primary: RedisServer, follower: RedisServer) -> None:
    """Make a node the other's replica, and wait until the cluster tells so."""
    of, by = (_a_client(server) for server in (primary, follower))
    by.execute_command("CLUSTER REPLICATE", _id(of))
    eventually(
        lambda: len(of.execute_command("CLUSTER SLOTS")[0]) > 3, within=30, what="the replica is known"
    )
    eventually(
        lambda: by.dbsize() == of.dbsize() and by.role()[3] == b"connected", within=30, what="it has all"
    )


def _fail_over(primary: RedisServer, follower: RedisServer) -> None:
    """Kill a primary, and have its replica take its place."""
    eventually(lambda: _a_client(primary).wait(1, 100) == 1, what="the replica has what was written")
    primary.kill()
    _a_client(follower).execute_command("CLUSTER FAILOVER", "TAKEOVER")
    eventually(partial(_is_whole, follower), within=30, what="the cluster is whole again")


def _a_client(server: RedisServer) -> Any:
    return server.client


def _claims(store: Store) -> bool:
    try:
        return store.claim([claim_of(read(store), 10)], replica="r1") == [Won.YES]
    except StoreUnavailable:
        return False


def test_a_replica_that_takes_the_place_of_the_node_that_was_named_is_found(pair: list[RedisServer]) -> None:
    _replicate(*pair)
    with open_store(pair[0].url) as store:
        create(store, entry())
        _fail_over(*pair)
        with pytest.raises(StoreUnavailable):
            store.heartbeat(replica(), live_within=10)
        store.heartbeat(replica(), live_within=10)
        assert eventually(lambda: _claims(store), what="the new primary takes a claim")
        assert [one.outcome for one in history_of(store)] == ["claimed"]


def test_nodes_that_come_later_are_known_and_read_from_when_they_are_needed(pair: list[RedisServer]) -> None:
    with open_store(pair[0].url) as store:
        create(store, entry())
        _replicate(*pair)
        for _ in range(100):
            store.unsettled()
        _fail_over(*pair)
        assert read(store).name == "a"


def test_of_several_nodes_that_are_named_one_has_to_be_there(pair: list[RedisServer]) -> None:
    nodes = [f"redis://{HOST}:{port}" for port in (free_port(), pair[1].port, pair[0].port)]
    with open_store(";".join(nodes)) as store:
        works(store)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        open_store(f"{nodes[0]};redis://{HOST}:{free_port()}")


def test_several_servers_that_are_no_cluster_are_no_store(opened: ExitStack) -> None:
    servers = [opened.enter_context(RedisServer()) for _ in range(2)]
    with pytest.raises(StoreUnusable, match="no cluster"):
        open_store(";".join(f"redis://{HOST}:{server.port}" for server in servers))
    assert [_a_client(server).dbsize() for server in servers] == [0, 0]


# --- which nodes there are

SLOTS_OF_THREE = [
    [0, 99, [b"one", 7000, b"id", []], [b"two", 7001, b"id", []]],
    [100, 16383, [b"three", 7002, b"id", []], [b"one", 7000, b"id", []]],
]


def walk(nodes: Nodes, start: tuple[str, int]) -> list[str]:
    """The hosts that are asked one after the other, until it begins again."""
    found = [start]
    while (following := nodes.after(found[-1])) not in found:
        found.append(following)
    return [host for host, _ in found]


def test_the_nodes_that_were_named_come_first_and_each_once() -> None:
    nodes = Nodes([("seed", 7000), ("two", 7001)])
    nodes.learn(SLOTS_OF_THREE, ("seed", 7000))
    assert walk(nodes, ("seed", 7000)) == ["seed", "two", "one", "three"]
    assert len(nodes) == 4


def test_nodes_that_are_no_more_are_forgotten_unless_they_were_named() -> None:
    nodes = Nodes([("seed", 7000)])
    nodes.learn(SLOTS_OF_THREE, ("seed", 7000))
    nodes.learn([[0, 16383, [b"new", 7000, b"id", []]]], ("seed", 7000))
    assert walk(nodes, ("seed", 7000)) == ["seed", "new"]
    assert nodes.after(("one", 7000)) == ("seed", 7000)


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_without_a_name_is_on_the_host_that_was_asked(host: bytes | None) -> None:
    nodes = Nodes([("seed", 7000)])
    nodes.learn([[0, 16383, [host, 7001, b"id", []]]], ("asked", 7000))
    assert nodes.after(("seed", 7000)) == ("asked", 7001)


def test_a_single_server_has_no_other() -> None:
    assert Nodes([("one", 6379)]).after(("one", 6379)) == ("one", 6379)
    assert (Nodes([]).first, len(Nodes([]))) == (None, 0)
