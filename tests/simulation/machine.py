"""A machine with clocks of its own: the wall clock is wrong and jumps, the monotonic one runs a little off."""

from __future__ import annotations

from dataclasses import dataclass

from qbeat.beat.clock import Clock
from qbeat.schedules.base import SECOND
from tests.simulation.world import Process, World


@dataclass
class Machine:
    """Where one process runs at a time, and the next one after it."""

    number: int
    booted: int
    """When its monotonic clock began, in true time."""
    rate: float
    """How fast its monotonic clock runs; 1 is right."""
    skew: int
    """By how many microseconds its wall clock is wrong."""


class MachineClock(Clock):
    """The clocks of a machine as a process on it reads them."""

    def __init__(self, world: World, machine: Machine, process: Process) -> None:
        self._world = world
        self._machine = machine
        self._process = process

    def now(self) -> int:
        return self._world.now + self._machine.skew

    def monotonic(self) -> float:
        machine = self._machine
        return (self._world.now - machine.booted) * machine.rate / SECOND

    def wait(self, seconds: float) -> None:
        self._process.wait(round(seconds * SECOND / self._machine.rate))

    def wake(self) -> None:
        self._process.wake()
