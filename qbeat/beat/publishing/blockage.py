"""A broker that takes no messages for now: its alarm, heard on one connection, holds back all threads."""

from __future__ import annotations

import logging
import threading
from typing import Any

from kombu.exceptions import OperationalError

logger = logging.getLogger("qbeat.publishing")


class Blockage:
    """Keeps the connection on which the broker said that it blocks publishers, until it says otherwise.

    A new connection would be welcome, and what is published on it would lie in the broker's socket until the
    alarm is over. So nobody makes one before the kept one is free again or lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Any = None
        self._blocked = False

    def keep(self, connection: Any) -> bool:
        """Keep a blocked connection, in whose place the caller makes another; ``False`` if one is kept already."""
        with self._lock:
            if self._connection is not None:
                return False
            self._blocked = True
            connection.connection.on_unblocked = self._on_unblocked
            self._connection = connection
            return True

    def check(self) -> None:
        """Raise ``OperationalError`` while the broker takes no messages."""
        with self._lock:
            if self._connection is None:
                return
            try:
                while self._blocked:
                    self._connection.connection.drain_events(timeout=0)
            except TimeoutError:
                raise OperationalError("the broker takes no messages now: it has raised an alarm") from None
            except Exception as error:  # noqa: BLE001 - a lost connection says nothing of the broker
                logger.debug("lost the connection that the broker had blocked: %r", error)
            connection, self._connection = self._connection, None
        let_go(connection)

    def end(self) -> None:
        """Let go of what is kept."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            let_go(connection)

    def _on_unblocked(self) -> None:
        self._blocked = False


def let_go(connection: Any) -> None:
    """Close a connection at once, without the broker's consent: it might never answer."""
    try:
        connection.collect()
    except Exception as error:  # noqa: BLE001 - a broken connection may fail at anything
        logger.debug("closing a broken connection: %r", error)
