"""The only readers of time: the system's clock, and a virtual one that tests set and advance."""

from __future__ import annotations

import os
import select
import time
from abc import ABC, abstractmethod
from contextlib import suppress


class Clock(ABC):
    """Wall time in microseconds since the epoch, monotonic time in seconds, and a wait that can be cut short."""

    @abstractmethod
    def now(self) -> int:
        """Return the wall clock in microseconds since the epoch (UTC)."""

    @abstractmethod
    def monotonic(self) -> float:
        """Return seconds of a clock that never jumps; only differences mean anything."""

    @abstractmethod
    def wait(self, seconds: float) -> None:
        """Return after ``seconds``, or at once when ``wake`` has been called since the last wait."""

    @abstractmethod
    def wake(self) -> None:
        """End the current wait, or the next one; callable from any thread and from a signal handler."""


class SystemClock(Clock):
    """The machine's clocks. Waking writes into a pipe, which signal handlers and threads may do at any time."""

    def __init__(self) -> None:
        self._wakened, self._waker = os.pipe()
        os.set_blocking(self._wakened, False)
        os.set_blocking(self._waker, False)

    def now(self) -> int:
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        ready, _, _ = select.select([self._wakened], [], [], max(0.0, seconds))
        if ready:
            with suppress(BlockingIOError):
                os.read(self._wakened, 4096)

    def wake(self) -> None:
        # A full pipe wakes just as well.
        with suppress(BlockingIOError):
            os.write(self._waker, b"!")

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._wakened)
        os.close(self._waker)


class VirtualClock(Clock):
    """A clock that stands still until it is told otherwise; for testing schedules without waiting.

    ``wait`` moves both of its clocks forward at once, so a scheduler on it runs through days in moments.
    """

    def __init__(self, now: int = 0) -> None:
        self._now = now
        self._monotonic = 0.0
        self._woken = False

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def wait(self, seconds: float) -> None:
        if not self._woken:
            self.advance(max(0.0, seconds))
        self._woken = False

    def wake(self) -> None:
        self._woken = True

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._now += round(seconds * 1_000_000)
        self._monotonic += seconds

    def jump(self, now: int) -> None:
        """Set the wall clock to ``now``, as an administrator does: the monotonic clock does not notice."""
        self._now = now
