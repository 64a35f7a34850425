"""A replica that ends at its n-th step: before or after one call to the store or the broker."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import redis

from qbeat.beat.clock import Clock
from qbeat.beat.entries import Entry, generation_of
from qbeat.beat.firing_ids import task_id_of
from qbeat.beat.policies import Policies
from qbeat.beat.publishing.base import Submission
from qbeat.beat.publishing.fused import Fusion
from qbeat.beat.publishing.recording import RecordingPublisher
from qbeat.beat.scheduler import Scheduler
from qbeat.beat.timings import Timings
from qbeat.schedules import Interval
from qbeat.schedules.base import SECOND
from qbeat.store.base import Store
from qbeat.store.records import AUTO, EntryRecord, Firing, HistoryRecord, Message, ReplicaRecord
from tests.store import making

CALLS: Final = {"heartbeat", "now", "entries", "save", "overdue", "claim", "settle", "take_over", "leave"}
TIMINGS: Final = Timings(uncertain_after=2.0)


class Crash(BaseException):
    """The end, at once."""


class Tripwire:
    """Counts steps once it is armed, and ends the process after one of them, or at the first of a kind."""

    def __init__(
        self, at: int | None = None, *, what: str | None = None, end: Callable[[], None] | None = None
    ):
        self.steps: list[str] = []
        """What was done since it was armed."""
        self._at = at
        self._what = what
        self._end = end
        self._armed = what is not None

    def arm(self) -> None:
        """Begin to count."""
        self._armed = True

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        """Step before and after a call."""
        self._step(f"before {call}")
        yield
        self._step(f"after {call}")

    def _step(self, step: str) -> None:
        if not self._armed:
            return
        self.steps.append(step)
        if len(self.steps) - 1 == self._at or step == self._what:
            if self._end is not None:
                self._end()
            raise Crash


class WiredStore:
    """A store each of whose calls is two steps."""

    def __init__(self, store: Store, wire: Tripwire) -> None:
        self._store = store
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in CALLS:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._wire.around(name):
                return found(*args, **kwargs)

        return call


class Broker:
    """What was published; with marks if publishing is exactly once."""

    def __init__(self, *, exactly_once: bool) -> None:
        self.exactly_once = exactly_once
        self._task_ids: list[str] = []
        self._marks: dict[str, int] = {}

    def push(self, firing: Firing) -> None:
        """Take a message in, unless the mark says that it has been here before."""
        if self.exactly_once and firing.fire_time <= self._marks.get(firing.uid, -1):
            return
        self._marks[firing.uid] = firing.fire_time
        self._task_ids.append(firing.task_id)

    def published(self) -> Counter[str]:
        """Return how often each task id was published."""
        return Counter(self._task_ids)


class RedisBroker(Broker):
    """A Redis into whose list claims push, beside what is published with marks."""

    key = "celery"

    def __init__(self, url: str) -> None:
        super().__init__(exactly_once=True)
        self._redis: Any = redis.Redis.from_url(url, decode_responses=True)
        self._redis.delete(self.key)

    def published(self) -> Counter[str]:
        return super().published() + Counter(self._redis.lrange(self.key, 0, -1))


class FileBroker(Broker):
    """A broker that outlives its processes: each message is a line in a file. At least once."""

    def __init__(self, path: Path) -> None:
        super().__init__(exactly_once=False)
        self._path = path

    def push(self, firing: Firing) -> None:
        with self._path.open("a") as file:
            file.write(f"{firing.task_id}\n")

    def published(self) -> Counter[str]:
        return Counter(self._path.read_text().split() if self._path.exists() else ())


class WiredPublisher(RecordingPublisher):
    """A publisher that steps before and after each message."""

    def __init__(self, broker: Broker, clock: Clock, wire: Tripwire) -> None:
        super().__init__(clock)
        self._broker = broker
        self._wire = wire

    @property
    def exactly_once(self) -> bool:
        return self._broker.exactly_once

    def submit(self, submissions: Sequence[Submission]) -> None:
        for submission in submissions:
            with self._wire.around("push"):
                self._broker.push(submission.firing)
            super().submit([submission])


class Pushing(Fusion):
    """Has claims push task ids into a list of the store's own Redis."""

    def __init__(self) -> None:
        """Without an app to render messages."""

    def refresh(self) -> None:
        """Nobody watches."""

    def message(self, entry: Entry, uid: str, fire_time: int, task_id: str) -> Message:
        return Message(RedisBroker.key, task_id)

    def close(self) -> None:
        """Nothing to let go of."""


class StoreClock(Clock):
    """A replica's clock that is the store's: both move when the test moves them."""

    def __init__(self, clock: making.Clock) -> None:
        self._clock = clock

    def now(self) -> int:
        return self._clock.now

    def monotonic(self) -> float:
        return (self._clock.now - making.START) / SECOND

    def wait(self, seconds: float) -> None:
        self._clock.now += max(1, round(seconds * SECOND))

    def wake(self) -> None:
        """Nobody waits."""


