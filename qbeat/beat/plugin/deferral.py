"""Holds signals back while a tick is under way: what Celery does about them must not cut a claim in two."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_HELD: Final = (signal.SIGTERM, signal.SIGINT)


class DeferredSignals:
    """Wraps the handlers that are there; what comes during a tick, they get to see after it.

    A second signal during the same tick goes through at once, for who wants to end a process that hangs.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._holding = False
        self._pending: int | None = None

    def install(self) -> None:
        """Begin; to be called by the main thread once the handlers are in place."""
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
                self._handlers[number](number, None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._holding and self._pending is None:
            self._pending = number
            return
        self._handlers[number](number, frame)
