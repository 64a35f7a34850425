"""The contract of a store over an SQL database: each verb is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Final, Self, TypeVar

from sqlalchemy import Connection, Engine
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
from qbeat.store.sql.pruning import Pruning
from qbeat.store.sql.replicas import Replicas
from qbeat.store.sql.takeover import Takeovers

Result = TypeVar("Result")

RETRIES: Final = 2
"""How often a transaction that came to nothing is begun again before the caller hears of it."""


class SqlStore(Store):
    """A store in an SQL database that ``dialect`` reaches; its tables are there."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._history = History(dialect)
        self._pages = HistoryPages(dialect)
        self._pruning = Pruning(dialect)
        self._outbox = Outbox(dialect)
        self._takeovers = Takeovers(dialect)
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
        return self._read(self._dialect.now)

    # --- entries

    def entries(self, names: Collection[str] | None = None, *, changed_after: int = 0) -> list[EntryRecord]:
        return self._read(lambda connection: self._entries.read(connection, names, changed_after))

    def scan(self) -> Iterator[EntryRecord]:
        """Yield all entries, page by page; no connection is held while the caller looks at them."""
        after: int | None = 0
        while after is not None:
            page, after = self._read(partial(self._entries.page, after=after))
            yield from page

    def save(self, changes: Sequence[Change]) -> list[bool]:
        check_changes(changes)
        return self._write(lambda connection: self._entries.save(connection, changes))

    def remove(self, names: Collection[str]) -> int:
        check_length(names)
        return self._write(lambda connection: self._entries.remove(connection, names))

    def overdue(self, before: int, limit: int) -> list[EntryRecord]:
        return self._read(lambda connection: self._entries.overdue(connection, before, limit))

    # --- firings

    def claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> list[Won]:
        check_claims(claims)
        check_length(settlements)
        if not claims and not settlements:
            return []

        def settle_and_claim(connection: Connection) -> list[Won]:
            self._outbox.settle(connection, settlements)
            return self._claims.claim(connection, claims, replica)

        return self._write(settle_and_claim)

    def settle(self, settlements: Sequence[Settlement], releases: Sequence[Release] = ()) -> None:
        check_length(settlements)
        check_length(releases)
        if not settlements and not releases:
            return

        def settle_and_release(connection: Connection) -> None:
            self._outbox.settle(connection, settlements)
            self._outbox.release(connection, releases)

        self._write(settle_and_release)

    def take_over(self, *, replica: str, stale_after: int, limit: int) -> list[Firing]:
        return self._write(
            lambda connection: self._takeovers.take_over(connection, replica, stale_after, limit)
        )

    def unsettled(self) -> int:
        return self._read(self._outbox.count)

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
        old = self._read(lambda connection: self._pruning.look(connection, before, limit))
        return self._write(lambda connection: self._pruning.delete(connection, old)) if old else 0

    def history_before(self, count: int) -> int | None:
        return self._read(lambda connection: self._history.before(connection, count))

    def _walk(self, names: Collection[str] | None, span: Span, limit: int | None) -> Iterator[HistoryRecord]:
        """Yield records, page by page; no connection is held while the caller looks at them."""
        size = PAGE if limit is None else min(limit, PAGE)
        after: Place | None = None
        while size:
            page = self._read(partial(self._pages.page, names=names, span=span, after=after, size=size))
            yield from (record for _, record in page)
            if len(page) < size:
                return
            after = page[-1][0]

    # --- replicas

    def heartbeat(self, replica: ReplicaRecord, *, live_within: int) -> Pulse:
        return self._write(lambda connection: self._replicas.beat(connection, replica, live_within))

    def leave(self, replica: str) -> None:
        def forget_and_release(connection: Connection) -> None:
            self._replicas.forget(connection, replica)
            self._outbox.release_all(connection, replica)

        self._write(forget_and_release)

    def replicas(self) -> list[ReplicaRecord]:
        return self._read(self._replicas.all)

    # --- the store itself

    def close(self) -> None:
        self._dialect.engine.dispose()

    def _read(self, work: Callable[[Connection], Result]) -> Result:
        return self._run(self._dialect.engine, work)

    def _write(self, work: Callable[[Connection], Result]) -> Result:
        return self._run(self._dialect.writer, work)

    def _run(self, engine: Engine, work: Callable[[Connection], Result]) -> Result:
        """Do work in a transaction, and again where it is sure that the last attempt left nothing behind."""
        for is_last in (*[False] * RETRIES, True):
            with self._explaining(), engine.connect() as connection:
                try:
                    result = work(connection)
                except DBAPIError as error:
                    if is_last or not self._dialect.passes(error):
                        raise
                    continue
                # Past this point nobody knows, should it fail: the answer to a commit may be all that is lost.
                connection.commit()
                return result
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._dialect.translate(error) from error
