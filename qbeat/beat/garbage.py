"""The garbage collector of a process that keeps many objects for as long as it lives."""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 20_000
"""New containers after which the youngest are looked through: some milliseconds' worth of firings."""
MIDDLE: Final = 20
"""Collections of the youngest for each one of the middle generation."""
OLD: Final = 20
"""Collections of the middle generation for each full one, once all is loaded."""
LOADING: Final = 1_000_000
"""What takes the place of ``YOUNG``, and of ``OLD``, while nearly all that is made stays."""


def hold_collector() -> None:
    """Have the collector hardly look while a declaration is read: all that it makes stays."""
    gc.set_threshold(LOADING, MIDDLE, LOADING)


def calm_collector() -> None:
    """Have the collector leave alone what is there now, and look less often at what comes.

    Otherwise each full collection goes through all entries, for a quarter of a second with a million of them,
    and finds nothing: a loop that fires on time cannot wait for that, not even once, so what little garbage
    a start has left stays.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
