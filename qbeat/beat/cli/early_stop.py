"""Ends the process on a SIGTERM that comes while the app is still being imported, before the service obeys signals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from qbeat.beat.errors import OK

_WORDS: Final = "qbeat was told to stop while it was starting; nothing has fired.\n"


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """End the process with the exit code of a clean stop if SIGTERM comes while this runs.

    The kernel drops a signal for PID 1 that has no handler: in a container, a stop would wait for SIGKILL. A
    handler that the app installs meanwhile, or the service, stays.
    """
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _end:
            signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what signals hand over
    # No SystemExit: a bare ``except`` in the app, a finalizer or a thread of the app's could hold it up.
    with suppress(RuntimeError, OSError, ValueError):  # it may be in use where the signal came, or closed
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, _WORDS.encode())
    os._exit(OK)
