"""How late firings come, and how many, where a thousand of a hundred thousand entries are due each second."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Final

from tests.benchmarks.bursts import await_loaded
from tests.benchmarks.contenders import CELERY_BEAT, QBEAT_ON_REDIS, REDBEAT, Contender
from tests.benchmarks.load import Load
from tests.benchmarks.places import emptied
from tests.benchmarks.processes import cpu_seconds, must_be_childless
from tests.benchmarks.queues import RedisQueue, number_of
from tests.benchmarks.results import Part, Row, Sizes, at_least, at_most
from tests.servers import Process, RedisServer

ENTRIES: Final = 100_000
EVERY: Final = 100
"""Seconds between an entry's fire times: a hundredth of the entries is due each second."""
SECONDS: Final = 60.0
RIVAL_SECONDS: Final = 20.0
GRACE: Final = 1.0
"""Seconds after the last fire time in which a message still counts as delivered."""
HERALD: Final = 24 * 60 * 60
FEWER: Final = 10
"""RedBeat has so many times fewer entries, each due so many times as often."""
PATIENCE: Final = 600.0
"""Seconds in which RedBeat must have fired each entry once."""


@dataclass(frozen=True)
class Lateness:
    """Milliseconds between each fire time and the message's arrival, how many should have come, CPU each."""

    late: Sequence[float]
    expected: int
    cpu_each: float

    @property
    def share(self) -> float:
        """How much of what was due arrived, in percent."""
        return 100 * len(self.late) / self.expected

    def percentile(self, number: int) -> float | None:
        return quantiles(self.late, n=100, method="inclusive")[number - 1] if len(self.late) > 1 else None


def run(sizes: Sizes) -> Part:
    """Compare qbeat with Celery's own beat and RedBeat."""
    entries, seconds = sizes.entries_or(ENTRIES), sizes.seconds_or(SECONDS)
    with RedisServer() as redis:
        ours = _lateness(QBEAT_ON_REDIS, redis, entries, seconds)
        watched = min(seconds, RIVAL_SECONDS)
        rivals = {
            CELERY_BEAT.name: _lateness(CELERY_BEAT, redis, entries, watched),
            f"{REDBEAT.name}, {entries // FEWER:,} entries": _own_pace(redis, entries // FEWER, watched),
        }
    rows = [_row(QBEAT_ON_REDIS.name, ours), *(_row(name, found) for name, found in rivals.items())]
    return Part(
        "Lateness",
        f"{entries:,} entries, each due every {EVERY} s, spread evenly: one every {1000 * EVERY / entries:g} ms, "
        f"for {seconds:g} s (rivals: at most {RIVAL_SECONDS:g} s, which flatters those that fall behind). Lateness "
        "is what the consumer of the queue sees: the instant at which a blocking pop returns the message, less the "
        "fire time. "
        f"*Delivered*: what arrived up to {GRACE:g} s after the last fire time. RedBeat gets an easier task that "
        f"asks for the same rate: a {FEWER}th of the entries, each due every {EVERY // FEWER} s after it was last "
        "sent, so that it sets its own pace; watched when it has sent each once. (It files an entry whose last run "
        "lies back under an instant that has passed already, and then reads all such entries in each tick: with "
        "the entries of the others it sends next to nothing.)",
        rows,
        [
            at_most("p50, ms", ours.percentile(50) or 0.0, 2),
            at_most("p99, ms", ours.percentile(99) or 0.0, 10),
            at_least("delivered, %", ours.share, 100),
        ],
    )


def _lateness(contender: Contender, redis: RedisServer, entries: int, seconds: float) -> Lateness:
    queue, start = RedisQueue(redis.url), 10 + entries / 4_000
    while True:
        now = time.time()
        load = Load(entries, EVERY, first_at=now + start, step=EVERY / entries, herald=HERALD, herald_at=now)
        with emptied(redis) as place, contender.running(place, load) as process:
            await_loaded(queue, process)
            queue.clear()
            if time.time() < load.first_at:
                return _watched(queue, process, load, seconds)
        # It has still been starting when it should have fired.
        start *= 2


def _own_pace(redis: RedisServer, entries: int, seconds: float) -> Lateness:
    """Watch RedBeat, whose entries are due so long after they were last sent."""
    queue, every = RedisQueue(redis.url), EVERY / FEWER
    load = Load(entries, every, first_at=0.0, is_new=True)
    with emptied(redis) as place, REDBEAT.running(place, load) as process:
        sent: dict[int, float] = {}
        for at, payload in queue.arrivals(time.time() + PATIENCE):
            sent[number_of(payload)] = at
            if len(sent) == entries:
                break
        cpu, late = cpu_seconds(process.pid), list[float]()
        for at, payload in queue.arrivals(time.time() + seconds):
            number = number_of(payload)
            late.append(1000 * (at - sent[number] - every))
            sent[number] = at
        cpu = cpu_seconds(process.pid) - cpu
        must_be_childless(process.pid)
    return Lateness(late, round(seconds * entries / every), 1e6 * cpu / max(1, len(late)))


def _watched(queue: RedisQueue, process: Process, load: Load, seconds: float) -> Lateness:
    time.sleep(max(0.0, load.first_at - time.time()))
    cpu = cpu_seconds(process.pid)
    arrivals = list(queue.arrivals(load.first_at + seconds + GRACE))
    cpu = cpu_seconds(process.pid) - cpu
    must_be_childless(process.pid)
    seen = [(number_of(payload), at) for at, payload in arrivals]
    expected = min(load.count, round(seconds / load.step))
    return Lateness(lateness_of(seen, load, expected), expected, 1e6 * cpu / max(1, len(seen)))


def lateness_of(arrivals: Iterable[tuple[int, float]], load: Load, expected: int) -> list[float]:
    """Return how late each of the ``expected`` first entries came, in milliseconds, if it came; once for each.

    ``arrivals`` are the numbers of the entries and the instants at which they came, in seconds since 1970.
    """
    came: dict[int, float] = {}
    for number, at in arrivals:
        came.setdefault(number, at)
    return [
        1000 * (came[number] - load.first_at - number * load.step)
        for number in range(expected)
        if number in came
    ]


def _row(name: str, found: Lateness) -> Row:
    return {
        "": name,
        "due": found.expected,
        "delivered, %": found.share,
        "p50, ms": found.percentile(50),
        "p99, ms": found.percentile(99),
        "worst, ms": max(found.late, default=None),
        "CPU µs per firing": found.cpu_each,
    }
