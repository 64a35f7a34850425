"""The tables of an SQL store.

What claims write (``progress``, ``outbox``) is kept apart from what is wide (``entry``) and what is long
(``history``), so that a claim touches few and narrow rows. Instants are microseconds since the epoch.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql

metadata: Final = MetaData()

_ID: Final = BigInteger().with_variant(Integer, "sqlite")
_INSTANT: Final = BigInteger()
_TEXT: Final = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
COLLATIONS: Final = {"mysql": "utf8mb4_0900_bin", "mariadb": "utf8mb4_nopad_bin"}
"""Those under which two names are equal only if all their characters are, blanks at the end included."""
_MYSQL: Final[dict[str, Any]] = {
    f"{kind}_{option}": value
    for kind, collation in COLLATIONS.items()
    for option, value in {"charset": "utf8mb4", "collate": collation, "engine": "InnoDB"}.items()
}

store: Final = Table(
    "qbeat_store",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    # Programs that know this version or a later one may use the store.
    Column("compatible_from", Integer, nullable=False),
    Column("change_number", BigInteger, nullable=False),
    **_MYSQL,
)
"""One row: the schema's version and the change number."""

entry: Final = Table(
    "qbeat_entry",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("uid", String(32), nullable=False, unique=True),
    Column("name", String(500), nullable=False, unique=True),
    Column("origin", String(16), nullable=False),
    Column("task", _TEXT, nullable=False),
    Column("schedule", _TEXT, nullable=False),
    Column("timezone", String(255), nullable=False),
    Column("definition", _TEXT, nullable=False),
    Column("fingerprint", String(255), nullable=False),
    Column("generation", String(255), nullable=False),
    Column("anchor", _INSTANT, nullable=False),
    Column("change_number", BigInteger, nullable=False, index=True),
    Column("pause", _TEXT),
    sqlite_autoincrement=True,
    **_MYSQL,
)
"""What the entries are; written by ``save``."""

progress: Final = Table(
    "qbeat_progress",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False),
    Column("cursor", _INSTANT, nullable=False),
    Column("next_fire_time", _INSTANT),
    Column("due_at", _INSTANT),
    Column("retired_at", _INSTANT),
    Column("total_run_count", BigInteger, nullable=False),
    Column("last_fire_time", _INSTANT),
    **_MYSQL,
)
"""How far the entries have come; written by claims too."""
Index("qbeat_progress_due", progress.c.retired_at, progress.c.due_at)

removed: Final = Table(
    "qbeat_removed",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=False),
    Column("uid", String(32), nullable=False),
    Column("name", String(500), nullable=False, index=True),
    **_MYSQL,
)
"""Entries that are gone but have a history."""

outbox: Final = Table(
    "qbeat_outbox",
    metadata,
    Column("uid", String(32), primary_key=True),
    Column("lane", String(255), primary_key=True),
    Column("fire_time", _INSTANT, primary_key=True, autoincrement=False),
    Column("entry_id", _ID, nullable=False),
    Column("task_id", String(255), nullable=False),
    Column("claimed_at", _INSTANT, nullable=False),
    Column("replica", String(255), nullable=False),
    # NULL once released.
    Column("held_since", _INSTANT),
    Column("not_before", _INSTANT, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("uncertain", Integer, nullable=False),
    Column("error", _TEXT),
    sqlite_with_rowid=False,
    **_MYSQL,
)
"""The claimed and unsettled firings: few, however long the history."""

history: Final = Table(
    "qbeat_history",
    metadata,
    Column("fire_time", _INSTANT, primary_key=True, autoincrement=False),
    Column("entry_id", _ID, primary_key=True, autoincrement=False),
    Column("lane", String(255), primary_key=True),
    # The end of a run of skips; NULL for a single fire time.
    Column("last_fire_time", _INSTANT),
    Column("count", BigInteger),
    Column("outcome", String(16), nullable=False),
    Column("reason", _TEXT),
    Column("task_id", String(255)),
    Column("claimed_at", _INSTANT, nullable=False),
    Column("published_at", _INSTANT),
    Column("replica", String(255)),
    Column("attempt", Integer, nullable=False),
    sqlite_with_rowid=False,
    **_MYSQL,
)
"""How firings ended, in the order of their fire times, and the skips."""
Index("qbeat_history_entry", history.c.entry_id, history.c.fire_time)
Index(
    "qbeat_history_run",
    history.c.last_fire_time,
    sqlite_where=history.c.last_fire_time.is_not(None),
    postgresql_where=history.c.last_fire_time.is_not(None),
)

replica: Final = Table(
    "qbeat_replica",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("version", String(255), nullable=False),
    Column("generation", String(255), nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("heartbeat_at", _INSTANT, nullable=False),
    Column("details", _TEXT, nullable=False),
    **_MYSQL,
)
"""The replicas that have not left."""
