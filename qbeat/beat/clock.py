"""The only readers of time: the system's clock, and a virtual one that tests set and advance."""

from __future__ import annotations

import math
import os
import select
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Final


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


FD_SETSIZE: Final = 1_024
"""``select`` takes no file descriptor beyond it."""


def _coarse(seconds: float) -> int:
    """Return the milliseconds to wait by ``poll``, which ends in time even if the process is stopped meanwhile.

    ``select`` begins its wait anew then; but it knows parts of a millisecond, so the rest is left to it: also
    what the kernel may add to a long wait, a thousandth of it.
    """
    return max(0, int(seconds * 998) - 1)


class SystemClock(Clock):
    """The machine's clocks. Waking writes into a pipe, which signal handlers and threads may do at any time."""

    def __init__(self) -> None:
        self._wakened, self._waker = os.pipe()
        os.set_blocking(self._wakened, False)
        os.set_blocking(self._waker, False)
        self._poll = select.poll()
        self._poll.register(self._wakened, select.POLLIN)

    def now(self) -> int:
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        if self._poll.poll(_coarse(seconds)) or self._is_woken_before(end):
            with suppress(BlockingIOError):
                os.read(self._wakened, 4096)

    def _is_woken_before(self, end: float) -> bool:
        """Wait out the last moment, to the microsecond."""
        rest = end - time.monotonic()
        if rest <= 0:
            return False
        if self._wakened >= FD_SETSIZE:
            return bool(self._poll.poll(math.ceil(rest * 1_000)))
        return bool(select.select([self._wakened], [], [], rest)[0])

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
