"""Find the store that a URL or a file name means; its driver is imported only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from qbeat.store.base import Store, StoreUnusable
from qbeat.store.memory import MemoryStore

_SQL: Final = frozenset({"sqlite", "postgresql", "postgres", "mysql", "mariadb"})
_REDIS: Final = frozenset({"redis", "rediss", "sentinel", "valkey", "valkeys"})


def open_store(url_or_path: str, *, clock: Callable[[], int] | None = None, create: bool = True) -> Store:
    """Open the store at a URL or, without ``://``, in an SQLite file.

    ``clock`` returns microseconds since the epoch and takes the place of the store's own clock.
    With ``create=False`` nothing is created: a store that is not there is ``StoreUnusable``.
    Raises ``StoreUnusable`` or ``StoreUnavailable`` with a sentence for people.
    """
    if url_or_path == "broker":
        raise StoreUnusable(
            "the store broker is the Redis of an app's broker: name the app too, as in -s broker -A tasks"
        )
    kind = scheme_of(url_or_path)
    if kind == "memory":
        return MemoryStore(clock)
    if kind in _SQL:
        from qbeat.store.sql import SqlStore  # noqa: PLC0415 - SQLAlchemy takes 0.1 s to import

        return SqlStore.open(url_or_path, clock=clock, create=create)
    if kind in _REDIS:
        from qbeat.store.redis import RedisStore  # noqa: PLC0415 - redis takes 0.2 s to import

        return RedisStore.open(url_or_path, clock=clock, create=create)
    raise StoreUnusable(
        f"{kind}:// is no kind of store: use a file name, sqlite://, postgresql:// or redis://"
    )


def scheme_of(url_or_path: str) -> str:
    """Return the scheme of a store's URL without its driver, ``sqlite`` for a path."""
    scheme, separator, _ = url_or_path.partition("://")
    return scheme.partition("+")[0].lower() if separator else "sqlite"


def sqlite_path(url_or_path: str) -> Path:
    """Return the file that a path, or the URL of an SQLite store, means; for who looks at it without SQLAlchemy."""
    _, is_url, rest = url_or_path.partition("://")
    return Path(rest.partition("?")[0].removeprefix("/") if is_url else url_or_path)
