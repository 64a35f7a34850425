"""Lets one history happen: plans it, turns the world, brings it to rest, and has it judged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final
from unittest.mock import patch

from qbeat.schedules.base import SECOND
from qbeat.store.memory import MemoryStore
from tests.simulation.broker import Broker
from tests.simulation.invariants import Facts, judge
from tests.simulation.ledger import Ledger
from tests.simulation.machine import Machine
from tests.simulation.plan import Event, Plan, draw_plan
from tests.simulation.replica import Replica
from tests.simulation.world import Weather, World

TIME_TO_REST: Final = 90
"""Seconds in which everything must have come to rest once all faults have stopped."""
NARROW: Final = {
    "scheduler.BATCH": 2,
    "scheduler.LOADED_AT_ONCE": 2,
    "dispatcher.MAX_IN_FLIGHT": 3,
    "dispatcher.MAX_BATCH": 2,
    "registry.BATCH": 2,
    "decide.CATCH_UP_BATCH": 3,
    "claiming.MAX_FIRINGS": 5,
}
NARROWEST: Final = {"scheduler.BATCH": 1}
"""Where claims publish, and several batches of them are under way."""
TIME_TO_FORGET: Final = 4 * SECOND
"""After so long, replicas that are no more have been forgotten, and their shares divided."""
GRACE: Final = 2 * SECOND
"""Fire times of the last moments may still be under way."""


@dataclass
class Verdict:
    """How a history ended."""

    seed: int
    plan: Plan
    problems: list[str]
    figures: dict[str, int]
    story: list[str] = field(default_factory=list)


def run_history(seed: int, *, trace: bool = False) -> Verdict:
    """Let the history of ``seed`` happen and return what is wrong with it."""
    with _repeatable(seed):
        history = History(seed, trace=trace)
        with _narrowed(history.plan) if history.plan.narrow else nullcontext():
            problems = history.run()
    return Verdict(seed, history.plan, problems, history.figures(), history.world.story or [])


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Take out of the code under test what differs from run to run, and what only costs time."""
    random = Random(~seed)
    logger = logging.getLogger("qbeat")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        # Fewer buckets do for a handful of entries.
        with patch("qbeat.beat.registry.token_hex", _ids(random)), patch("qbeat.beat.replicas.BUCKETS", 64):
            yield
    finally:
        logger.setLevel(level)


def _ids(random: Random) -> Callable[[int], str]:
    return lambda size: random.getrandbits(8 * size).to_bytes(size).hex()


@contextmanager
def _narrowed(plan: Plan) -> Iterator[None]:
    """Make a handful of firings fill batches and queues."""
    bounds = NARROW | NARROWEST if plan.way == "fused" else NARROW
    with ExitStack() as stack:
        for name, bound in bounds.items():
            stack.enter_context(patch(f"qbeat.beat.{name}", bound))
        yield


