"""How fast a contender sends many entries that are due in one instant."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.processes import cpu_seconds, must_be_childless
from tests.benchmarks.queues import Watched
from tests.servers import Process

PATIENCE = 600.0
"""Seconds within which the first message has to come."""


@dataclass(frozen=True)
class Burst:
    """What arrived in the queue, in which time, and the CPU time that the contender used for it."""

    sent: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Firings a second."""
        return self.sent / self.seconds

    @property
    def cpu_each(self) -> float:
        """Microseconds of CPU for each firing."""
        return self.cpu / self.sent * 1e6


def measure(
    queue: Watched, process: Process, count: int, *, window: float, due_at: float | None = None
) -> Burst:
    """Measure from ``due_at`` until ``count`` messages are there or ``window`` seconds have gone by.

    Without ``due_at`` the clock starts when the queue was last seen empty, which leaves out whatever a
    contender does before it sends the first one.
    """
    if due_at is None:
        began, cpu = _last_empty(queue, process)
    else:
        time.sleep(max(0.0, due_at - time.time()))
        began, cpu = due_at, cpu_seconds(process.pid)
    sent = queue.depth()
    while sent < count and time.time() < began + window:
        _must_run(process, sent)
        time.sleep(queue.poll)
        sent = queue.depth()
    seconds, cpu = time.time() - began, cpu_seconds(process.pid) - cpu
    must_be_childless(process.pid)
    assert sent, f"{process.command} sent nothing within {window:g} s; its output ends with\n{process.tail()}"
    return Burst(sent, seconds, cpu)


def await_first(queue: Watched, process: Process) -> float:
    """Wait until the first message is there; return the instant. The queue is left as it is."""
    return _last_empty(queue, process)[0]


def await_loaded(queue: Watched, process: Process) -> None:
    """Wait until herald and rearguard are there: everything between them is loaded, too."""
    _last_empty(queue, process, until=2)


def median_rate(bursts: Sequence[Burst]) -> float:
    return median(burst.rate for burst in bursts)


def median_cpu(bursts: Sequence[Burst]) -> float:
    return median(burst.cpu_each for burst in bursts)


def _last_empty(queue: Watched, process: Process, *, until: int = 1) -> tuple[float, float]:
    deadline = time.time() + PATIENCE
    began, cpu = time.time(), cpu_seconds(process.pid)
    while queue.depth() < until:
        began, cpu = time.time(), cpu_seconds(process.pid)
        _must_run(process, 0)
        assert began < deadline, f"{process.command} sent nothing; its output ends with\n{process.tail()}"
        time.sleep(queue.poll)
    return began, cpu


def _must_run(process: Process, sent: int) -> None:
    assert process.is_running, f"{process.command} ended after {sent} messages:\n{process.tail()}"
