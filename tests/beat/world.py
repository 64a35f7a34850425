"""A world with a clock of its own: replicas on one store, publishing to a broker that can go away."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from qbeat.beat.clock import VirtualClock
from qbeat.beat.entries import Entry, generation_of
from qbeat.beat.policies import Policies
from qbeat.beat.publishing.base import Result, Submission, Verdict
from qbeat.beat.publishing.recording import RecordingPublisher
from qbeat.beat.scheduler import Scheduler
from qbeat.beat.timings import Timings
from qbeat.schedules import Interval, Schedule
from qbeat.schedules.base import SECOND, to_us
from qbeat.store.base import Store, StoreUnavailable
from qbeat.store.memory import MemoryStore
from qbeat.store.records import EntryRecord, Firing, HistoryRecord, ReplicaRecord

START = to_us(datetime(2026, 3, 27, 12, 0, 0, 250_000, tzinfo=UTC))
MAX_TURNS = 500_000


def entry(name: str, schedule: Schedule | float, **changes: Any) -> Entry:
    """An entry of the task ``tasks.<name>``; ``catch_up`` and its kin are policies."""
    given = {key: changes.pop(key) for key in list(changes) if key in Policies.__dataclass_fields__}
    policies = Policies(**given)
    if not isinstance(schedule, Schedule):
        schedule = Interval(schedule)
    resolved = policies.apply(schedule).resolve(name=name, timezone="UTC")
    return Entry(name, f"tasks.{name}", resolved, "UTC", policies=policies, **changes)


class Broker:
    """What all replicas publish to. While it is not ``up``, it refuses."""

    def __init__(self) -> None:
        self.up = True
        self.takes_each_once = False
        self.submissions: list[Submission] = []

    def task_ids(self) -> list[str]:
        return [submission.firing.task_id for submission in self.submissions]

    def fire_times(self, name: str) -> list[int]:
        return [
            submission.firing.fire_time for submission in self.submissions if submission.firing.entry == name
        ]


class Publisher(RecordingPublisher):
    """Publishes to the broker of the world; what it does wrong can be set."""

    def __init__(self, clock: VirtualClock, broker: Broker) -> None:
        super().__init__(clock)
        self.broker = broker
        self.broken: set[str] = set()
        """Entries that fail by their own fault."""
        self.holding = False
        """Whether results are kept back, as of a broker that does not answer."""
        self.slow: dict[str, float] = {}
        """Entries whose firings go out one by one, and how many seconds each takes."""
        self.judge: Callable[[Submission], Verdict] = self._verdict
        """What becomes of a submission."""
        self._lines: dict[str, deque[Submission]] = {}
        self._busy_until: dict[str, float] = {}

    @property
    def exactly_once(self) -> bool:
        return self.broker.takes_each_once

    @property
    def ready(self) -> bool:
        return self.available or self.broker.up

    @property
    def in_flight(self) -> int:
        return super().in_flight + sum(map(len, self._lines.values()))

    def holds(self, firing: Firing) -> bool:
        waiting = self._lines.get(firing.entry, ())
        return super().holds(firing) or any(submission.firing == firing for submission in waiting)

    def submit(self, submissions: Sequence[Submission]) -> None:
        for submission in submissions:
            if submission.firing.entry in self.slow:
                self._lines.setdefault(submission.firing.entry, deque()).append(submission)
            else:
                self._publish(submission, self.judge(submission))

    def collect(self) -> list[Result]:
        for name, line in self._lines.items():
            self._work_off(name, line)
        return [] if self.holding else super().collect()

    def _work_off(self, name: str, line: deque[Submission]) -> None:
        """Publish the first in line if its time is over; send back those that have waited too long, start the next."""
        now = self._clock.monotonic()
        if name in self._busy_until and now >= self._busy_until[name]:
            del self._busy_until[name]
            self._publish(line.popleft(), Verdict.PUBLISHED)
        if name not in self._busy_until:
            while line and line[0].start_before < now:
                self._publish(line.popleft(), Verdict.UNSENT)
            if line:
                self._busy_until[name] = now + self.slow[name]

    def _publish(self, submission: Submission, verdict: Verdict) -> None:
        self.verdict = verdict
        super().submit([submission])
        if verdict is Verdict.PUBLISHED:
            self.broker.submissions.append(submission)

    def close(self, timeout: float) -> list[Result]:
        return self.collect()

    def _verdict(self, submission: Submission) -> Verdict:
        self.available = self.broker.up
        if not self.broker.up:
            return Verdict.UNSENT
        return Verdict.FAILED if submission.firing.entry in self.broken else Verdict.PUBLISHED


class FlakyStore(MemoryStore):
    """A store that can be away: then every call raises, before or after it has done its work."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock.now)
        self.away = False
        self.answers_lost = False
        """Whether the work is done all the same, and only the answer is lost."""

        self._called = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in {"entries", "save", "claim", "settle", "take_over", "overdue", "heartbeat", "leave"}:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._called:  # from inside the store
                return found(*args, **kwargs)
            if self.away:
                raise StoreUnavailable("the store does not answer")
            self._called = True
            try:
                answer = found(*args, **kwargs)
            finally:
                self._called = False
            if self.answers_lost and name in {"claim", "settle", "save"}:
                raise StoreUnavailable("the store's answer is lost")
            return answer

        return call


