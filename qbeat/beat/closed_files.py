"""Keeps the numbers of files that were closed behind Python's back from being given to new files.

Celery closes all files of a process that it has made a daemon, or a worker's embedded beat. But the objects of the
app that held them, such as sockets that were opened while it was imported, are still there, and whenever they are
collected they close the number that was theirs: then somebody else's. The file that is opened next gets that number,
and what is written to the one that was closed goes into the other. The store has been destroyed in this way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

_STANDARD: Final = 3
"""Standard input, output and error stay what they are."""
_MARGIN: Final = 64
"""Numbers above the highest one in use that may have been in use a moment ago."""
_USUAL: Final = 256
"""Where no system tells of the files of a process: more than most have."""


def open_files(process: int | str = "self") -> set[int]:
    """Return the numbers of the files that a process has open; more than these where the system does not tell."""
    for folder in (f"/proc/{process}/fd", "/dev/fd" if process == "self" else ""):
        with suppress(OSError):
            return {int(name) for name in os.listdir(folder)}  # noqa: PTH208 - it is about the names
    return {*range(_USUAL)}


def keep_from_reuse(numbers: Iterable[int]) -> None:
    """Open /dev/null under each of these numbers that is free, until whoever thinks to own it closes it."""
    wanted = sorted(number for number in numbers if number >= _STANDARD and not _is_open(number))
    if not wanted:
        return
    null = os.open(os.devnull, os.O_RDWR)
    for number in wanted:
        if number != null:
            try:
                os.dup2(null, number, inheritable=False)
            except OSError:  # as many as there may be
                break
    if null not in wanted:
        os.close(null)


def keep_parents_from_reuse(parent: int) -> None:
    """Do so for whatever was open in the parent when this process was forked, a moment ago."""
    keep_from_reuse(range(min(max(open_files(parent), default=0) + _MARGIN, _room())))


def keep_usual_from_reuse() -> None:
    """Do so for as many as most processes have, where nothing tells which were open."""
    keep_from_reuse(range(min(_USUAL, _room())))


def _room() -> int:
    """Return how many of the files that a process may have open can be done without: half of them."""
    import resource  # noqa: PLC0415 - Windows has none, and nothing there is forked

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft // 2


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
