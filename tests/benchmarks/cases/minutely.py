"""Ten thousand entries, every one `* * * * *`, on Redis, SQLite and PostgreSQL; the broker is Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple

from tests.benchmarks.bursts import Burst, measure, median_rate
from tests.benchmarks.contenders import (
    CELERY_BEAT,
    DJANGO,
    QBEAT_ON_FILE,
    QBEAT_ON_REDIS,
    QBEAT_ON_SQL,
    REDBEAT,
    SQLALCHEMY,
    Contender,
)
from tests.benchmarks.load import Load
from tests.benchmarks.places import SQLITE, DurablePostgres, emptied
from tests.benchmarks.queues import RedisQueue
from tests.benchmarks.results import Goal, Part, Row, Sizes, at_least, burst_row
from tests.servers import Process, RedisServer

ENTRIES: Final = 10_000
WINDOW: Final = 30.0
"""Seconds within which qbeat has to be done: before the next minute comes."""
RIVAL_SECONDS: Final = 8.0
MINUTE: Final = 60
HOLD: Final = 0.3
"""Seconds before a full minute in which the processes are held."""
METHOD: Final = (
    "{entries:,} crontabs. Three qbeats, one on each store, run at once; just before a full minute all are stopped "
    "(SIGSTOP), just after it they go on one by one, each when the one before is done. Measured from that instant "
    "until the last message is in the queue. The rivals get an easier task: all entries are overdue at their start, "
    "and the clock runs from the last moment at which the queue is empty, so what they do before their first message "
    "does not count (RedBeat loads all that is due first, celery beat puts it in order). They are watched for "
    "{seconds:g} s after that. Both databases are durable: SQLite as each contender opens it, PostgreSQL as it is "
    "shipped; the rivals' entries on them are rows. *Times*: the rate of qbeat on the same store, in rates of this "
    "contender."
)


class Rival(NamedTuple):
    """A contender on a store, and the qbeat that it is compared with."""

    contender: Contender
    store: str
    ours: Contender
    wanted: float | None
    """How many times its rate is hoped for."""

    @property
    def name(self) -> str:
        return f"{self.contender.name}, {self.store}" if self.contender.rows else self.contender.name


Measured = Sequence[tuple[Rival, list[Burst]]]

RIVALS: Final = (
    Rival(CELERY_BEAT, "file", QBEAT_ON_REDIS, 1_000),
    Rival(REDBEAT, "Redis", QBEAT_ON_REDIS, None),
    Rival(DJANGO, "SQLite", QBEAT_ON_FILE, 200),
    Rival(SQLALCHEMY, "SQLite", QBEAT_ON_FILE, 200),
    Rival(DJANGO, "PostgreSQL", QBEAT_ON_SQL, 200),
    Rival(SQLALCHEMY, "PostgreSQL", QBEAT_ON_SQL, 200),
)


def run(sizes: Sizes) -> Part:
    """Compare qbeat with Celery's own beat, RedBeat, django-celery-beat and sqlalchemy-celery-beat."""
    entries, seconds = sizes.entries_or(ENTRIES), sizes.seconds_or(RIVAL_SECONDS)
    rivals = [rival for rival in RIVALS if rival.contender.is_here]
    with RedisServer() as redis, DurablePostgres() as postgres:
        ours = _on_the_minute(redis, postgres, entries, sizes.repeats)
        theirs = [(rival, _overdue(rival, redis, postgres, entries, seconds)) for rival in rivals]
    rows = [burst_row(name, entries, bursts) for name, bursts in ours.items()]
    rows += _rows(ours, theirs, entries)
    return Part(
        "Every minute", METHOD.format(entries=entries, seconds=seconds), rows, list(_goals(ours, theirs))
    )


def _on_the_minute(
    redis: RedisServer, postgres: DurablePostgres, entries: int, rounds: int
) -> dict[str, list[Burst]]:
    contenders = (QBEAT_ON_REDIS, QBEAT_ON_FILE, QBEAT_ON_SQL)
    bursts: dict[str, list[Burst]] = {contender.name: [] for contender in contenders}
    with ExitStack() as ending:
        database = postgres.database_url(postgres.new_database())
        running: dict[str, tuple[RedisQueue, Process]] = {}
        load = overdue(entries)
        for number, contender in enumerate(contenders):
            # A database of Redis for each, as the broker of this one alone.
            place = ending.enter_context(emptied(redis, database, number))
            process = ending.enter_context(contender.running(place, load))
            running[contender.name] = RedisQueue(place.broker), process
            measure(*running[contender.name], entries, window=WINDOW)
        for _ in range(rounds):
            _hold_until_minute([process for _, process in running.values()])
            for name, (queue, process) in running.items():
                queue.clear()
                process.resume()
                bursts[name].append(measure(queue, process, entries, window=WINDOW, due_at=time.time()))
    return bursts


def _hold_until_minute(processes: Sequence[Process]) -> None:
    """Hold processes that have nothing to do until just after a full minute."""
    minute = (time.time() + 2 * HOLD) // MINUTE * MINUTE + MINUTE
    time.sleep(minute - HOLD - time.time())
    for process in processes:
        process.pause()
    time.sleep(max(0.0, minute + HOLD / 10 - time.time()))


def overdue(entries: int) -> Load:
    """Return crontabs that should have fired at the latest full minute."""
    return Load(entries, None, first_at=time.time() // MINUTE * MINUTE)


def _overdue(
    rival: Rival, redis: RedisServer, postgres: DurablePostgres, entries: int, window: float
) -> list[Burst]:
    database = postgres.database_url(postgres.new_database()) if rival.store == "PostgreSQL" else SQLITE
    with emptied(redis, database) as place, rival.contender.running(place, overdue(entries)) as process:
        return [measure(RedisQueue(place.broker), process, entries, window=window)]


def _rows(ours: Mapping[str, list[Burst]], theirs: Measured, entries: int) -> Iterator[Row]:
    for rival, bursts in theirs:
        yield burst_row(rival.name, entries, bursts, median_rate(ours[rival.ours.name]))


def _goals(ours: Mapping[str, list[Burst]], theirs: Measured) -> Iterator[Goal]:
    for rival, bursts in theirs:
        if rival.wanted is not None:
            ratio = median_rate(ours[rival.ours.name]) / median_rate(bursts)
            yield at_least(f"rate against {rival.name}", ratio, rival.wanted)
