"""One replica: the real scheduler in a process of the simulated world, turned as the service turns it."""

from __future__ import annotations

import traceback
from typing import Final

from qbeat.beat.entries import generation_of
from qbeat.beat.scheduler import Scheduler
from qbeat.beat.store_time import StoreTime
from qbeat.beat.timings import Timings
from qbeat.schedules.base import SECOND
from qbeat.store.base import StoreUnavailable
from qbeat.store.memory import MemoryStore
from qbeat.store.records import ReplicaRecord
from tests.simulation.broker import Broker, SimulatedFusion, SimulatedPublisher
from tests.simulation.faulty_store import FaultyStore
from tests.simulation.ledger import Ledger
from tests.simulation.machine import Machine, MachineClock
from tests.simulation.plan import Entries
from tests.simulation.world import Process, World

SHUTDOWN_TIMEOUT: Final = 3.0
MIN_BACKOFF: Final = 0.2
MAX_BACKOFF: Final = 5.0
"""As in the service, whose loop needs an app."""


class Replica:
    """Runs from its start until it is stopped, is killed or crashes."""

    def __init__(
        self,
        world: World,
        machine: Machine,
        name: str,
        *,
        store: MemoryStore,
        broker: Broker,
        ledger: Ledger,
        entries: Entries,
        timings: Timings,
    ) -> None:
        self.name = name
        self.entries = entries
        self.process = Process(world, name)
        self.last_good_tick = 0
        self._ledger = ledger
        self.stopping = False
        self._clock = MachineClock(world, machine, self.process)
        faulty = FaultyStore(store, broker, self.process, ledger, entries)
        time = StoreTime(faulty, self._clock)
        self._scheduler = Scheduler(
            store=faulty,
            publisher=SimulatedPublisher(broker, self.process, self._clock, time.now),
            clock=self._clock,
            entries=entries,
            replica=_record(name, machine, entries, self._clock.now()),
            timings=timings,
            time=time,
            fusion=SimulatedFusion(world) if broker.way == "fused" else None,
        )
        self.process.spawn(self._run)

    def stop(self) -> None:
        """Ask it to end, as SIGTERM does."""
        self.process.world.tell(self.name, "is told to stop")
        self.stopping = True
        self.process.wake()

    def _run(self) -> None:
        try:
            self._turn()
        except Exception:  # noqa: BLE001 - whatever the code under test lets out is what we look for
            self._ledger.errors.append(f"{self.name}: {traceback.format_exc()}")
        self.process.die("has ended")

    def _turn(self) -> None:
        scheduler, world = self._scheduler, self.process.world
        scheduler.start()
        backoff = MIN_BACKOFF
        while not self.stopping:
            self._ledger.ticks[self.name, world.now // SECOND] += 1
            self.process.sleep(world.random.randrange(50, 500))  # what the processor takes
            try:
                wait, backoff = scheduler.tick(), MIN_BACKOFF
                self.last_good_tick = world.now
            except StoreUnavailable:
                wait, backoff = backoff, min(2 * backoff, MAX_BACKOFF)
            if not self.stopping:
                self._clock.wait(wait)
        try:
            scheduler.stop(SHUTDOWN_TIMEOUT)
        except StoreUnavailable:
            world.tell(self.name, "cannot tell the store that it leaves")


def _record(name: str, machine: Machine, entries: Entries, now: int) -> ReplicaRecord:
    return ReplicaRecord(
        id=name,
        host=f"machine-{machine.number}",
        pid=1,
        version="1",
        generation=generation_of(entries.values()),
        started_at=now,
    )
