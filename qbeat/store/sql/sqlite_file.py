"""Look at a file before SQLite may write to it, and say in one sentence what is wrong with it."""

from __future__ import annotations

import dbm
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from qbeat.store.base import StoreError, StoreMissing, StoreUnavailable, StoreUnusable

APPLICATION_ID: Final = 0x71626561
"""Marks an SQLite file as a store of qbeat: "qbea" in ASCII."""

_ELSEWHERE: Final = "name another file with -s"
_NOT_A_DATABASE: Final = f"is not an SQLite database: {_ELSEWHERE}"
_SMALLEST: Final = 512
"""Bytes of the smallest SQLite database that is not empty."""
_LOOKS: Final = 10
"""So often a file is looked at that others are writing."""
_PATIENCE: Final = 1.0
"""Seconds to wait for them before each of those looks."""


def check_file(path: Path, *, create: bool) -> None:
    """Raise ``StoreUnusable`` unless ``path`` is a store, or may become one; change nothing.

    A look takes no lock, so a file that another process is writing may look damaged, or like another program's.
    It is refused for what was seen while nobody wrote.
    """
    _check_reachable(path)
    for look in range(1, _LOOKS + 1):
        before = _traces(path)
        try:
            _look_at(path, create=create)
        except StoreUnusable:
            if look == _LOOKS or (_traces(path) == before and not _journal(path).exists()):
                raise
        else:
            return
        _wait_for_writers(path)


def _check_reachable(path: Path) -> None:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StoreUnusable(
            f"{path} cannot be looked at ({error.strerror}): let this user into its folder, or {_ELSEWHERE}"
        ) from error


def _traces(path: Path) -> tuple[object, ...]:
    """Return what differs before and after a commit: the journal is there from before it until after it."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, _journal(path).exists()


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


def _wait_for_writers(path: Path) -> None:
    """Wait for a commit under way; what a crash has left of one, SQLite undoes first, as for every reader."""
    with suppress(sqlite3.Error):
        uri = file_uri(path, "mode=rw")
        with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _look_at(path: Path, *, create: bool) -> None:
    if not path.exists():
        _check_absent(path, create=create)
    elif not path.is_file():
        raise StoreUnusable(f"{path} is not a file: {_ELSEWHERE}")
    else:
        _check_present(path, create=create)


def file_uri(path: Path, mode: str) -> str:
    """Return SQLite's URI of ``path``; ``mode`` is its query, such as ``mode=rw``."""
    return f"file:{quote(str(path.absolute()))}?{mode}"


def explain(error: sqlite3.Error, path: Path) -> StoreError:
    """Return what an error of SQLite means for the person who runs the store."""
    name = getattr(error, "sqlite_errorname", "") or ""
    for start, (kind, sentence) in _MEANINGS.items():
        if name.startswith(start):
            return kind(f"{path} {sentence}")
    return StoreUnusable(f"{path} cannot be used ({error}): {_ELSEWHERE}")


_MEANINGS: Final[dict[str, tuple[type[StoreError], str]]] = {
    "SQLITE_BUSY": (StoreUnavailable, "is locked by another process for too long: end that process"),
    "SQLITE_LOCKED": (StoreUnavailable, "is locked by another process for too long: end that process"),
    "SQLITE_READONLY": (StoreUnusable, f"is read-only: make it and its folder writable, or {_ELSEWHERE}"),
    "SQLITE_PERM": (StoreUnusable, f"may not be opened: make it readable and writable, or {_ELSEWHERE}"),
    "SQLITE_CANTOPEN": (
        StoreUnusable,
        f"cannot be opened: make it and its folder readable and writable, or {_ELSEWHERE}",
    ),
    "SQLITE_FULL": (StoreUnusable, "cannot grow, the disk is full: make room and start again"),
    "SQLITE_IOERR": (
        StoreUnusable,
        "cannot be read or written: the disk fails or is full, make room or repair it and start again",
    ),
    "SQLITE_CORRUPT": (
        StoreUnusable,
        f"is damaged: restore it from a backup (sqlite3's .recover may help), or {_ELSEWHERE}",
    ),
    "SQLITE_NOTADB": (StoreUnusable, _NOT_A_DATABASE),
}


def _check_absent(path: Path, *, create: bool) -> None:
    if not path.parent.is_dir():
        raise StoreUnusable(f"the folder {path.parent} does not exist: make it, or {_ELSEWHERE}")
    if not create:
        raise StoreMissing(f"there is no store at {path}: start qbeat once, or name it with -s")


def _check_present(path: Path, *, create: bool) -> None:
    if 0 < path.stat().st_size < _SMALLEST:  # SQLite would take it for an empty one, and write over it
        raise StoreUnusable(f"{path} {_NOT_A_DATABASE}")
    try:
        application, tables = _identity_with_log(path)
    except sqlite3.DatabaseError as error:
        raise _why_unreadable(error, path) from error
    if application == APPLICATION_ID:
        return
    if tables or application or _has_pages_elsewhere(path):
        raise StoreUnusable(f"{path} is the SQLite database of another program: {_ELSEWHERE}")
    if not create:
        raise StoreMissing(f"{path} is empty: start qbeat once, or name another store with -s")


def _identity_with_log(path: Path) -> tuple[int, int]:
    """Return the application id and the number of tables, of the file alone or else of it and its log.

    An immutable connection takes no lock and writes nothing, but does not see the log: a file into which the
    log is being copied, or was when a kill or a full disk ended that, is whole only with it.
    """
    try:
        return _identity(path, "mode=ro&immutable=1")
    except sqlite3.DatabaseError:
        if not _has_pages_elsewhere(path):
            raise
    return _identity(path, "mode=ro")


def _identity(path: Path, mode: str) -> tuple[int, int]:
    """Return the application id and the number of tables.

    SQLite's own file handle, unlike ``open``, does not drop the locks of this process's other connections when
    it is closed.
    """
    with closing(sqlite3.connect(file_uri(path, mode), uri=True)) as connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return application, tables


def _has_pages_elsewhere(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _why_unreadable(error: sqlite3.DatabaseError, path: Path) -> StoreError:
    if getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB" and dbm.whichdb(path):
        return StoreUnusable(
            f"{path} is a dbm file, such as celery beat's own celerybeat-schedule, not a store of qbeat: "
            f"{_ELSEWHERE}"
        )
    return explain(error, path)
