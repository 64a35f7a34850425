"""Ties an embedded beat to its worker: when the worker is gone, however it went, the beat ends too."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1


class Lifeline:
    """The worker that this process belongs to. Linux tells of its end at once, elsewhere one has to look."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        if sys.platform == "linux":
            _ask_for_signal()

    @property
    def is_cut(self) -> bool:
        """Whether the worker is gone, so that somebody else is this process's parent."""
        return os.getppid() != self._parent


def _ask_for_signal() -> None:
    """Have the kernel send SIGTERM when the parent is gone; without it the loop still looks each second."""
    try:
        prctl: Any = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):  # pragma: no cover - a libc without it
        return
    prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