class History:
    """One history: the world, and the replicas that are started, stopped and killed in it."""

    def __init__(self, seed: int, *, trace: bool) -> None:
        random = Random(seed)
        self.plan = plan = draw_plan(random)
        self.world = world = World(random.getrandbits(64), plan.start)
        if trace:
            world.story = []
        self.ledger = Ledger()
        self.store = MemoryStore(lambda: world.now)
        self.broker = Broker(world, self.ledger, way=plan.way)
        self.machines = [
            Machine(number, plan.start - random.randrange(10**6 * SECOND), rate, skew)
            for number, (rate, skew) in enumerate(zip(plan.rates, plan.skews, strict=True))
        ]
        self.replicas: list[Replica | None] = [None] * len(self.machines)
        self.generations = [0] * len(self.machines)
        self.started = 0

    def run(self) -> list[str]:
        world, plan = self.world, self.plan
        world.weather = plan.weather
        for event in plan.events:
            if event.at > plan.length:
                continue
            world.after(event.at, partial(self._happen, event))
        for second in range(1, plan.length // SECOND + 1):
            world.after(second * SECOND, self._restart_some)
        world.run(plan.start + plan.length)
        at_rest = self._come_to_rest()
        problems = judge(self._facts()) if at_rest else ["it does not come to rest"]
        for replica in self.replicas:
            if replica is not None:
                replica.process.kill("is put away")
        return problems

    def figures(self) -> dict[str, int]:
        """Return what there was to judge."""
        return {
            "firings": len(self.ledger.arrivals),
            "replicas": self.started,
            "seconds": (self.world.now - self.plan.start) // SECOND,
        }

    def _facts(self) -> Facts:
        return Facts(
            plan=self.plan,
            ledger=self.ledger,
            entries={record.uid: record for record in self.store.entries()},
            history=list(self.store.history()),
            running=[replica.entries for replica in self.running()],
            until=self.world.now - GRACE,
            now=self.world.now,
        )

    def running(self) -> list[Replica]:
        """Return the replicas that live."""
        return [replica for replica in self.replicas if replica is not None and replica.process.alive]

    # --- what is planned

    def _happen(self, event: Event) -> None:
        getattr(self, f"_{event.what}")(event)

    def _start(self, event: Event) -> None:
        self.generations[event.machine] = event.value
        self._start_on(self.machines[event.machine])

    def _start_on(self, machine: Machine) -> None:
        if self._running(machine.number) is not None:
            return
        self.started += 1
        name = f"r{self.started}"
        entries = self.plan.generations[self.generations[machine.number]]
        self.world.tell(name, f"starts on machine {machine.number} with {', '.join(entries) or 'no entries'}")
        self.replicas[machine.number] = Replica(
            self.world,
            machine,
            name,
            store=self.store,
            broker=self.broker,
            ledger=self.ledger,
            entries=entries,
            timings=self.plan.timings,
        )

    def _stop(self, event: Event) -> None:
        if replica := self._running(event.machine):
            self._note_end(replica)
            replica.stop()

    def _kill(self, event: Event) -> None:
        if replica := self._running(event.machine):
            self._note_end(replica)
            replica.process.kill()

    def _note_end(self, replica: Replica) -> None:
        unsettled = frozenset(record.uid for record in self.store.history() if record.outcome == "claimed")
        self.ledger.ended.append((self.world.now, replica.name, unsettled))

    def _pause(self, event: Event) -> None:
        if replica := self._running(event.machine):
            replica.process.pause(event.value)

    def _jump(self, event: Event) -> None:
        self.world.tell(f"machine {event.machine}", f"sets its wall clock by {event.value / SECOND:+.1f} s")
        self.machines[event.machine].skew += event.value

    def _store(self, event: Event) -> None:
        self._take_away("store", event.value)

    def _broker(self, event: Event) -> None:
        self._take_away("broker", event.value)

    def _take_away(self, what: str, duration: int) -> None:
        self.world.tell(what, f"is away for {duration / SECOND:.1f} s")
        setattr(self.world, f"{what}_away", True)
        self.world.after(duration, lambda: self._bring_back(what))

    def _bring_back(self, what: str) -> None:
        self.world.tell(what, "is back")
        setattr(self.world, f"{what}_away", False)

    def _restart_some(self) -> None:
        """What a supervisor does about processes that have ended."""
        for machine in self.machines:
            if self._running(machine.number) is None and self.started and self.world.chance(0.3):
                self._start_on(machine)

    def _running(self, machine: int) -> Replica | None:
        replica = self.replicas[machine]
        return replica if replica is not None and replica.process.alive else None

    # --- the end

    def _come_to_rest(self) -> bool:
        """Stop all faults, and turn on until nothing is left to be done."""
        self.world.tell("world", "all faults stop")
        self.world.weather = Weather()
        self.world.store_away = self.world.broker_away = False
        for _ in range(TIME_TO_REST):
            if not self.running():
                self._start_on(self.machines[0])
            self.world.run(self.world.now + SECOND)
            if self._is_at_rest():
                break
        else:
            return False
        self.world.run(self.world.now + GRACE)
        return True

    def _is_at_rest(self) -> bool:
        now = self.world.now
        running = self.running()
        fault_free_since = self.plan.start + self.plan.length
        if now < max(self.world.trouble_until, fault_free_since) + TIME_TO_FORGET or not running:
            return False
        if any(
            replica.stopping or replica.last_good_tick < max(fault_free_since, now - 2 * SECOND)
            for replica in running
        ):
            return False
        held = [record for record in self.store.history() if record.outcome == "claimed"]
        return all(now - record.claimed_at < SECOND for record in held) and not self.store.overdue(
            now - SECOND, 1
        )
