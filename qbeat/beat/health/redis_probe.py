"""Reads a Redis store's replicas with three commands over a plain socket: the client library takes 0.3 s to import."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from dataclasses import dataclass
from io import BufferedRWPair
from struct import unpack_from
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

TIMEOUT: Final = 2.0
"""Seconds."""
_PLAIN: Final = frozenset({"redis", "valkey"})


@dataclass(frozen=True, slots=True)
class Place:
    """A database of one Redis server without TLS."""

    host: str
    port: int
    db: int
    login: tuple[str, ...]
    prefix: str


class NotPlain(Exception):  # noqa: N818 - it is no error: another way is taken
    """The Redis wants more than a plain socket: TLS, Sentinels, a cluster."""


def place_of(url: str) -> Place:
    """Return where ``url`` leads; ``NotPlain`` if it is not one plain server."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        if parts.scheme not in _PLAIN or ";" in parts.netloc or options.keys() - {"prefix", "db"}:
            raise NotPlain
        login = tuple(unquote(each) for each in (parts.username, parts.password) if each)
        db = int(options.get("db") or parts.path.strip("/") or 0)
        return Place(
            parts.hostname or "localhost", parts.port or 6379, db, login, options.get("prefix", "qbeat")
        )
    except ValueError as error:
        raise NotPlain from error


def replicas_at(place: Place) -> tuple[int, list[tuple[str, int]]]:
    """Return the server's clock and, of each replica, host and last heartbeat; all in microseconds.

    Raises ``OSError`` if the server does not answer.
    """
    with closing(socket.create_connection((place.host, place.port), TIMEOUT)) as connection:
        stream = connection.makefile("rwb")
        if place.login:
            _ask(stream, "AUTH", *place.login)
        _ask(stream, "SELECT", str(place.db))
        seconds, microseconds = _ask(stream, "TIME")
        packed = _ask(stream, "HVALS", f"{{{place.prefix}}}:replicas")
    return int(seconds) * 1_000_000 + int(microseconds), [_replica(each) for each in packed]


def _replica(packed: bytes) -> tuple[str, int]:
    """Return host and last heartbeat: the instant stands before the JSON."""
    (heartbeat_at,) = unpack_from(">q", packed)
    return json.loads(packed[8:])[1], heartbeat_at


def _ask(stream: BufferedRWPair, *words: str) -> Any:
    encoded = [word.encode() for word in words]
    stream.write(
        b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
    )
    stream.flush()
    return _answer(stream)


def _answer(stream: BufferedRWPair) -> Any:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server has hung up")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise NotPlain(rest.decode(errors="replace"))
    if kind == b"$":
        return stream.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return [_answer(stream) for _ in range(int(rest))]
    return rest
