"""A store in an SQL database, through SQLAlchemy Core."""

from qbeat.store.sql.store import SqlStore

__all__ = ["SqlStore"]
