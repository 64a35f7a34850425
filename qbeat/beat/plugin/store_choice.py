"""Where qbeat keeps its store when Celery's commands run it: what Celery's ``-s`` means."""

from __future__ import annotations

import dbm
import logging
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from celery import Celery

from qbeat.beat.settings import DEFAULT_STORE

logger = logging.getLogger("qbeat.plugin")

_CELERYS_NAME: Final = "celerybeat-schedule"
_PASSWORD: Final = re.compile(r"(://[^:/@]*:).*@")


def store_of(app: Celery, filename: str | None) -> str | None:
    """Return the store that Celery's ``-s`` asks for; ``None`` leaves it to qbeat's own settings.

    Celery hands its default on as if the user had given it, and unit files of old name the file that Celery's
    own scheduler shelves its state in. Neither is qbeat's; beside the latter, there is a place for its own.
    """
    if not filename:
        return None
    filename = str(filename)
    if "://" in filename:
        return filename
    if filename == app.conf.beat_schedule_filename:
        return None
    if not is_celerys(Path(filename)):
        return filename
    beside = str(Path(filename).with_name(DEFAULT_STORE))
    logger.warning("%s belongs to Celery's own scheduler; qbeat keeps its store in %s.", filename, beside)
    return beside


def is_celerys(path: Path) -> bool:
    """Whether ``path`` is where Celery's own scheduler keeps its state, or would by its name."""
    if path.name.startswith(_CELERYS_NAME):
        return True
    kind = dbm.whichdb(str(path))
    if _is_sqlite(path):
        # The shelves of Python 3.13 are SQLite files too.
        return _has_table(path, "Dict")
    return bool(kind)


def without_password(store: str) -> str:
    """Return a store's URL as it may be shown."""
    return _PASSWORD.sub(r"\1**@", store)


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def _has_table(path: Path, table: str) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            query = "SELECT 1 FROM sqlite_master WHERE name = ?"
            return connection.execute(query, (table,)).fetchone() is not None
    except sqlite3.Error:
        return False
