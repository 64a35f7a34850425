"""What the SQL servers share: an address without its password, the server's clock, errors by their codes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Engine, Select, event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DBAPIError

from qbeat.store.base import StoreError, StoreUnavailable, StoreUnusable
from qbeat.store.sql.dialect import Dialect

CONNECT_TIMEOUT: Final = 5
"""Seconds to wait for a connection."""
LOCK_TIMEOUT: Final = 5
"""Seconds to wait for another transaction."""
SILENCE_LIMIT: Final = 3
"""Seconds after which a server ends a transaction whose client says nothing more.

That is a replica that was stopped or cut off. Less than ``LOCK_TIMEOUT``: others wait for its locks in vain, not
without end.
"""
ANSWER_TIMEOUT: Final = 10
"""Seconds of silence after which a server is given up."""
_WRITABLE: Final = "name a server that may be written, or have this one accept writes"


class ServerDialect(Dialect):
    """A database server at an address.

    ``clock``, if given, takes the place of the server's.
    """

    conflicts: ClassVar[frozenset[str]]
    """The codes of errors by which the server ended one of several transactions in each other's way."""
    passing: ClassVar[tuple[str, ...]]
    """How the codes of states begin that pass."""
    read_only: ClassVar[frozenset[str]]
    """The codes of errors by which a server that is no longer the first refuses to write."""
    lasting: ClassVar[tuple[str, ...]]
    """How the codes of states begin that a person has to end."""
    lasting_texts: ClassVar[tuple[str, ...]] = ()
    """What the texts of such states say, where errors come without a code."""

    def __init__(self, address: URL, clock: Callable[[], int] | None) -> None:
        self._address = address
        self._clock = clock

    @property
    def url(self) -> str:
        address = self._address
        return URL.create(
            address.drivername, address.username, None, address.host, address.port, address.database
        ).render_as_string()

    def now(self, connection: Connection) -> int:
        if self._clock is not None:
            return self._clock()
        (now,) = connection.execute(self.clock_reading()).one()
        return int(now)

    @abstractmethod
    def clock_reading(self) -> Select[Any]:
        """Return the query for the server's clock, in microseconds."""

    @abstractmethod
    def is_silence(self, error: DBAPIError) -> bool:
        """Return whether a connection was given up because nothing came."""

    @abstractmethod
    def code_of(self, error: DBAPIError) -> str:
        """Return the server's code for an error, empty for errors that are not the server's."""

    @abstractmethod
    def text_of(self, error: DBAPIError) -> str:
        """Return the server's text for an error."""

    def leave_when_read_only(self, engine: Engine) -> None:
        """Have a connection given up when its server may only be read: the address may lead to another by now."""

        def leave(context: ExceptionContext) -> None:
            error = context.sqlalchemy_exception
            if isinstance(error, DBAPIError) and self.code_of(error) in self.read_only:
                context.is_disconnect = True

        event.listen(engine, "handle_error", leave)

    def passes(self, error: DBAPIError) -> bool:
        if error.connection_invalidated:
            return not self.is_silence(error)  # who has waited in vain should not wait again
        return self.code_of(error) in self.conflicts

    def translate(self, error: DBAPIError) -> StoreError:
        code, said = self.code_of(error), " ".join(self.text_of(error).split())
        if self._is_lasting(code, said):
            return StoreUnusable(f"{self.url} cannot be used as it is: {said}")
        if code in self.read_only:
            return StoreUnavailable(f"{self.url} may only be read ({said}): {_WRITABLE}")
        if not code or error.connection_invalidated or code.startswith(self.passing):
            return StoreUnavailable(f"{self.url} cannot be reached or is busy: {said}")
        return StoreUnusable(f"{self.url} cannot be used as it is: {said}")

    def _is_lasting(self, code: str, said: str) -> bool:
        if code:
            return code.startswith(self.lasting)
        return any(sign in said for sign in self.lasting_texts)
