"""A broker that takes no messages for now: its alarm, heard on one connection, holds back all threads."""

from __future__ import annotations

import logging
import threading
from typing import Any

from kombu.exceptions import OperationalError

from qbeat.beat.publishing.confirms import Window
from qbeat.beat.publishing.plain import SOCKET_TIMEOUT

logger = logging.getLogger("qbeat.publishing")


class Blockage:
    """Keeps the connection on which the broker said that it blocks publishers, until it says otherwise.

    A new connection would be welcome, and what is published on it would lie in the broker's socket until the
    alarm is over. So nobody makes one before the kept one is free again or lost. What lay in the socket of the
    kept one is confirmed then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Any = None
        self._window: Window | None = None
        self._unanswered: frozenset[str] = frozenset()
        self._blocked = False
        self._arrived: set[str] = set()

    def keep(self, connection: Any, window: Window | None) -> bool:
        """Keep a blocked connection and its window, in whose place the caller makes others.

        ``False`` if one is kept already.
        """
        with self._lock:
            if self._connection is not None:
                return False
            self._blocked = True
            connection.connection.on_blocked = self._on_blocked
            connection.connection.on_unblocked = self._on_unblocked
            self._connection, self._window = connection, window
            self._unanswered = window.unanswered if window is not None else frozenset()
            return True

    def check(self) -> None:
        """Raise ``OperationalError`` while the broker takes no messages."""
        with self._lock:
            if self._connection is None:
                return
            try:
                while self._blocked:
                    self._connection.connection.drain_events(timeout=0)
                self._take_in_confirmations()
            except TimeoutError:
                raise OperationalError("the broker takes no messages now: it has raised an alarm") from None
            except Exception as error:  # noqa: BLE001 - a lost connection says nothing of the broker
                logger.debug("lost the connection that the broker had blocked: %r", error)
            connection, self._connection, self._window = self._connection, None, None
        let_go(connection)

    def has_arrived(self, task_id: str) -> bool:
        """Whether a message that had no answer during the last alarm was confirmed after it; says so once."""
        if task_id not in self._arrived:
            return False
        self._arrived.discard(task_id)
        return True

    def _take_in_confirmations(self) -> None:
        if self._window is None:
            return
        try:
            self._window.wait(SOCKET_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - each transport has its own errors
            logger.debug("not all that the broker had held up is confirmed: %r", error)
        self._arrived = {*self._unanswered} - self._window.unanswered - self._window.refused.keys()

    def _on_blocked(self, _reason: str) -> None:
        self._blocked = True

    def _on_unblocked(self) -> None:
        self._blocked = False


def let_go(connection: Any) -> None:
    """Close a connection at once, without the broker's consent: it might never answer."""
    try:
        connection.collect()
    except Exception as error:  # noqa: BLE001 - a broken connection may fail at anything
        logger.debug("closing a broken connection: %r", error)
