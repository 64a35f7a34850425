"""Many entries due in one instant: Redis broker and Redis store, exactly once, with the history on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from tests.benchmarks.bursts import Burst, median_cpu, median_rate
from tests.benchmarks.contenders import QBEAT_ON_REDIS, REDBEAT
from tests.benchmarks.places import emptied
from tests.benchmarks.queues import RedisQueue
from tests.benchmarks.results import Goal, Part, Row, Sizes, at_least, at_most, burst_row
from tests.benchmarks.rounds import bursts_of
from tests.servers import RedisServer

ENTRIES: Final = 100_000
RIVAL_ENTRIES: Final = 10_000
"""RedBeat's rate hardly depends on the number, and 100,000 would keep it busy for minutes."""
RIVAL_SECONDS: Final = 15.0


def run(sizes: Sizes) -> Part:
    """Compare qbeat with RedBeat, and with bare pushes of the very messages that qbeat sent."""
    entries, fewer = sizes.entries_or(ENTRIES), sizes.fewer_or(RIVAL_ENTRIES)
    with RedisServer() as redis:
        ours = _ours(redis, entries, sizes.repeats)
        bare = bare_pushes(redis.client, RedisQueue(redis.url).payloads(), sizes.repeats)
        theirs = _theirs(redis, fewer, sizes) if REDBEAT.is_here else []
    rate = median_rate(ours)
    rows: list[Row] = [burst_row(QBEAT_ON_REDIS.name, entries, ours)]
    rows.append(burst_row("redis-py, pipelined LPUSH", ours[-1].sent, bare, rate))
    goals: list[Goal] = [at_least("rate against pipelined LPUSH", rate / median_rate(bare), 1 / 3)]
    if theirs:
        rows.append(burst_row(REDBEAT.name, fewer, theirs, rate))
        goals.append(at_least("rate against RedBeat", rate / median_rate(theirs), 40))
        goals.append(at_most("CPU per firing against RedBeat", median_cpu(ours) / median_cpu(theirs), 1 / 40))
    return Part(
        "A burst on Redis",
        f"{entries:,} entries ({fewer:,} for RedBeat, whose rate hardly depends on their number) are due in one "
        "instant, when the process is at rest. Measured from that instant until the last message is in the queue (RedBeat: for "
        f"{sizes.seconds_or(RIVAL_SECONDS):g} s at most). *Pipelined LPUSH* pushes the same messages again, a "
        "thousand in each pipeline, and decides and remembers nothing. *Times*: qbeat's rate in rates of this "
        "contender.",
        rows,
        goals,
    )


def _ours(redis: RedisServer, entries: int, rounds: int) -> list[Burst]:
    queue, start = RedisQueue(redis.url), 5 + entries / 4_000
    return bursts_of(QBEAT_ON_REDIS, lambda: emptied(redis), queue, entries, rounds, window=60, start=start)


def _theirs(redis: RedisServer, entries: int, sizes: Sizes) -> list[Burst]:
    """Measure RedBeat, started anew each time: in one run it would still be busy when the next round comes."""
    queue, window, start = RedisQueue(redis.url), sizes.seconds_or(RIVAL_SECONDS), 5 + entries / 800
    return [
        bursts_of(REDBEAT, lambda: emptied(redis), queue, entries, 1, window=window, start=start)[0]
        for _ in range(sizes.repeats)
    ]


def bare_pushes(client: Any, payloads: Sequence[bytes], rounds: int) -> list[Burst]:
    """Push messages by the thousand and do nothing else."""
    found = []
    for _ in range(rounds):
        began, cpu = time.perf_counter(), time.process_time()
        for first in range(0, len(payloads), 1_000):
            with client.pipeline(transaction=False) as pipe:
                for payload in payloads[first : first + 1_000]:
                    pipe.lpush("bare", payload)
                pipe.execute()
        found.append(Burst(len(payloads), time.perf_counter() - began, time.process_time() - cpu))
        client.delete("bare")
    return found
