"""Many entries due in one instant: Redis broker and Redis store, exactly once, with the history on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from tests.benchmarks.bursts import Burst, await_first, measure, median_cpu, median_rate
from tests.benchmarks.contenders import QBEAT_ON_REDIS, REDBEAT, Contender
from tests.benchmarks.load import Load
from tests.benchmarks.places import emptied
from tests.benchmarks.queues import RedisQueue
from tests.benchmarks.results import Goal, Part, Row, Sizes, at_least, at_most, burst_row
from tests.servers import RedisServer

ENTRIES: Final = 100_000
RIVAL_ENTRIES: Final = 10_000
"""RedBeat's rate hardly depends on the number, and 100,000 would keep it busy for minutes."""
RIVAL_SECONDS: Final = 15.0
DAY: Final = 24 * 60 * 60
MARGIN: Final = 0.5
"""Seconds that have to be left until an instant for it to be measured."""


def run(sizes: Sizes) -> Part:
    """Compare qbeat with RedBeat, and with bare pushes of the very messages that qbeat sent."""
    entries, fewer = sizes.entries_or(ENTRIES), sizes.fewer_or(RIVAL_ENTRIES)
    with RedisServer() as redis:
        queue = RedisQueue(redis.url)
        ours = bursts_of(QBEAT_ON_REDIS, redis, entries, sizes.repeats, window=60)
        bare = bare_pushes(redis.client, queue.payloads(), sizes.repeats)
        theirs = _rivals_bursts(redis, fewer, sizes) if REDBEAT.is_here else []
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
        "instant. Measured from that instant until the last message is in the queue (RedBeat: for "
        f"{sizes.seconds_or(RIVAL_SECONDS):g} s at most). *Pipelined LPUSH* pushes the same messages again, a "
        "thousand in each pipeline, and decides and remembers nothing. *Times*: qbeat's rate in rates of this "
        "contender.",
        rows,
        goals,
    )


def _rivals_bursts(redis: RedisServer, entries: int, sizes: Sizes) -> list[Burst]:
    """Measure RedBeat, started anew each time: in one run it would still be busy when the next round comes."""
    window = sizes.seconds_or(RIVAL_SECONDS)
    return [bursts_of(REDBEAT, redis, entries, 1, window=window)[0] for _ in range(sizes.repeats)]


def bursts_of(
    contender: Contender, redis: RedisServer, entries: int, rounds: int, *, window: float
) -> list[Burst]:
    """Let a contender, already running, meet an instant at which everything is due; once or again and again.

    The messages of the last round stay in the queue.
    """
    queue = RedisQueue(redis.url)
    allowance = 5 + entries / 4_000
    while True:
        # With several rounds the same entries are due again after each pause.
        every = max(10.0, allowance) if rounds > 1 else DAY
        now = time.time()
        load = Load(entries, every, first_at=now + allowance, herald=DAY, herald_at=now)
        with emptied(redis) as place, contender.running(place, load) as process:
            await_first(queue, process)
            bursts = []
            for due_at in _instants(load, rounds):
                queue.clear()
                bursts.append(measure(queue, process, entries, window=window, due_at=due_at))
        if bursts:
            return bursts
        allowance *= 2


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


def _instants(load: Load, rounds: int) -> list[float]:
    """Return the next instants at which everything is due; none if the only one has gone by."""
    assert load.every is not None
    first = load.first_at
    while first < time.time() + MARGIN:
        first += load.every
    return (
        [first + number * load.every for number in range(rounds)]
        if load.every < DAY or first == load.first_at
        else []
    )
