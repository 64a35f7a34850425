"""Contenders that already run when everything is due: once, or again and again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from tests.benchmarks.bursts import Burst, await_loaded, measure
from tests.benchmarks.contenders import Contender, Place
from tests.benchmarks.load import Load
from tests.benchmarks.queues import Watched

DAY: Final = 24 * 60 * 60
MARGIN: Final = 0.5
"""Seconds that have to be left until an instant for it to be measured."""


def bursts_of(
    contender: Contender,
    place_for: Callable[[], AbstractContextManager[Place]],
    queue: Watched,
    entries: int,
    rounds: int,
    *,
    window: float,
    start: float,
) -> list[Burst]:
    """Let a contender that already runs meet instants at which everything is due.

    ``start`` is the time that it is given to start, in seconds; if that is not enough it is started again with
    twice as much, or, where there are several rounds, meets the next instant. The messages of the last round stay
    in the queue.
    """
    while True:
        # With several rounds the same entries are due again after each pause.
        every = max(10.0, 5 + entries / 5_000) if rounds > 1 else DAY
        now = time.time()
        load = Load(entries, every, first_at=now + start, herald=DAY, herald_at=now)
        with place_for() as place, contender.running(place, load) as process:
            await_loaded(queue, process)
            if rounds > 1 or load.first_at > time.time() + MARGIN:
                found = []
                for _ in range(rounds):
                    due_at = next_instant(load, time.time() + MARGIN)
                    queue.clear()
                    found.append(measure(queue, process, entries, window=window, due_at=due_at))
                return found
        start *= 2


def next_instant(load: Load, after: float) -> float:
    """Return the first instant, not before ``after``, at which all entries of a load are due."""
    assert load.every is not None
    return load.first_at + max(0, math.ceil((after - load.first_at) / load.every)) * load.every