class Replica:
    """One scheduler with its publisher."""

    def __init__(self, world: World, number: int, entries: Iterable[Entry], timings: Timings | None) -> None:
        by_name = {one.name: one for one in entries}
        self.publisher = Publisher(world.clock, world.broker)
        self.record = ReplicaRecord(
            f"replica-{number}", "host", number, "1", generation_of(by_name.values()), world.clock.now()
        )
        self.scheduler = Scheduler(
            store=world.store, publisher=self.publisher, clock=world.clock, entries=by_name,
            replica=self.record, timings=timings,
        )  # fmt: skip
        self.scheduler.start()
        self.alive = True
        self.store_was_away = 0

    def tick(self) -> float:
        try:
            return self.scheduler.tick()
        except StoreUnavailable:
            self.store_was_away += 1
            return 0.2

    def load(self) -> int:
        """Tick until all entries are loaded, without time going by; return how many ticks that took."""
        ticks = 0
        while not self.scheduler.has_loaded:
            ticks += 1
            self.tick()
        return ticks

    def crash(self) -> None:
        """End without a word."""
        self.alive = False

    def stop(self) -> None:
        """End as on SIGTERM."""
        self.alive = False
        self.scheduler.stop(0.0)


class World:
    """Time passes only in ``run``, from one tick to the next."""

    def __init__(self, make_store: Callable[[VirtualClock], Store] = FlakyStore) -> None:
        self.clock = VirtualClock(START)
        self.store = make_store(self.clock)
        self.broker = Broker()
        self.replicas: list[Replica] = []

    def start(self, *entries: Entry, timings: Timings | None = None) -> Replica:
        replica = Replica(self, len(self.replicas) + 1, entries, timings)
        self.replicas.append(replica)
        return replica

    def run(self, seconds: float) -> int:
        """Let time pass, and every living replica tick whenever it wants to; return how many ticks there were."""
        end = self.clock.monotonic() + seconds
        for turn in range(MAX_TURNS):
            waits = [replica.tick() for replica in self.replicas if replica.alive]
            left = end - self.clock.monotonic()
            if left <= 0:
                return turn
            self.clock.advance(min([*waits, left]))
        raise AssertionError(
            f"{MAX_TURNS} turns did not make {seconds} seconds: somebody is busy with nothing"
        )

    @property
    def now(self) -> int:
        return self.clock.now()

    def record(self, name: str) -> EntryRecord:
        [found] = self.store.entries([name])
        return found

    def history(self, name: str | None = None, *outcomes: str) -> list[HistoryRecord]:
        records = self.store.history(entries=None if name is None else [name])
        return [record for record in records if not outcomes or record.outcome in outcomes]

    def told(self, name: str) -> list[tuple[float, str]]:
        """The history of an entry: seconds since the start of the world, and how it ended."""
        return [
            ((record.fire_time - START) / SECOND, record.reason or record.outcome)
            for record in self.history(name)
        ]

    def unaccounted(self, one: Entry, since: int, until: int) -> list[int]:
        """The fire times in (since, until] that the history does not have exactly once."""
        record = self.record(one.name)
        found: list[int] = []
        for item in self.history(one.name):
            if item.fire_time == item.last_fire_time:
                found.append(item.fire_time)
            else:
                found += walk(one.schedule, record.anchor, item.fire_time - 1, item.last_fire_time)
        return [
            time for time in walk(one.schedule, record.anchor, since, until) if found.count(time) != 1
        ] + [time for time in found if since < time <= until and found.count(time) > 1]


def walk(schedule: Schedule, anchor: int, after: int, until: int) -> list[int]:
    """All fire times in (after, until], one by one."""
    found = []
    instant = schedule.next_us(after, anchor)
    while instant is not None and instant <= until:
        found.append(instant)
        instant = schedule.next_us(instant, anchor)
    return found


def changed(one: Entry, **changes: Any) -> Entry:
    """The entry as a later version of the code declares it."""
    return replace(one, **changes)


def flaky(world: World) -> FlakyStore:
    """The world's store, that can be told to fail."""
    assert isinstance(world.store, FlakyStore)
    return world.store


def seconds(times: list[int]) -> list[float]:
    """Instants as seconds since the world began."""
    return [(time - START) / SECOND for time in times]
