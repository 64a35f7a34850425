"""How fast entries that are due in the same instant reach a Redis broker, beside bare pushes of the same bytes.

    python -m tests.benchmarks.burst [--entries N] [--store redis|sqlite|postgresql]

The whole engine runs in this process: timeline, decision, claim, message, push, history. Prints firings a
second, CPU time of this process for each, and the ratio to redis-py's pipelined LPUSH in the same run.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from celery import Celery

from qbeat.beat.clock import SystemClock
from qbeat.beat.entries import Entry
from qbeat.beat.garbage import calm_collector
from qbeat.beat.publishing.choice import publisher_for
from qbeat.beat.publishing.fused import fusion_for
from qbeat.beat.scheduler import Scheduler
from qbeat.beat.service import describe_replica
from qbeat.beat.store_time import StoreTime
from qbeat.schedules import Interval
from qbeat.schedules.base import SECOND
from qbeat.store import open_store
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer


def main() -> None:
    options = _options()
    with ExitStack() as ending:
        redis = ending.enter_context(RedisServer())
        store = open_store(_store_url(options.store, redis, ending))
        app = Celery("burst", broker=redis.url, set_as_current=False)
        app.conf.result_expires = None
        entries = _entries(app, options.entries)
        fired = _burst(app, store, entries, redis.client, profile=options.profile)
        bare = _bare(redis.client, options.entries)
        print(
            f"{options.entries} entries, {options.store}: start {fired['start']:.2f} s; "
            f"{fired['rate']:,.0f} firings/s, {fired['cpu']:.1f} µs CPU each; "
            f"bare LPUSH {bare:,.0f}/s; ratio {fired['rate'] / bare:.2f}"
        )


def _store_url(kind: str, redis: RedisServer, ending: ExitStack) -> str:
    if kind == "redis":
        return redis.url
    if kind == "postgresql":
        server = ending.enter_context(PostgresServer())
        return server.database_url(server.new_database())
    return str(Path(ending.enter_context(tempfile.TemporaryDirectory())) / "qbeat.db")


def _entries(app: Celery, count: int) -> dict[str, Entry]:
    @app.task(name="burst.tick")
    def tick(number: int) -> int:
        return number

    app.finalize()
    day = 24 * 60 * 60
    # As if each had been registered a day ago, less what it takes to start: then all are due in one instant.
    since = round((time.time() + 3 + count / 4_000 - day) * SECOND)
    daily = Interval(day)
    return {
        f"entry-{number}": Entry(
            f"entry-{number}", "burst.tick", daily, "UTC", args=(number,), last_run_at=since
        )
        for number in range(count)
    }


def _burst(
    app: Celery, store: Any, entries: dict[str, Entry], client: Any, *, profile: bool
) -> dict[str, float]:
    clock = SystemClock()
    timing = StoreTime(store, clock)
    publisher = publisher_for(app, clock, timing.now)
    scheduler = Scheduler(
        store=store,
        publisher=publisher,
        clock=clock,
        entries=entries,
        replica=describe_replica(entries.values(), clock.now()),
        time=timing,
        fusion=fusion_for(app, store),
    )
    started = time.perf_counter()
    while not scheduler.has_loaded:
        scheduler.tick()  # nothing fires before the publisher has been started
    start = time.perf_counter() - started
    scheduler.start()
    while not publisher.ready:
        clock.wait(0.01)
    due_at = min(record.due_at for record in store.entries())
    while timing.now() < due_at - SECOND // 2:
        clock.wait(min(scheduler.tick(), 0.1))
    clock.wait((due_at - timing.now()) / SECOND)
    profiler = cProfile.Profile() if profile else None
    if profiler:
        profiler.enable()
    calm_collector()
    began, cpu = time.perf_counter(), time.process_time()
    wait = scheduler.tick()
    while client.llen("celery") < len(entries):
        clock.wait(wait)
        wait = scheduler.tick()
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    if profiler:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    scheduler.stop(10)
    return {"start": start, "rate": len(entries) / wall, "cpu": cpu / len(entries) * 1e6}


def _bare(client: Any, count: int) -> float:
    """Push the same messages again, by the thousand; return how many a second."""
    payloads = client.lrange("celery", 0, count)
    client.delete("celery")
    began = time.perf_counter()
    for first in range(0, count, 1_000):
        with client.pipeline(transaction=False) as pipe:
            for payload in payloads[first : first + 1_000]:
                pipe.lpush("celery", payload)
            pipe.execute()
    return count / (time.perf_counter() - began)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--store", choices=["redis", "sqlite", "postgresql"], default="redis")
    parser.add_argument("--profile", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
