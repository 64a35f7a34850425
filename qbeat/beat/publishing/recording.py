"""A publisher that only remembers what it was given, for tests of schedules without a broker."""

from __future__ import annotations

from collections.abc import Sequence

from qbeat.beat.clock import Clock
from qbeat.beat.publishing.base import Job, Publisher, Result, Verdict
from qbeat.store.records import Firing


class RecordingPublisher(Publisher):
    """Keeps each job in ``jobs`` and answers at once with ``verdict``, which can be set between ticks."""

    def __init__(self, clock: Clock) -> None:
        self.jobs: list[Job] = []
        self.verdict = Verdict.PUBLISHED
        self.available = True
        self._clock = clock
        self._results: list[Result] = []

    def start(self) -> None:
        """Nothing to look for."""

    @property
    def ready(self) -> bool:
        return self.available

    @property
    def in_flight(self) -> int:
        return len(self._results)

    def holds(self, firing: Firing) -> bool:
        return any(result.job.firing == firing for result in self._results)

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self.jobs.append(job)
            self._results.append(Result(job, self.verdict, self._clock.now()))

    def collect(self) -> list[Result]:
        results, self._results = self._results, []
        return results

    def close(self, timeout: float) -> list[Result]:  # noqa: ARG002 - the contract of every publisher
        return self.collect()
