"""Standard input, output and error: open from the start, and no reason to end when nobody reads them. Light."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Final

_FILES: Final = (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY))


def open_closed_ones() -> None:
    """Open /dev/null in the place of each standard file that whoever started the process has closed.

    The files that are opened next would get their numbers: the store, for one, and whatever some library, or
    ``early_stop``, writes to number 2 would go into it.
    """
    for number, (name, flags) in enumerate(_FILES):
        if not _is_open(number):
            _open_null(number, flags)
        if getattr(sys, name) is None:
            stream = open(number, "w" if flags else "r", closefd=False)  # noqa: SIM115 - it stays open, and has no path
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def print_nothing_more() -> None:
    """Let what is printed from now on, and what has not got out so far, go nowhere: there is no room or no reader."""
    with suppress(AttributeError, OSError, ValueError):  # None, or no real file
        _open_null(sys.stdout.fileno(), os.O_WRONLY)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _open_null(number: int, flags: int) -> None:
    null = os.open(os.devnull, flags)
    os.dup2(null, number)
    if null == number:
        os.set_inheritable(number, True)  # noqa: FBT003 - it takes no keyword
    else:
        os.close(null)