ENTRIES: Final[Mapping[str, Entry]] = {
    name: Entry(name, f"tasks.{name}", Interval(every), "UTC", policies=policies)
    for name, every, policies in (
        ("all", 1, Policies(catch_up="all")),
        ("latest", 2, Policies()),
        ("careful", 3, Policies(on_uncertain="skip")),
    )
}


class Replica:
    """One replica on a store, with a wire that may end it."""

    def __init__(self, name: str, scene: Scene, wire: Tripwire) -> None:
        self._clock = StoreClock(scene.clock)
        self.scheduler = Scheduler(
            store=cast("Store", WiredStore(scene.store, wire)),
            publisher=WiredPublisher(scene.broker, self._clock, wire),
            clock=self._clock,
            entries=ENTRIES,
            replica=ReplicaRecord(name, "host", 1, "1", generation_of(ENTRIES.values()), scene.clock.now),
            timings=TIMINGS,
            fusion=scene.fusion,
        )
        self.scheduler.start()

    def run(self, seconds: float) -> None:
        """Tick and wait for so long."""
        end = self._clock.monotonic() + seconds
        while self._clock.monotonic() < end:
            self._clock.wait(self.scheduler.tick())

    def stop(self) -> None:
        """End as on SIGTERM."""
        self.scheduler.stop(1.0)


@dataclass
class Scene:
    """Where a scenario plays."""

    store: Store
    broker: Broker
    clock: making.Clock
    fusion: Fusion | None = None

    def replica(self, name: str, wire: Tripwire | None = None) -> Replica:
        """Start a replica."""
        return Replica(name, self, wire or Tripwire())

    def clear(self) -> None:
        """Forget entries and replicas; the history of removed entries stays, under their uids."""
        self.store.remove([record.name for record in self.store.entries()])
        for replica in self.store.replicas():
            self.store.leave(replica.id)


# --- what a replica does that it may not survive


def first_start(scene: Scene, wire: Tripwire) -> None:
    """Find an empty store and declare everything."""
    replica = scene.replica("first", wire)
    wire.arm()
    replica.scheduler.tick()


def ordinary_tick(scene: Scene, wire: Tripwire) -> None:
    """Fire, and settle what was fired."""
    replica = scene.replica("ordinary", wire)
    replica.run(1.9)
    scene.clock.now += SECOND // 2
    wire.arm()
    replica.scheduler.tick()
    replica.scheduler.tick()


def work_in_the_outbox(scene: Scene, wire: Tripwire) -> None:
    """Take over what another replica has claimed and not published."""
    with suppress(Crash):
        scene.replica("dead", Tripwire(what="before push")).run(3)
    scene.clock.now += 4 * SECOND
    replica = scene.replica("heir", wire)
    wire.arm()
    replica.scheduler.tick()
    replica.scheduler.tick()


def graceful_stop(scene: Scene, wire: Tripwire) -> None:
    """Stop while what was fired is not settled yet."""
    replica = scene.replica("stopping", wire)
    replica.run(1.9)
    scene.clock.now += SECOND // 2
    replica.scheduler.tick()
    wire.arm()
    replica.stop()


Scenario = Callable[[Scene, Tripwire], None]

SCENARIOS: Final[tuple[Scenario, ...]] = (first_start, ordinary_tick, work_in_the_outbox, graceful_stop)


def recover(scene: Scene) -> list[str]:
    """Let a new replica put things right; return what is wrong then."""
    scene.replica("after").run(5.5)
    return [problem for record in scene.store.entries() for problem in _problems(scene, record)]


def _problems(scene: Scene, record: EntryRecord) -> Iterator[str]:
    published = scene.broker.published()
    outcomes: dict[int, list[HistoryRecord]] = defaultdict(list)
    for found in scene.store.history(entries=[record.name]):
        if found.uid == record.uid:
            for fire_time in _fire_times(record, found.fire_time - 1, found.last_fire_time):
                outcomes[fire_time].append(found)
    for fire_time in _fire_times(record, record.anchor, scene.clock.now - SECOND):
        endings = [found.outcome for found in outcomes[fire_time]]
        count = published[task_id_of(record.uid, fire_time, AUTO)]
        if len(endings) != 1 or not _agree(endings[0], count, record.name, scene.broker):
            after = (fire_time - record.anchor) / SECOND
            yield f"{record.name} {after:.0f} s after its start: {endings}, published {count} times"


def _agree(outcome: str, count: int, name: str, broker: Broker) -> bool:
    """Whether an outcome allows that so many messages were published."""
    most = 1 if broker.exactly_once or name == "careful" else 2
    least = 1 if outcome == "published" else 0
    return least <= count <= most and (outcome in {"published", "failed"} or count == 0)


def _fire_times(record: EntryRecord, after: int, until: int) -> Iterator[int]:
    schedule = ENTRIES[record.name].schedule
    fire_time = schedule.next_us(after, record.anchor)
    while fire_time is not None and fire_time <= until:
        yield fire_time
        fire_time = schedule.next_us(fire_time, record.anchor)
