"""Addresses of a store in Redis: as redis-py, Celery and Kombu write them."""

from __future__ import annotations

import pytest

from qbeat.store.base import StoreUnusable
from qbeat.store.redis.address import Address, parse_address


def test_the_shortest_url_means_the_defaults() -> None:
    assert parse_address("redis://") == Address(hosts=(("localhost", 6379),))


def test_a_url_says_where_and_as_whom() -> None:
    address = parse_address("redis://me:p%40ss@host.example:1234/7?socket_timeout=2.5&prefix=app:beat")
    assert address == Address(
        hosts=(("host.example", 1234),),
        db=7,
        username="me",
        password="p@ss",
        prefix="app:beat",
        timeout=2.5,
        connect_timeout=2.5,
    )
    assert address.url == "redis://me@host.example:1234/7?prefix=app:beat"


def test_a_password_needs_no_user() -> None:
    address = parse_address("redis://:secret@host")
    assert (address.username, address.password) == (None, "secret")
    assert "secret" not in address.url + repr(address)


@pytest.mark.parametrize(
    "url", ["redis://h/3", "redis://h?db=3", "redis://h?virtual_host=3", "valkey://h/3/"]
)
def test_a_database_is_named_in_several_ways(url: str) -> None:
    assert parse_address(url).db == 3


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("rediss://h", {"ssl_check_hostname": True}),
        ("valkeys://h", {"ssl_check_hostname": True}),
        ("redis://h?ssl=true", {"ssl_check_hostname": True}),
        (
            "rediss://h?ssl_cert_reqs=CERT_REQUIRED",
            {"ssl_cert_reqs": "required", "ssl_check_hostname": True},
        ),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        ("rediss://h?ssl_cert_reqs=none", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        (
            "rediss://h?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false",
            {"ssl_ca_certs": "/etc/ca.pem", "ssl_check_hostname": False},
        ),
        ("redis://h", None),
    ],
)
def test_tls_is_written_as_celery_writes_it(url: str, tls: object) -> None:
    assert parse_address(url).tls == tls


def test_sentinels_are_written_as_kombu_writes_them() -> None:
    address = parse_address(
        "sentinel://:pw@one:26380/0;sentinel://:pw@two;sentinel://[::1]:26382/2"
        "?master_name=mymaster&sentinel_password=sp&ssl_cert_reqs=none"
    )
    assert address.hosts == (("one", 26380), ("two", 26379), ("::1", 26382))
    assert (address.master_name, address.db, address.password) == ("mymaster", 0, "pw")
    assert address.sentinel_password == "sp"
    assert address.tls is not None
    assert address.url == (
        "sentinel://one:26380;sentinel://two:26379;sentinel://[::1]:26382/0?master_name=mymaster"
    )


def test_nodes_of_a_cluster_are_written_as_sentinels_are() -> None:
    address = parse_address("rediss://me:pw@one:7000;rediss://two;rediss://[::1]:7002/0?prefix=app")
    assert address.hosts == address.nodes == (("one", 7000), ("two", 6379), ("::1", 7002))
    assert (address.username, address.password, address.db) == ("me", "pw", 0)
    assert address.url == "rediss://me@one:7000;rediss://me@two:6379;rediss://me@[::1]:7002/0?prefix=app"


def test_a_socket_is_written_as_kombu_writes_it() -> None:
    address = parse_address("redis+socket:///run/redis.sock?virtual_host=2&prefix=x")
    assert (address.path, address.db, address.hosts) == ("/run/redis.sock", 2, ())
    assert address.url == "redis+socket:///run/redis.sock?prefix=x"


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("redis://h/name", "by number"),
        ("redis://h:port", "cannot be read"),
        ("redis://h?prefx=x", "prefx"),
        ("redis://h?prefix={x}", "prefix"),
        ("redis://h?prefix=a*", "prefix"),
        ("redis://h?socket_timeout=soon", "socket_timeout"),
        ("redis://h?socket_timeout=-1", "socket_timeout"),
        ("rediss://h?ssl_cert_reqs=perhaps", "ssl_cert_reqs"),
        ("sentinel://h", "master_name"),
        ("redis+socket:///one;redis+socket:///two", "name one"),
        ("redis://one;rediss://two", "alike"),
        ("redis://one;sentinel://two?master_name=m", "alike"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(url: str, word: str) -> None:
    with pytest.raises(StoreUnusable, match=word):
        parse_address(url)


def test_no_refusal_tells_the_password() -> None:
    with pytest.raises(StoreUnusable) as refusal:
        parse_address("redis://me:secret@h/name?x=y")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("redis://h", "redis://h:6379/0", True),
        ("redis://", "redis://localhost//", True),
        ("redis://:a@h", "redis://b:c@H/0", True),
        ("redis://h?prefix=x", "redis://h", True),
        ("redis://h:6379/0", "redis://h:6379/1", False),
        ("redis://h:6379/0", "redis://h:6380/0", False),
        ("redis://h", "redis://g", False),
        ("redis+socket:///a", "redis+socket:///a", True),
        ("redis+socket:///a", "redis+socket:///b", False),
        ("sentinel://a;sentinel://b?master_name=m", "sentinel://b;sentinel://c?master_name=m", True),
        ("sentinel://a?master_name=m", "sentinel://a?master_name=n", False),
        ("sentinel://a?master_name=m", "sentinel://b?master_name=m", False),
        ("sentinel://a?master_name=m", "redis://a:26379", False),
    ],
)
def test_the_same_database_is_recognised(one: str, other: str, same: bool) -> None:
    assert parse_address(one).is_same_database(parse_address(other)) is same
    assert parse_address(other).is_same_database(parse_address(one)) is same
