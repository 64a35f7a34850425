"""The contract of a store over an SQL database: each verb is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Self

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from qbeat.store.base import Store
from qbeat.store.checks import check_changes, check_claims, check_length
from qbeat.store.records import (
    Change,
    Claim,
    EntryRecord,
    Firing,
    HistoryRecord,
    Pulse,
    Release,
    ReplicaRecord,
    Settlement,
    Won,
)
from qbeat.store.sql.claims import Claims
from qbeat.store.sql.dialect import Dialect
from qbeat.store.sql.entries import Entries
from qbeat.store.sql.history import History
from qbeat.store.sql.history_pages import PAGE, HistoryPages, Place, Span
from qbeat.store.sql.opening import open_dialect
from qbeat.store.sql.outbox import Outbox
from qbeat.store.sql.replicas import Replicas


class SqlStore(Store):
    """A store in an SQL database that ``dialect`` reaches; its tables are there."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._history = History(dialect)
        self._pages = HistoryPages(dialect)
        self._outbox = Outbox(dialect)
        self._entries = Entries(dialect, self._outbox, self._history)
        self._claims = Claims(dialect, self._history)
        self._replicas = Replicas(dialect)

    @classmethod
    def open(cls, url: str, clock: Callable[[], int] | None = None, *, create: bool = True) -> Self:
        """Open the store at a URL or in an SQLite file, with its tables made or brought up to date.

        ``clock`` returns microseconds since the epoch. With ``create=False`` nothing is made or migrated.
        Raises ``StoreUnusable`` or ``StoreUnavailable``.
        """
        return cls(open_dialect(url, clock, create=create))

    @property
    def url(self) -> str:
        return self._dialect.url

    def now(self) -> int:
        with self._reading() as connection:
            return self._dialect.now(connection)

    # --- entries

    def entries(self, names: Collection[str] | None = None, *, changed_after: int = 0) -> list[EntryRecord]:
        with self._reading() as connection:
            return self._entries.read(connection, names, changed_after)

    def save(self, changes: Sequence[Change]) -> list[bool]:
        check_changes(changes)
        with self._writing() as connection:
            return self._entries.save(connection, changes)

    def remove(self, names: Collection[str]) -> int:
        check_length(names)
        with self._writing() as connection:
            return self._entries.remove(connection, names)

    def overdue(self, before: int, limit: int) -> list[EntryRecord]:
        with self._reading() as connection:
            return self._entries.overdue(connection, before, limit)

    # --- firings

    def claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> list[Won]:
        check_claims(claims)
        check_length(settlements)
        if not claims and not settlements:
            return []
        with self._writing() as connection:
            self._outbox.settle(connection, settlements)
            return self._claims.claim(connection, claims, replica)

    def settle(self, settlements: Sequence[Settlement], releases: Sequence[Release] = ()) -> None:
        check_length(settlements)
        check_length(releases)
        if not settlements and not releases:
            return
        with self._writing() as connection:
            self._outbox.settle(connection, settlements)
            self._outbox.release(connection, releases)

    def take_over(self, *, replica: str, stale_after: int, limit: int) -> list[Firing]:
        with self._writing() as connection:
            return self._outbox.take_over(connection, replica, stale_after, limit)

    def unsettled(self) -> int:
        with self._reading() as connection:
            return self._outbox.count(connection)

    def history(
        self,
        *,
        entries: Collection[str] | None = None,
        since: int | None = None,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[HistoryRecord]:
        span = Span(since, until, newest_first)
        return islice(self._walk(entries, span, limit), limit)

    def prune(self, before: int, limit: int) -> int:
        with self._writing() as connection:
            return self._history.prune(connection, before, limit)

    def _walk(self, names: Collection[str] | None, span: Span, limit: int | None) -> Iterator[HistoryRecord]:
        """Yield records, page by page; no connection is held while the caller looks at them."""
        size = PAGE if limit is None else min(limit, PAGE)
        after: Place | None = None
        while size:
            with self._reading() as connection:
                page = list(self._pages.page(connection, names, span, after, size))
            yield from (record for _, record in page)
            if len(page) < size:
                return
            after = page[-1][0]

    # --- replicas

    def heartbeat(self, replica: ReplicaRecord, *, live_within: int) -> Pulse:
        with self._writing() as connection:
            return self._replicas.beat(connection, replica, live_within)

    def leave(self, replica: str) -> None:
        with self._writing() as connection:
            self._replicas.forget(connection, replica)
            self._outbox.release_all(connection, replica)

    def replicas(self) -> list[ReplicaRecord]:
        with self._reading() as connection:
            return self._replicas.all(connection)

    # --- the store itself

    def close(self) -> None:
        self._dialect.engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._explaining(), self._dialect.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._explaining(), self._dialect.writer.begin() as connection:
            yield connection

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._dialect.translate(error) from error
