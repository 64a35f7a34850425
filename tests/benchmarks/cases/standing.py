"""What many entries cost that are not due: the start, the memory, and the CPU time of a lull."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.bursts import PATIENCE, await_first, await_loaded
from tests.benchmarks.contenders import CELERY_BEAT, DECLARING, QBEAT_ON_REDIS, REDBEAT, Contender, Place
from tests.benchmarks.load import LAST, Load
from tests.benchmarks.places import emptied
from tests.benchmarks.processes import await_rest, cpu_share, resident
from tests.benchmarks.queues import RedisQueue, number_of
from tests.benchmarks.results import Goal, Part, Row, Sizes, at_most
from tests.servers import Process, RedisServer

ENTRIES: Final = 100_000
TIMES: Final = 10
"""The larger of qbeat's two sizes is so many times the smaller one."""
MONTH: Final = 30 * 24 * 60 * 60
LULL: Final = 15.0
REST: Final = 3.0
"""Percent of a core: a process that takes less is at rest, and the lull can be measured."""
REST_WITHIN: Final = 60.0
"""Seconds; one that has not come to rest by then is measured as it is."""


@dataclass(frozen=True)
class Standing:
    """Seconds from the start of the process to its first message, bytes, and CPU in a lull."""

    entries: int
    first_start: float
    """With an empty store."""
    all_loaded: float
    """To the first message of the entry that is declared last, at the first start."""
    restart: float | None
    """With the store that the first start has left; ``None`` if it was not measured."""
    memory: int
    per_entry: float
    """Bytes beyond what the app's own declarations take."""
    share: float
    """CPU of the lull, in percent of one core."""


def run(sizes: Sizes) -> Part:
    """Compare qbeat, at two sizes, with Celery's own beat and with RedBeat."""
    entries, lull = sizes.entries_or(ENTRIES), sizes.seconds_or(LULL)
    with RedisServer() as redis:
        some = _standing(QBEAT_ON_REDIS, redis, entries, lull)
        many = _standing(QBEAT_ON_REDIS, redis, entries * TIMES, lull, again=False)
        rivals = {
            rival.name: _standing(rival, redis, entries, lull)
            for rival in (CELERY_BEAT, REDBEAT)
            if rival.is_here
        }
    rows = [
        _row("qbeat", some),
        _row("qbeat", many),
        *(_row(name, found) for name, found in rivals.items()),
    ]
    return Part(
        "Many entries at rest",
        f"Two entries are due every {lull:g} s, the first and the last that are declared, all others in a month. *Start*: from the start of the process to its "
        "first message, with an empty store and again with the one that the first start has left; *all*: to the "
        "first message of the entry that is declared last, at the first start. Each takes also the time of Python's "
        "imports and of the app's own declarations. *Lull*: CPU time in "
        f"{lull:g} s, in percent of one core, once the process has come to rest. *Per entry*: the process's memory, less that of a process "
        "that only loads the app's declarations, less what both take with a single entry.",
        rows,
        [*_goals(some, many), *_against(some, rivals)],
    )


def _standing(
    contender: Contender, redis: RedisServer, entries: int, lull: float, *, again: bool = True
) -> Standing:
    queue = RedisQueue(redis.url)
    single = _beyond_app(contender, redis, 1, lull)
    with emptied(redis) as place:
        load = _load(entries, lull)
        declared = _declared(place, load)
        process = contender.prepare(place, load)
        try:
            began = time.time()
            first_start = _started(process, queue)
            all_loaded = _rearguard_came(process, queue) - began
            await_rest(process.pid, below=REST, within=REST_WITHIN)
            share = cpu_share(process.pid, lull)
            memory = resident(process.pid)
            restart = _restarted(process, queue, load) if again else None
        finally:
            process.kill()
    return Standing(
        entries, first_start, all_loaded, restart, memory, (memory - declared - single) / entries, share
    )


def _beyond_app(contender: Contender, redis: RedisServer, entries: int, lull: float) -> int:
    """Return the bytes that a contender takes beyond a process that only loads the app."""
    load = _load(entries, lull)
    with emptied(redis) as place, contender.running(place, load) as process:
        await_loaded(RedisQueue(place.broker), process)
        await_rest(process.pid, below=REST, within=REST_WITHIN)
        return resident(process.pid) - _declared(place, load)


def _load(entries: int, lull: float) -> Load:
    now = time.time()
    return Load(entries, MONTH, first_at=now + MONTH, herald=lull, herald_at=now)


def _started(process: Process, queue: RedisQueue) -> float:
    began = time.time()
    process.start()
    return await_first(queue, process) - began


def _rearguard_came(process: Process, queue: RedisQueue) -> float:
    deadline = time.time() + PATIENCE
    while LAST not in map(number_of, queue.payloads()):
        assert process.is_running, process.tail()
        assert time.time() < deadline, process.tail()
        time.sleep(queue.poll)
    return time.time()


def _restarted(process: Process, queue: RedisQueue, load: Load) -> float:
    process.terminate(within=60)
    _await_overdue(load)
    queue.clear()
    return _started(process, queue)


def _await_overdue(load: Load) -> None:
    """Wait until the herald's next fire time has gone by, so that a start finds it overdue."""
    assert load.herald is not None
    since = (time.time() - load.herald_at) % load.herald
    time.sleep(load.herald - since + 1)


def _declared(place: Place, load: Load) -> int:
    process = DECLARING.prepare(place, load)
    process.start()
    assert process.wait(within=300) == 0, process.tail()
    return int(process.output.split()[-1])


def _goals(some: Standing, many: Standing) -> Iterator[Goal]:
    for found in (some, many):
        yield at_most(f"CPU of a lull with {found.entries:,} entries, % of a core", found.share, 1)
    yield at_most(f"that of {many.entries:,} against {some.entries:,} entries", many.share / some.share, 2)
    for found in (some, many):
        yield at_most(f"bytes per entry of {found.entries:,}", found.per_entry, 1_024)


def _against(some: Standing, rivals: dict[str, Standing]) -> Iterator[Goal]:
    for name, rival in rivals.items():
        yield at_most(f"first start against {name}", some.first_start / rival.first_start, 0.2)
        if some.restart and rival.restart:
            yield at_most(f"restart against {name}", some.restart / rival.restart, 0.2)


def _row(name: str, found: Standing) -> Row:
    return {
        "": name,
        "entries": found.entries,
        "start, s": found.first_start,
        "all, s": found.all_loaded,
        "start again, s": found.restart,
        "memory, MB": found.memory / 1e6,
        "per entry, bytes": found.per_entry,
        "lull, % of a core": found.share,
    }
