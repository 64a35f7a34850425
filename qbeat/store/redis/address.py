"""Where a Redis is: URLs as redis-py, Celery and Kombu write them, Sentinel and TLS included."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from qbeat.store.base import StoreUnusable
from qbeat.store.hosts import check_host

DEFAULT_PREFIX: Final = "qbeat"
DEFAULT_TIMEOUT: Final = 5.0
"""Seconds to connect, and seconds to wait for an answer."""

_WRITE: Final = (
    "write redis://user:password@host:port/number, and write / # ? @ in a password as %2F %23 %3F %40"
)
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_SCHEMES: Final = frozenset({"redis", "rediss", "redis+socket", "valkey", "valkeys", "sentinel"})
_TLS: Final = frozenset({"rediss", "valkeys"})
_TLS_OPTIONS: Final = frozenset(
    {
        "ssl_cert_reqs",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_ca_data",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_password",
        "ssl_check_hostname",
        "ssl_ciphers",
    }
)
_OWN_OPTIONS: Final = frozenset(
    {
        "prefix",
        "db",
        "virtual_host",
        "master_name",
        "sentinel_username",
        "sentinel_password",
        "socket_timeout",
        "socket_connect_timeout",
    }
)
# A broker's URL may say these too; they mean nothing to a store.
_IGNORED_OPTIONS: Final = frozenset(
    {"health_check_interval", "retry_on_timeout", "socket_keepalive", "max_connections", "timeout", "ssl"}
)
_FALSE: Final = frozenset({"", "0", "no", "false", "none"})


@dataclass(frozen=True, slots=True)
class Address:
    """A database of a Redis server, of a cluster, or of a set of servers that Sentinels watch."""

    hosts: tuple[tuple[str, int], ...]
    """Host and port of the server, of nodes of a cluster or, with ``master_name``, of Sentinels; or none: a socket."""
    db: int = 0
    path: str | None = None
    """The file name of a Unix socket."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    master_name: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = None
    """redis-py's ``ssl_…`` options; ``None`` without TLS."""
    prefix: str = DEFAULT_PREFIX
    timeout: float = DEFAULT_TIMEOUT
    connect_timeout: float = DEFAULT_TIMEOUT

    @property
    def nodes(self) -> tuple[tuple[str, int], ...]:
        """Host and port of the server, or of those nodes of a cluster that are named; empty if others know."""
        return self.hosts if self.master_name is None else ()

    @property
    def url(self) -> str:
        """The address as a URL, without passwords."""
        tail = f"?prefix={self.prefix}" if self.prefix != DEFAULT_PREFIX else ""
        if self.path is not None:
            return f"redis+socket://{self.path}{tail}"
        if self.master_name is not None:
            hosts = ";".join(f"sentinel://{_host(host)}:{port}" for host, port in self.hosts)
            return f"{hosts}/{self.db}?master_name={self.master_name}{tail.replace('?', '&')}"
        start = f"redis{'' if self.tls is None else 's'}://{f'{self.username}@' if self.username else ''}"
        nodes = ";".join(f"{start}{_host(host)}:{port}" for host, port in self.hosts)
        return f"{nodes}/{self.db}{tail}"

    def is_same_database(self, other: Address) -> bool:
        """Whether both lead to the same database of the same server, as far as the addresses say."""
        if (self.db, self.path, self.master_name) != (other.db, other.path, other.master_name):
            return False
        if self.master_name is not None:  # each may name only some of the Sentinels
            return bool({*self.hosts} & {*other.hosts})
        return self.hosts == other.hosts


def is_redis(url: str) -> bool:
    """Whether the scheme of a URL is one that Redis goes by."""
    return url.partition("://")[0].lower() in _SCHEMES


def parse_address(url: str) -> Address:
    """Read a URL; ``StoreUnusable`` says what is wrong with it, without the password."""
    parts = [_split(part) for part in url.split(";") if part]
    first, kind = parts[0], parts[0].scheme.lower()
    options = {name: value for part in parts for name, value in parse_qsl(part.query)}
    _check_options(options)
    sentinel = kind == "sentinel"
    _check_parts([part.scheme.lower() for part in parts])
    if sentinel and not options.get("master_name"):
        raise StoreUnusable(
            "a sentinel:// URL must say whom the Sentinels watch: add ?master_name=NAME to its end"
        )
    timeout = _seconds(options, "socket_timeout", DEFAULT_TIMEOUT)
    return Address(
        hosts=() if kind.endswith("+socket") else tuple(_host_of(part, sentinel=sentinel) for part in parts),
        db=_database(options.get("db") or options.get("virtual_host") or _path(parts)),
        path=unquote(first.path) if kind.endswith("+socket") else None,
        username=_first_of(unquote(part.username or "") for part in parts),
        password=_first_of(unquote(part.password or "") for part in parts),
        master_name=options["master_name"] if sentinel else None,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        tls=_tls(kind, options),
        prefix=_prefix(options.get("prefix", DEFAULT_PREFIX)),
        timeout=timeout,
        connect_timeout=_seconds(options, "socket_connect_timeout", min(timeout, DEFAULT_TIMEOUT)),
    )


