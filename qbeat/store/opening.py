"""Find the store that a URL or a file name means; its driver is imported only then."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from qbeat.store.base import Store, StoreUnusable
from qbeat.store.memory import MemoryStore

_SQL: Final = frozenset({"sqlite", "postgresql", "postgres", "mysql", "mariadb"})
_REDIS: Final = frozenset({"redis", "rediss", "sentinel", "valkey", "valkeys"})
_MEMORY: Final = "memory"
_KINDS: Final = _SQL | _REDIS | {_MEMORY}
_KNOWN: Final = (
    "a file name, sqlite://, postgresql://, mysql://, redis://, rediss:// or sentinel://, or broker for the "
    "broker's own Redis"
)


def open_store(url_or_path: str, *, clock: Callable[[], int] | None = None, create: bool = True) -> Store:
    """Open the store at a URL or, without ``://``, in an SQLite file.

    ``clock`` returns microseconds since the epoch and takes the place of the store's own clock.
    With ``create=False`` nothing is created: a store that is not there is ``StoreMissing``.
    Raises ``StoreUnusable`` or ``StoreUnavailable`` with a sentence for people.
    """
    kind = kind_of(url_or_path)
    if kind == _MEMORY:
        return MemoryStore(clock)
    if kind in _SQL:
        from qbeat.store.sql import SqlStore  # noqa: PLC0415 - SQLAlchemy takes 0.1 s to import

        return SqlStore.open(url_or_path, clock=clock, create=create)
    from qbeat.store.redis import RedisStore  # noqa: PLC0415 - redis takes 0.2 s to import

    return RedisStore.open(url_or_path, clock=clock, create=create)


def check_url(url_or_path: str) -> None:
    """Raise ``StoreUnusable`` for what no store can be opened at, as far as that is known without a look there."""
    kind = kind_of(url_or_path)
    if kind in _REDIS:
        from qbeat.store.redis.address import parse_address  # noqa: PLC0415 - as above

        parse_address(url_or_path)
    elif kind in _SQL and "://" in url_or_path:
        from qbeat.store.sql.opening import parse_url  # noqa: PLC0415 - as above

        parse_url(url_or_path)


def kind_of(url_or_path: str) -> str:
    """Return the scheme of a store that there can be; ``StoreUnusable`` if there is no such kind of store."""
    if url_or_path == "broker":
        raise StoreUnusable(
            "the store broker is the Redis of an app's broker: name the app too, as in -s broker -A tasks"
        )
    kind = scheme_of(url_or_path)
    if kind not in _KINDS:
        raise StoreUnusable(f"{kind}:// is no kind of store: use {_KNOWN}")
    if "://" not in url_or_path:
        _check_slashes(url_or_path)
    return kind


def _check_slashes(path: str) -> None:
    """Refuse a file name that begins like a URL, without telling the rest of it: there may be a password."""
    begins = re.match(r"(\w+)(\+\w+)?:", path)
    if not begins or (kind := begins[1].lower()) not in _KINDS:
        return
    wanted = "sqlite:///x.db or sqlite:////folder/x.db" if kind == "sqlite" else f"{kind}://"
    raise StoreUnusable(f"{begins[0]} without two slashes is no URL of a store: write {wanted}")


def scheme_of(url_or_path: str) -> str:
    """Return the scheme of a store's URL without its driver, ``sqlite`` for a path."""
    scheme, separator, _ = url_or_path.partition("://")
    return scheme.partition("+")[0].lower() if separator else "sqlite"


def sqlite_path(url_or_path: str) -> Path:
    """Return the file that a path, or the URL of an SQLite store, means; for who looks at it without SQLAlchemy."""
    _, is_url, rest = url_or_path.partition("://")
    return Path(rest.partition("?")[0].removeprefix("/") if is_url else url_or_path)
