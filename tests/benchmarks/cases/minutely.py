"""Ten thousand entries, every one `* * * * *`, on Redis, SQLite and PostgreSQL; the broker is Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
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
RIVAL_SECONDS: Final = 15.0
RIVAL_STARTS: Final = 15.0
"""Seconds that a rival may take to write its rows and to send its first message, if it is to be done in time."""
MINUTE: Final = 60
HOLD: Final = 0.01
"""Seconds before a full minute at which the processes are held. A wait that is interrupted goes on with what was
left of it, so this much is added to what is measured."""
METHOD: Final = (
    "{entries:,} crontabs `* * * * *`. Three qbeats, one on each store, are at rest when a full minute comes; to keep "
    "them from sharing the machine, each waits (SIGSTOP) until the one before is done. Measured from the minute, or "
    "from the moment at which it may go on, until the last message is in the queue. The rivals get an easier task: "
    "all entries are overdue at their start, and the clock runs from the last moment at which the queue is empty, so "
    "what they do before their first message does not count (RedBeat loads all that is due, celery beat puts it in "
    "order). Each is watched once, until it is done or for {seconds:g} s, in the pauses between qbeat's minutes. Both "
    "databases are durable: SQLite as each contender opens it, PostgreSQL as it is shipped; the rivals' entries on "
    "them are rows. *Times*: the rate of qbeat on the same store, in rates of this contender."
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


Measured = Sequence[tuple[Rival, Burst]]

RIVALS: Final = (
    Rival(CELERY_BEAT, "file", QBEAT_ON_REDIS, 1_000),
    Rival(REDBEAT, "Redis", QBEAT_ON_REDIS, None),
    Rival(DJANGO, "SQLite", QBEAT_ON_FILE, 200),
    Rival(SQLALCHEMY, "SQLite", QBEAT_ON_FILE, 200),
    Rival(DJANGO, "PostgreSQL", QBEAT_ON_SQL, 200),
    Rival(SQLALCHEMY, "PostgreSQL", QBEAT_ON_SQL, 200),
)
OURS: Final = (QBEAT_ON_REDIS, QBEAT_ON_FILE, QBEAT_ON_SQL)


@dataclass
class _Rivals:
    """Those that have still to be measured, each in a pause that is long enough, and what was found."""

    redis: RedisServer
    postgres: DurablePostgres
    entries: int
    window: float
    waiting: list[Rival]
    found: list[tuple[Rival, Burst]] = field(default_factory=list)

    def measure_until_minute(self) -> None:
        """Measure as many as can be done before the next full minute."""
        while self.waiting and time.time() % MINUTE + RIVAL_STARTS + self.window < MINUTE:
            self._measure_next()

    def measure_rest(self) -> None:
        """Measure all others."""
        while self.waiting:
            self._measure_next()

    def _measure_next(self) -> None:
        rival = self.waiting.pop(0)
        new = self.postgres.database_url(self.postgres.new_database())
        database = new if rival.store == "PostgreSQL" else SQLITE
        # A database of Redis that no qbeat uses.
        with (
            emptied(self.redis, database, len(OURS)) as place,
            rival.contender.running(place, overdue(self.entries)) as process,
        ):
            burst = measure(RedisQueue(place.broker), process, self.entries, window=self.window)
        self.found.append((rival, burst))


def run(sizes: Sizes) -> Part:
    """Compare qbeat with Celery's own beat, RedBeat, django-celery-beat and sqlalchemy-celery-beat."""
    entries, seconds = sizes.entries_or(ENTRIES), sizes.seconds_or(RIVAL_SECONDS)
    waiting = [rival for rival in RIVALS if rival.contender.is_here]
    with RedisServer() as redis, DurablePostgres() as postgres:
        rivals = _Rivals(redis, postgres, entries, seconds, waiting)
        ours = _on_the_minute(redis, postgres, entries, sizes.repeats, rivals)
        rivals.measure_rest()
    rows = [burst_row(name, entries, bursts) for name, bursts in ours.items()]
    rows += _rows(ours, rivals.found, entries)
    method = METHOD.format(entries=entries, seconds=seconds)
    return Part("Every minute", method, rows, list(_goals(ours, rivals.found)))


def _on_the_minute(
    redis: RedisServer, postgres: DurablePostgres, entries: int, rounds: int, rivals: _Rivals
) -> dict[str, list[Burst]]:
    bursts: dict[str, list[Burst]] = {contender.name: [] for contender in OURS}
    with ExitStack() as ending:
        database = postgres.database_url(postgres.new_database())
        running: dict[str, tuple[RedisQueue, Process]] = {}
        load = overdue(entries)
        for number, contender in enumerate(OURS):
            # A database of Redis for each, as the broker of this one alone.
            place = ending.enter_context(emptied(redis, database, number))
            process = ending.enter_context(contender.running(place, load))
            running[contender.name] = RedisQueue(place.broker), process
            measure(*running[contender.name], entries, window=WINDOW)
        for _ in range(rounds):
            rivals.measure_until_minute()
            for name, burst in _one_minute(running, entries):
                bursts[name].append(burst)
    return bursts


def _one_minute(
    running: Mapping[str, tuple[RedisQueue, Process]], entries: int
) -> Iterator[tuple[str, Burst]]:
    """Let the processes meet the next full minute, one by one."""
    minute = (time.time() + 1) // MINUTE * MINUTE + MINUTE
    time.sleep(minute - 0.5 - time.time())
    for queue, _ in running.values():
        queue.clear()
    time.sleep(max(0.0, minute - HOLD - time.time()))
    _, *others = (process for _, process in running.values())
    for process in others:
        process.pause()
    due_at = minute
    for name, (queue, process) in running.items():
        process.resume()
        yield name, measure(queue, process, entries, window=WINDOW, due_at=due_at)
        due_at = time.time()


def overdue(entries: int) -> Load:
    """Return crontabs that should have fired at the latest full minute."""
    return Load(entries, None, first_at=time.time() // MINUTE * MINUTE)


def _rows(ours: Mapping[str, list[Burst]], theirs: Measured, entries: int) -> Iterator[Row]:
    for rival, burst in theirs:
        yield burst_row(rival.name, entries, [burst], median_rate(ours[rival.ours.name]))


def _goals(ours: Mapping[str, list[Burst]], theirs: Measured) -> Iterator[Goal]:
    for rival, burst in theirs:
        if rival.wanted is not None:
            ratio = median_rate(ours[rival.ours.name]) / burst.rate
            yield at_least(f"rate against {rival.name}", ratio, rival.wanted)