def _split(url: str) -> SplitResult:
    """Take a URL apart; what is said of one that cannot be tells nothing of it: there may be a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise StoreUnusable(
            f"the store's URL cannot be read, or its port is no number up to 65535: {_WRITE}"
        ) from error
    if "@" in (parts.hostname or "") or _is_cut_short(parts):
        raise StoreUnusable(f"the store's URL has an @ after its host: {_WRITE}")
    check_host(unquote(parts.hostname or ""))
    return parts


def _is_cut_short(parts: SplitResult) -> bool:
    """Whether a / # or ? has ended the host's part before the @ that belongs to it."""
    names = [option.partition("=")[0] for option in parts.query.split("&")]
    path = "" if parts.scheme.endswith("+socket") else parts.path
    return any("@" in part for part in (path, parts.fragment, *names))


def _check_parts(kinds: list[str]) -> None:
    if len(kinds) > 1 and kinds[0].endswith("+socket"):
        raise StoreUnusable("a store is one Redis, and several sockets are several: name one")
    if len({*kinds}) > 1:
        raise StoreUnusable(
            f"the store's URL goes on with {kinds[-1]}:// after {kinds[0]}://: begin all its parts alike"
        )


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _host_of(part: SplitResult, *, sentinel: bool) -> tuple[str, int]:
    return unquote(part.hostname or "localhost"), part.port or (_SENTINEL_PORT if sentinel else _PORT)


def _path(parts: list[SplitResult]) -> str:
    if parts[0].scheme.endswith("+socket"):
        return ""
    return _first_of(unquote(part.path).strip("/") for part in parts) or ""


def _first_of(values: Iterable[str]) -> str | None:
    return next((value for value in values if value), None)


def _database(text: str) -> int:
    text = text.strip("/") or "0"
    if not text.isdecimal():
        raise StoreUnusable(f"the store's URL names the database {text!r}: Redis knows them by number")
    return int(text)


def _prefix(text: str) -> str:
    if not re.fullmatch(r"[\w.:/-]+", text):
        raise StoreUnusable(
            f"the prefix {text!r} in the store's URL may have letters, digits and .:/_- alone"
        )
    return text


def _seconds(options: Mapping[str, str], name: str, default: float) -> float:
    try:
        seconds = float(options.get(name) or default)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise StoreUnusable(f"{name}={options[name]} in the store's URL is no number of seconds above 0")
    return seconds


def _check_options(options: Mapping[str, str]) -> None:
    unknown = sorted(options.keys() - _OWN_OPTIONS - _TLS_OPTIONS - _IGNORED_OPTIONS)
    if unknown:
        raise StoreUnusable(
            f"the store's URL has the option {unknown[0]!r}, which a store in Redis does not know: take it away"
        )


def _tls(kind: str, options: Mapping[str, str]) -> dict[str, Any] | None:
    given = {name: value for name, value in options.items() if name in _TLS_OPTIONS}
    wanted = options.get("ssl", "").lower() not in _FALSE
    if kind not in _TLS and not wanted and not (kind == "sentinel" and given):
        return None
    if "ssl_cert_reqs" in given:
        given["ssl_cert_reqs"] = _cert_reqs(given["ssl_cert_reqs"])
    if "ssl_check_hostname" in given:
        return {**given, "ssl_check_hostname": given["ssl_check_hostname"].lower() not in _FALSE}
    # Without a certificate to check there is no host name to find in it.
    return {**given, "ssl_check_hostname": given.get("ssl_cert_reqs", "required") == "required"}


def _cert_reqs(text: str) -> str:
    """Celery writes ``CERT_REQUIRED``, redis-py ``required``."""
    value = text.lower().removeprefix("cert_")
    if value not in {"none", "optional", "required"}:
        raise StoreUnusable(
            f"ssl_cert_reqs={text} in the store's URL is none of CERT_REQUIRED, CERT_OPTIONAL and CERT_NONE"
        )
    return value
