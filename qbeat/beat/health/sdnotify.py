"""The words for systemd: that the service is up, what it does, that its loop turns, that it stops."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

STATUS_PAUSE: Final = 5.0
"""Seconds between two words about what the service does."""


class Notifier:
    """Tells systemd, through the socket that ``NOTIFY_SOCKET`` names; without one it does nothing.

    The watchdog's word goes out from the loop itself, at half of the interval that systemd has asked for
    (``WATCHDOG_USEC``): a loop that hangs is a service that hangs.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET"))
        self._pause = _watchdog_pause(environment)
        self._ready = False
        self._next_watchdog = self._next_status = 0.0

    def turned(self, status: Callable[[], str]) -> None:
        """Say that the loop has turned: READY the first time, then WATCHDOG and STATUS each in its time."""
        if self._address is None:
            return
        now, words = time.monotonic(), []
        if not self._ready:
            words.append("READY=1")
            self._ready = True
        if now >= self._next_status:
            words.append(f"STATUS={status()}")
            self._next_status = now + STATUS_PAUSE
        if self._pause is not None and now >= self._next_watchdog:
            words.append("WATCHDOG=1")
            self._next_watchdog = now + self._pause
        self._send(words)

    def waiting(self, why: str) -> None:
        """Say that the loop turns, but cannot do its work."""
        if self._ready:
            self.turned(lambda: why)
        elif self._address is not None:
            self._send([f"STATUS={why}"])

    def stopping(self) -> None:
        """Say that the service has begun to stop."""
        self._send(["STOPPING=1", "STATUS=Stopping."])

    def _send(self, words: list[str]) -> None:
        if self._address is None or not words:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(0)
            channel.sendto("\n".join(words).replace("\0", "").encode(), self._address)


def _address(name: str | None) -> str | None:
    """Return the socket's address; ``@`` stands for the zero byte of an abstract one."""
    if not name or name[0] not in "/@":
        return None
    return "\0" + name[1:] if name[0] == "@" else name


def _watchdog_pause(environment: Mapping[str, str]) -> float | None:
    """Return the seconds between two words, ``None`` if systemd expects none of this process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(environment["WATCHDOG_USEC"]) / 2_000_000
    except (KeyError, ValueError):
        return None
