"""A quick answer to "does qbeat live on this machine?", without an app and almost without imports."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from qbeat.beat.errors import CONFIGURATION, FAILED, OK, UNAVAILABLE
from qbeat.beat.health.redis_probe import NotPlain, place_of, replicas_at
from qbeat.beat.timings import Timings
from qbeat.store.base import StoreError, StoreUnusable
from qbeat.store.opening import kind_of, sqlite_path

LIVE_WITHIN: Final = round(Timings.live_within * 1_000_000)
"""Microseconds after which a silent replica is taken for dead."""
TIMEOUT: Final = 2.0
"""Seconds."""

_HERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a server listens everywhere

Answer = tuple[int, str]
"""An exit code, and a sentence."""


def ask_port(host: str, port: int) -> Answer:
    """Ask the health port of a replica."""
    connection = http.client.HTTPConnection(_HERE.get(host, host), port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        told = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        return FAILED, f"no answer from the health port {host}:{port} ({error})"
    finally:
        connection.close()
    if response.status == http.client.OK:
        return OK, "qbeat lives."
    return FAILED, "; ".join(told.get("problems", [])) or f"the health port says {response.status}"


def ask_store(url: str) -> Answer:
    """Look into a store for a replica of this machine that has told of itself lately.

    No store means no replica; one that is there but away, or no store of qbeat's, has the code of every command.
    """
    if url == "broker":
        return (
            FAILED,
            "the broker's own Redis is known to the app only: name its URL with -s, or use --health",
        )
    try:
        kind = kind_of(url)
    except StoreUnusable as error:
        return CONFIGURATION, str(error)
    if kind == "sqlite":
        return _ask_sqlite(sqlite_path(url))
    try:
        now, replicas = replicas_at(place_of(url))
    except OSError as error:
        return UNAVAILABLE, f"the store cannot be reached ({error})"
    except (NotPlain, UnicodeError):  # the latter for a host that cannot be, of which the store tells
        return _ask_any(url)
    return _judge(replicas, now)


def _ask_any(url: str) -> Answer:
    from qbeat.store import open_store  # noqa: PLC0415 - heavy

    try:
        with open_store(url, create=False) as store:
            now = store.now()
            return _judge(((each.host, each.heartbeat_at) for each in store.replicas()), now)
    except StoreUnusable as error:
        return CONFIGURATION, str(error)
    except StoreError as error:
        return UNAVAILABLE, str(error)


def _ask_sqlite(path: Path) -> Answer:
    """Read the one table with SQLite's own module: SQLAlchemy takes longer to import than all of this."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return FAILED, f"there is no store at {path}"
    except OSError as error:
        return CONFIGURATION, f"{path} cannot be looked at ({error.strerror}): let this user into its folder"
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=TIMEOUT)) as connection:
            rows = connection.execute("SELECT host, heartbeat_at FROM qbeat_replica").fetchall()
    except sqlite3.Error as error:
        is_busy = str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
        return UNAVAILABLE if is_busy else CONFIGURATION, f"{path} cannot be read: {error}"
    return _judge(rows, time.time_ns() // 1_000)


def _judge(replicas: Iterable[tuple[str, int]], now: int) -> Answer:
    host = socket.gethostname()
    ages = [now - heartbeat_at for name, heartbeat_at in replicas if name == host]
    if not ages:
        return FAILED, f"no replica runs on {host}"
    if min(ages) > LIVE_WITHIN:
        return FAILED, f"the replica on {host} has been silent for {min(ages) / 1_000_000:.0f} s"
    return OK, "qbeat lives."
