"""Several real qbeat processes on one store and one broker, and a nemesis that breaks them."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, TypeVar

from qbeat.beat.errors import UNAVAILABLE
from tests.servers.beat import QbeatProcess
from tests.servers.proxy import TcpProxy
from tests.servers.server import Server
from tests.servers.waiting import eventually
from tests.torture.stepped_clock import SteppedClock, can_step

T = TypeVar("T")

Fault = Callable[[], None]

STEPS = (-3600, -30, -5, 5, 30, 3600)
"""Seconds by which a replica's wall clock is wrong."""
STEPS_OF_A_STORE = (-3600, -30, -5, 5)
"""The same where it is the store's clock too: what has fired ahead of the time makes for a long silence after."""


class Replica:
    """One qbeat process, started again under the same name after each end; ``clock`` steps its wall clock."""

    def __init__(self, number: int, folder: Path, store: str, *, steppable: bool = False) -> None:
        self.folder = folder / f"replica-{number}"
        self.folder.mkdir()
        shutil.copy(folder / "tasks.py", self.folder)
        self.clock = SteppedClock(self.folder) if steppable and can_step() else None
        environment = self.clock.environment if self.clock else None
        self.process = QbeatProcess(self.folder, "-A", "tasks", "-s", store, "-l", "INFO", env=environment)


class Cluster:
    """Replicas that run until the end of the test, and what can happen to them."""

    def __init__(
        self, replicas: Sequence[Replica], chance: random.Random, *, own_clocks: bool = False
    ) -> None:
        """``own_clocks``: the replicas' clocks are the store's, as SQLite's are."""
        self.replicas = replicas
        self.log: list[str] = []
        self.faults_struck = 0
        self.breaths_with_firings = 0
        self._own_clocks = own_clocks
        self._chance = chance
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        for replica in self.replicas:
            replica.process.start()
        for replica in self.replicas:
            replica.process.wait_for("fired for", within=60)
        return self

    def __exit__(self, *_: object) -> None:
        for replica in self.replicas:
            replica.process.end()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._since

    def pids(self) -> set[int]:
        """The processes that run as replicas now."""
        return {replica.process.pid for replica in self.replicas}

    def revive(self) -> None:
        """Start again what found no store when it started and said so, as a service manager would."""
        for replica in self.replicas:
            if not replica.process.is_running:
                assert replica.process.exit_code == UNAVAILABLE, replica.process.tail()
                assert "is starting" not in replica.process.output, "one that ran has ended by itself"
                self.log.append("start again")
                replica.process.start()

    def stop(self) -> list[int]:
        """End all replicas gracefully; return their exit codes."""
        return [replica.process.terminate(within=30) for replica in self.replicas]

    def faults(self) -> dict[str, Fault]:
        """What can happen to a replica."""
        found = {"kill -9": self._kill, "pause": self._pause}
        if all(replica.clock for replica in self.replicas):
            found["clock"] = self._step
        return found

    def strike(self, faults: dict[str, Fault], count: int) -> None:
        """Let ``count`` faults happen, one after the other, with breaths of random length in between."""
        for _ in range(count):
            name = self._chance.choice(sorted(faults))
            self.log.append(name)
            self.faults_struck += 1
            before = self._fired()
            faults[name]()
            self.breathe(0.2, 1.5)
            self.breaths_with_firings += self._fired() > before
            self.revive()
        for replica in self.replicas:
            if replica.clock:
                replica.clock.step(0)

    def rest(self, has_come: Callable[[], bool]) -> None:
        """Wait until all replicas run and rest has come."""

        def rested() -> bool:
            self.revive()
            return has_come()

        eventually(rested, within=90, what=f"rest after {self.log}")

    def breathe(self, least: float, most: float) -> None:
        """Let real time pass: when faults happen is what is drawn."""
        time.sleep(self._chance.uniform(least, most))

    def one_of(self, candidates: Sequence[T]) -> T:
        """Draw one of these."""
        return self._chance.choice(candidates)

    def _one(self) -> Replica:
        return self.one_of(self.replicas)

    def _kill(self) -> None:
        replica = self._one()
        replica.process.kill()
        self.breathe(0.0, 1.0)
        replica.process.start()

    def _pause(self) -> None:
        replica = self._one()
        replica.process.pause()
        self.breathe(4.0, 5.0)  # longer than it takes to be thought dead, and than uncertain_after
        replica.process.resume()

    def _step(self) -> None:
        # Where the clocks are the store's, one of them stays right, so that entries go on firing.
        replica = self.replicas[0] if self._own_clocks else self._one()
        assert replica.clock is not None
        replica.clock.step(self.one_of(STEPS_OF_A_STORE if self._own_clocks else STEPS))

    def _fired(self) -> int:
        """Return how many firings the replicas have told of since the test began."""
        return sum(replica.process.log.read_bytes().count(b") fired for ") for replica in self.replicas)


def broken_link(proxy: TcpProxy, cluster: Cluster) -> Fault:
    """A fault: connections are cut for a moment, or swallow everything, or are reset once."""

    def strike() -> None:
        cluster.one_of([proxy.cut, proxy.freeze, proxy.drop])()
        cluster.breathe(0.5, 2.0)
        proxy.restore()

    return strike


def restarted(server: Server, cluster: Cluster) -> Fault:
    """A fault: the server is killed and comes back."""

    def strike() -> None:
        server.kill()
        cluster.breathe(0.2, 1.0)
        server.start()

    return strike


def faults_wanted(usual: int) -> int:
    """How many faults each test draws: few in the ordinary run, as many as QBEAT_FAULTS says in a long one."""
    return int(os.environ.get("QBEAT_FAULTS", str(usual)))
