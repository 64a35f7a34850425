"""The broker, and the way there: a publisher with the pool's behaviour whose threads live in simulated time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from qbeat.beat.clock import Clock
from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Publisher, Result, Submission, Verdict
from qbeat.beat.publishing.fused import Fusion
from qbeat.beat.publishing.plain import Answer
from qbeat.schedules.base import SECOND
from qbeat.store.records import Firing, Message
from tests.simulation.ledger import Arrival, Ledger
from tests.simulation.plan import Way
from tests.simulation.world import Process, World

KNOCK_EVERY: Final = SECOND // 5


class Broker:
    """What all replicas publish to.

    On an exactly-once kind it keeps a mark for each entry and lane, as ``push_marked.lua`` does: a firing
    that is not later than the mark is dropped, any other one moves the mark.
    """

    def __init__(self, world: World, ledger: Ledger, *, way: Way) -> None:
        self.world = world
        self.way = way
        self._ledger = ledger
        self._confirmed: set[tuple[str, str, int]] = set()
        self._marks: dict[tuple[str, str], int] = {}

    def push(self, firing: Firing, replica: str) -> None:
        """Take a message in, unless the mark says that it has been here before."""
        if self.way != "plain" and not self._moves_mark(firing):
            self.world.tell(replica, f"publishes {_short(firing, self.world)} again: dropped")
            self._ledger.dropped[replica, self.world.now // SECOND] += 1
            return
        self.take_in(firing, replica)

    def take_in(self, firing: Firing, replica: str) -> None:
        """Take a message in as it comes, as from a claim that pushes."""
        self.world.tell(replica, f"publishes {_short(firing, self.world)}")
        self._ledger.arrivals.append(
            Arrival(self.world.now, replica, firing.uid, firing.fire_time, firing.lane, firing.task_id)
        )

    def confirm(self, firing: Firing, replica: str) -> None:
        """Tell a replica that its message was taken in: it should never send that one again."""
        receipt = replica, firing.uid, firing.fire_time
        if receipt in self._confirmed:
            self._ledger.errors.append(
                f"{replica} sends {_short(firing, self.world)}, which was confirmed to it"
            )
        self._confirmed.add(receipt)

    def _moves_mark(self, firing: Firing) -> bool:
        field = firing.uid, firing.lane
        if firing.fire_time <= self._marks.get(field, -1):
            return False
        self._marks[field] = firing.fire_time
        return True


class SimulatedFusion(Fusion):
    """Gives claims their messages, except for every third entry, and now and then for the others too."""

    def __init__(self, world: World) -> None:
        self._world = world

    def refresh(self) -> None:
        """Nobody watches."""

    def message(self, entry: Entry, uid: str, fire_time: int, task_id: str) -> Message | None:
        unusual = int(entry.name[1:]) % 3 == 2 or self._world.chance(0.1)
        return None if unusual else Message("celery", task_id)

    def close(self) -> None:
        """Nothing to let go of."""


class SimulatedPublisher(Publisher):
    """Publishes each entry's firings one after another, as a task of its process for each entry."""

    def __init__(self, broker: Broker, process: Process, clock: Clock, now: Callable[[], int]) -> None:
        self._broker = broker
        self._world = process.world
        self._process = process
        self._clock = clock
        self._now = now
        self._queues: dict[str, deque[Submission]] = {}
        self._held: set[tuple[str, int, str]] = set()
        self._results: list[Result] = []
        self._stuck: set[str] = set()
        self._ready = False

    def start(self) -> None:
        self._process.spawn(self._knock)

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def exactly_once(self) -> bool:
        return self._broker.way != "plain"

    @property
    def in_flight(self) -> int:
        return len(self._held)

    def holds(self, firing: Firing) -> bool:
        return _key(firing) in self._held

    def submit(self, submissions: Sequence[Submission]) -> None:
        for submission in submissions:
            uid = submission.firing.uid
            self._held.add(_key(submission.firing))
            if uid in self._stuck:
                self._results.append(Result(submission, Verdict.UNSENT, self._now()))
            elif uid in self._queues:
                self._queues[uid].append(submission)
            else:
                self._queues[uid] = deque([submission])
                self._process.spawn(partial(self._work_off, uid))
        if submissions:
            self._process.sleep(0)

    def collect(self) -> list[Result]:
        self._process.sleep(0)
        results, self._results = self._results, []
        self._stuck.clear()
        self._held.difference_update(_key(result.submission.firing) for result in results)
        return results

    def close(self, timeout: float) -> list[Result]:
        deadline = self._clock.monotonic() + timeout
        while self._queues and self._clock.monotonic() < deadline:
            self._process.sleep(SECOND // 100)
        return self.collect()

    def _work_off(self, uid: str) -> None:
        queue = self._queues[uid]
        while queue:
            submission = queue[0]
            verdict, error = self._send(submission)
            queue.popleft()
            self._results.append(Result(submission, verdict, self._now(), error))
            if verdict is not Verdict.PUBLISHED:
                self._give_back(uid)
            self._clock.wake()
        del self._queues[uid]

    def _send(self, submission: Submission) -> Answer:
        world, process = self._world, self._process
        process.sleep(world.latency())
        if self._clock.monotonic() > submission.start_before:
            return Verdict.EXPIRED, None
        if world.chance(world.weather.entry_fails):
            return Verdict.FAILED, "its argument cannot be serialized"
        if world.broker_away:
            return self._find_nobody()
        process.sleep(world.latency())
        if world.chance(world.weather.send_fails):
            return self._send_in_vain(submission.firing)
        self._broker.push(submission.firing, process.name)
        process.sleep(world.latency())
        self._broker.confirm(submission.firing, process.name)
        return Verdict.PUBLISHED, None

    def _send_in_vain(self, firing: Firing) -> Answer:
        """Lose the message, or the confirmation, or have the message come long after everybody gave it up."""
        world = self._world
        fate = world.random.choice(("lost", "unconfirmed", "late"))
        world.tell(self._process.name, f"sends {_short(firing, world)}: {fate}")
        if fate == "unconfirmed":
            self._broker.push(firing, self._process.name)
        if fate == "late":
            world.after(
                world.random.randrange(1, 20 * SECOND), lambda: self._broker.push(firing, self._process.name)
            )
        timeout = world.random.choice((1_000, SECOND, 4 * SECOND))
        world.expect_trouble(timeout)
        self._process.sleep(timeout)
        return Verdict.UNCERTAIN, fate

    def _find_nobody(self) -> Answer:
        if self._ready:
            self._ready = False
            self._process.spawn(self._knock)
        for uid, queue in self._queues.items():
            # The first submission of a queue is being sent, and finds out by itself.
            first = queue.popleft()
            self._give_back(uid)
            queue.append(first)
        return Verdict.UNSENT, "no connection"

    def _give_back(self, uid: str) -> None:
        """Return the submissions behind one that failed: the outbox keeps their order."""
        self._stuck.add(uid)
        queue = self._queues[uid]
        while queue:
            self._results.append(Result(queue.popleft(), Verdict.UNSENT, self._now()))

    def _knock(self) -> None:
        self._process.sleep(self._world.latency())
        while self._world.broker_away:
            self._process.sleep(KNOCK_EVERY)
        self._ready = True
        self._clock.wake()


def _key(firing: Firing) -> tuple[str, int, str]:
    return firing.uid, firing.fire_time, firing.lane


def _short(firing: Firing, world: World) -> str:
    return f"{firing.uid[:4]} {(firing.fire_time - world.start) / SECOND:.3f}"
