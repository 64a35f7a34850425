"""Clients of redis-py as a store wants them: with timeouts, and never repeating a command by themselves."""

from __future__ import annotations

from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from qbeat.store.redis.address import Address


def connect(address: Address) -> redis.Redis:
    """Return a client that neither connects before its first command nor repeats one by itself."""
    options = _options(address)
    if address.master_name is not None:
        sentinels: Any = Sentinel  # it has no types
        watching = sentinels(address.hosts, sentinel_kwargs=_sentinel_options(address))
        return cast("redis.Redis", watching.master_for(address.master_name, redis.Redis, **options))
    if address.path is not None:
        return redis.Redis(unix_socket_path=address.path, **options)
    ((host, port),) = address.hosts
    return redis.Redis(host=host, port=port, **options)


def _options(address: Address) -> dict[str, Any]:
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "socket_timeout": address.timeout,
        "socket_connect_timeout": address.connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if address.path is None:
        options["socket_keepalive"] = True
    return options if address.tls is None else {**options, "ssl": True, **address.tls}


def _sentinel_options(address: Address) -> dict[str, Any]:
    return {
        "username": address.sentinel_username,
        "password": address.sentinel_password,
        "socket_timeout": address.connect_timeout,
        "socket_connect_timeout": address.connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
