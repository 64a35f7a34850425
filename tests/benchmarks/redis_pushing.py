"""What a firing costs where store and broker are one Redis: claim, history and push in one script.

    python -m tests.benchmarks.redis_pushing [URL] [--entries N] [--rounds N] [--bytes N]

The rival, in the same run, is the bare push of the same bytes by redis-py: a pipeline of LPUSH. The database
is emptied. Figures are medians over the rounds, CPU times those of this process and of Redis.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import redis

from qbeat.store import open_store
from qbeat.store.base import MAX_BATCH, Store
from qbeat.store.records import AUTO, Claim, Message, NewFiring, Settlement, Won
from tests.benchmarks.stores import STEP, fill
from tests.servers import RedisServer

QUEUE = "celery"
BARE = "bare pipelined LPUSH"


@dataclass(frozen=True)
class Cost:
    """Microseconds for each message: on the clock, of this process's CPU, of Redis's CPU."""

    wall: float
    client: float
    server: float


def main() -> None:
    options = _options()
    with ExitStack() as opened:
        url = options.url or opened.enter_context(RedisServer()).url
        client: Any = redis.Redis.from_url(url)
        client.flushdb()
        store = opened.enter_context(open_store(url))
        fill(store, options.entries)
        body = "x" * options.bytes
        rivals: dict[str, Callable[[], Callable[[], None]]] = {
            BARE: lambda: lambda: push(client, options.entries, body),
            "claim, history and push": lambda: ready_to_claim(store, body),
            "claim alone, settled by the next": lambda: ready_to_claim(store, None),
        }
        costs: dict[str, list[Cost]] = {name: [] for name in rivals}
        for _ in range(options.rounds):
            for name, prepare in rivals.items():
                costs[name].append(_measured(client, prepare(), options.entries))
                client.delete(QUEUE)
        for name, measured in costs.items():
            _tell(name, measured, costs[BARE])


def push(client: Any, count: int, body: str) -> None:
    """Push messages, nothing else."""
    for start in range(0, count, MAX_BATCH):
        pipeline = client.pipeline(transaction=False)
        for _ in range(start, min(count, start + MAX_BATCH)):
            pipeline.lpush(QUEUE, body)
        pipeline.execute()


def ready_to_claim(store: Store, body: str | None) -> Callable[[], None]:
    """Prepare claims of the next fire time of every entry, with a message or without; return what makes them."""
    claims = [_claim(record.uid, record.cursor, body) for record in store.entries()]
    return lambda: claim(store, claims, settling=body is None)


def claim(store: Store, claims: Sequence[Claim], *, settling: bool) -> None:
    """Win claims, in batches."""
    settlements: list[Settlement] = []
    for start in range(0, len(claims), MAX_BATCH):
        batch = claims[start : start + MAX_BATCH]
        assert set(store.claim(batch, settlements, replica="bench")) == {Won.YES}
        if settling:
            settlements = [Settlement(one.uid, one.new_cursor, AUTO, "published", 0) for one in batch]
    store.settle(settlements)


def _claim(uid: str, cursor: int, body: str | None) -> Claim:
    fire_time = cursor + STEP
    message = None if body is None else Message(QUEUE, body)
    firing = NewFiring(fire_time, str(uuid5(NAMESPACE_DNS, f"{uid}{fire_time}")), message)
    return Claim(uid, cursor, 1, fire_time, fire_time + STEP, fire_time + STEP, (firing,))


def _measured(client: Any, work: Callable[[], None], count: int) -> Cost:
    before = time.perf_counter(), time.process_time(), _server_cpu(client)
    work()
    after = time.perf_counter(), time.process_time(), _server_cpu(client)
    return Cost(*((end - start) / count * 1e6 for start, end in zip(before, after, strict=True)))


def _server_cpu(client: Any) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


def _tell(name: str, measured: Sequence[Cost], bare: Sequence[Cost]) -> None:
    wall, client, server = (
        median(getattr(cost, part) for cost in measured) for part in ("wall", "client", "server")
    )
    ratio = median(cost.wall for cost in bare) / wall
    print(
        f"{name:34} {1e6 / wall:9,.0f}/s  {ratio:5.2f} of bare;"
        f"  CPU us each: {client:5.1f} here, {server:5.1f} in Redis"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=1_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
