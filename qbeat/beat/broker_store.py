"""The broker's own Redis as a store: its address, from all that an app says of it, as a store's URL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from celery import Celery

from qbeat.beat.broker_url import broker_of
from qbeat.beat.errors import SettingError

BROKER: Final = "broker"
"""What stands for the broker's own Redis in place of a store's URL."""

_CURE: Final = "name a store such as -s qbeat.db or -s redis://host:6379/0"


def broker_store(app: Celery) -> str:
    """Return the URL, passwords included, of the store in the Redis that is the app's broker.

    Raises ``SettingError`` if the broker is none, or cannot be reached by a URL.
    """
    connection = broker_of(app)
    transport = str(connection.transport_cls)
    if connection.get_transport_cls().driver_type != "redis" or "cluster" in transport.lower():
        raise SettingError(
            f"-s {BROKER} needs a broker that is Redis, and this app's is {transport}: {_CURE}"
        )
    if getattr(connection, "credential_provider", None):
        raise SettingError(f"-s {BROKER} cannot take over the broker's credential provider: {_CURE}")
    options = connection.transport_options or {}
    query = {**_prefix(options), **_tls_options(connection.ssl)}
    if "://" in str(connection.hostname):
        address = f"redis+{connection.hostname}"
        return _with_query(address, query)
    if transport == "sentinel":
        watched = {**_sentinel_options(options), **query}
        return _with_query(
            ";".join(_sentinels(connection)), watched | ({"ssl": "1"} if connection.ssl else {})
        )
    if len({*connection.alt}) > 1:
        raise SettingError(f"-s {BROKER} needs one broker, and this app names several: {_CURE}")
    scheme = "rediss" if connection.ssl or transport == "rediss" else "redis"
    where = f"{scheme}://{_user(connection)}{_host(connection.hostname, connection.port)}"
    return _with_query(f"{where}{_database(connection)}", query)


def _sentinels(connection: Any) -> Iterator[str]:
    """Yield the Sentinels' URLs; the first has what all of them share."""
    hosts = [(parts.hostname, parts.port) for parts in map(urlsplit, connection.alt)]
    first, *others = hosts or [(connection.hostname, connection.port)]
    yield f"sentinel://{_user(connection)}{_host(*first)}{_database(connection)}"
    yield from (f"sentinel://{_host(*other)}" for other in others)


def _sentinel_options(options: Mapping[str, Any]) -> dict[str, str]:
    name = options.get("master_name")
    if not name:
        raise SettingError(
            f"-s {BROKER} needs to know whom the Sentinels watch: set broker_transport_options['master_name']"
        )
    own = options.get("sentinel_kwargs") or {}
    given = {f"sentinel_{key}": own.get(key) for key in ("username", "password")}
    return {"master_name": str(name)} | {key: str(value) for key, value in given.items() if value}


def _prefix(options: Mapping[str, Any]) -> dict[str, str]:
    """Keep apps apart that share a database by Kombu's key prefix."""
    prefix = re.sub(r"[^\w.:/-]", "", str(options.get("global_keyprefix") or ""))
    return {"prefix": f"{prefix}qbeat"} if prefix else {}


def _tls_options(ssl: Any) -> dict[str, str]:
    """Return redis-py's options of a broker's ``broker_use_ssl`` or URL as a URL has them."""
    if not isinstance(ssl, Mapping):
        return {}
    return {str(name): _text(value) for name, value in ssl.items() if value is not None or "reqs" in name}


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    return "CERT_NONE" if value is None else str(value)


def _user(connection: Any) -> str:
    password = connection.password() if callable(connection.password) else connection.password
    if not password:
        return f"{quote(connection.userid, safe='')}@" if connection.userid else ""
    return f"{quote(connection.userid or '', safe='')}:{quote(password, safe='')}@"


def _host(host: str | None, port: int | None) -> str:
    name = host or "localhost"
    return f"{f'[{name}]' if ':' in name else name}{f':{port}' if port else ''}"


def _database(connection: Any) -> str:
    return f"/{str(connection.virtual_host or '').strip('/') or '0'}"


def _with_query(url: str, query: Mapping[str, str]) -> str:
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
