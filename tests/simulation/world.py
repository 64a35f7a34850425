"""True time and what happens in it: a queue of events, and processes that can be paused and killed anywhere.

One thread, one random source, one queue: a seed gives the same history each time. The code of a process runs
in greenlets, so the real scheduler needs no change: wherever it waits for the store, the publisher or its
clock, it sleeps in true time, and others run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from greenlet import getcurrent, greenlet

from qbeat.schedules.base import SECOND

Action = Callable[[], object]


class Killed(BaseException):
    """Ends a process wherever it stands; no ``except Exception`` of the code under test gets hold of it."""


@dataclass
class Weather:
    """What goes wrong at random; all figures are chances per call, at zero nothing goes wrong."""

    crash: float = 0.0
    pause: float = 0.0
    slow: float = 0.0
    store_fails: float = 0.0
    send_fails: float = 0.0
    entry_fails: float = 0.0


class World:
    """True time in microseconds since the epoch, and what is to happen when."""

    def __init__(self, seed: int, start: int) -> None:
        self.now = start
        self.start = start
        self.random = Random(seed)
        self.weather = Weather()
        self.store_away = False
        self.broker_away = False
        self.trouble_until = start
        """When the last of what has gone wrong already will have had its effect."""
        self.story: list[str] | None = None
        """What happened, line by line, for those who want to read it."""
        self.hub = getcurrent()
        self._queue: list[tuple[int, int, Action]] = []
        self._number = 0

    def after(self, microseconds: int, action: Action) -> None:
        """Let ``action`` happen after so long; of two at the same instant, the one asked for first is first."""
        self._number += 1
        heapq.heappush(self._queue, (self.now + microseconds, self._number, action))

    def run(self, until: int) -> None:
        """Let everything happen that happens up to ``until``."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, action = heapq.heappop(queue)
            action()
        self.now = until

    def chance(self, probability: float) -> bool:
        """Whether what has this probability happens; draws nothing where it cannot."""
        return probability > 0 and self.random.random() < probability

    def latency(self) -> int:
        """Draw the microseconds of one way through the network."""
        if self.chance(self.weather.slow):
            return self.random.randrange(50_000, 1_500_000)
        return self.random.randrange(100, 2_000)

    def expect_trouble(self, microseconds: int) -> None:
        """Note that something has gone wrong whose effect is still to come."""
        self.trouble_until = max(self.trouble_until, self.now + microseconds)

    def tell(self, who: str, what: str) -> None:
        """Note what happened, if somebody reads it."""
        if self.story is not None:
            self.story.append(f"{(self.now - self.start) / SECOND:11.6f}  {who:<8} {what}")


@dataclass(eq=False)
class Nap:
    """The wait of one task."""

    task: greenlet
    over: bool = False


@dataclass(eq=False)
class Process:
    """What runs under one pid: tasks that are paused and killed together."""

    world: World
    name: str
    alive: bool = True
    paused_until: int = 0
    _tasks: list[greenlet] = field(default_factory=list)
    _waiting: Nap | None = None
    _woken: bool = False

    def spawn(self, work: Action) -> None:
        """Run ``work`` beside what runs already; it begins at this instant, but later."""
        task = greenlet(lambda: self._run(work), parent=self.world.hub)
        self._tasks.append(task)
        self.world.after(0, lambda: self._end(Nap(task)))

    def sleep(self, microseconds: int) -> None:
        """Wait, as each call to the outside does: others run, and the process may be paused or killed here."""
        self._meet_hazards()
        self._nap(Nap(getcurrent()), microseconds)

    def wait(self, microseconds: int) -> None:
        """Wait until the time is over or ``wake`` is called; at once if it was called since the last wait."""
        if not self._woken:
            self._waiting = Nap(getcurrent())
            self._nap(self._waiting, microseconds)
            self._waiting = None
        self._woken = False

    def wake(self) -> None:
        """End the wait, or the next one."""
        self._woken = True
        if self._waiting is not None:
            nap = self._waiting
            self.world.after(0, lambda: self._end(nap))

    def pause(self, microseconds: int) -> None:
        """Stand still for so long, wherever it is, as on SIGSTOP."""
        self.world.tell(self.name, f"is paused for {microseconds / SECOND:.3f} s")
        self.paused_until = max(self.paused_until, self.world.now + microseconds)
        self.world.expect_trouble(microseconds)

    def kill(self, how: str = "is killed") -> None:
        """End at once, wherever it is; called from outside of it."""
        if self.alive:
            self.world.tell(self.name, how)
            self.alive = False
            self._bury()

    def die(self, how: str) -> None:
        """End at once; called from inside."""
        self.world.tell(self.name, how)
        self.alive = False
        self.world.after(0, self._bury)
        raise Killed

    def _run(self, work: Action) -> None:
        try:
            work()
        except Killed:
            pass
        finally:
            self._tasks.remove(getcurrent())

    def _meet_hazards(self) -> None:
        world = self.world
        if world.chance(world.weather.crash):
            self.die("crashes")
        if world.chance(world.weather.pause):
            self.pause(round(SECOND * 10 ** world.random.uniform(-1.5, 1.4)))

    def _nap(self, nap: Nap, microseconds: int) -> None:
        self.world.after(microseconds, lambda: self._end(nap))
        self.world.hub.switch()

    def _end(self, nap: Nap) -> None:
        world = self.world
        if nap.over or not self.alive:
            return
        if world.now < self.paused_until:
            world.after(self.paused_until - world.now, lambda: self._end(nap))
            return
        nap.over = True
        nap.task.switch()

    def _bury(self) -> None:
        while self._tasks:
            task = self._tasks[-1]
            if task:
                task.throw(Killed)
            else:
                self._tasks.remove(task)  # it had not begun
