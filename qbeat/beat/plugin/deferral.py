"""Holds signals back while a tick is under way: what Celery does about them must not cut a claim in two."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_HELD: Final = (signal.SIGTERM, signal.SIGINT)


class DeferredSignals:
    """Wraps the handlers that are there; what comes during a tick, they get to see after it.

    A second signal during the same tick goes through at once, for who wants to end a process that hangs; unless
    ``once`` is set: then the first that ends the process is the last that is heard. An embedded beat gets several,
    as its worker sends its own beside the one that comes to the whole service.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._holding = False
        self._pending: int | None = None
        self._once = False
        self._is_ending = False

    def install(self, *, once: bool = False) -> None:
        """Begin; to be called by the main thread once the handlers are in place."""
        self._once = once
        for number in _HELD:
            handler = signal.getsignal(number)
            if callable(handler) and handler != self._on_signal:
                self._handlers[number] = handler
                signal.signal(number, self._on_signal)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold signals back while this runs, and let the handler have its say at the end."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
            number, self._pending = self._pending, None
            if number is not None:
                self._hand_on(number, None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._once and (self._is_ending or self._pending is not None):
            return
        if self._holding and self._pending is None:
            self._pending = number
            return
        self._hand_on(number, frame)

    def _hand_on(self, number: int, frame: FrameType | None) -> None:
        try:
            with self._kept_installed(number):
                self._handlers[number](number, frame)
        except BaseException:
            self._is_ending = True
            raise

    @contextmanager
    def _kept_installed(self, number: int) -> Iterator[None]:
        """The handler of an embedded beat puts the system's own in its place, which would end the process at once."""
        if not self._once:
            yield
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        try:
            yield
        finally:
            signal.signal(number, self._on_signal)
            self._is_ending = self._is_ending or sys.exception() is not None
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
