"""A publisher that only remembers what it was given, for tests of schedules without a broker."""

from __future__ import annotations

from collections.abc import Sequence

from qbeat.beat.clock import Clock
from qbeat.beat.publishing.base import Publisher, Result, Submission, Verdict
from qbeat.store.records import Firing


class RecordingPublisher(Publisher):
    """Keeps each submission in ``submissions`` and answers at once with ``verdict``, which can be set between ticks."""

    def __init__(self, clock: Clock) -> None:
        self.submissions: list[Submission] = []
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
        return any(result.submission.firing == firing for result in self._results)

    def submit(self, submissions: Sequence[Submission]) -> None:
        for submission in submissions:
            self.submissions.append(submission)
            self._results.append(Result(submission, self.verdict, self._clock.now()))

    def collect(self) -> list[Result]:
        results, self._results = self._results, []
        return results

    def close(self, timeout: float) -> list[Result]:  # noqa: ARG002 - the contract of every publisher
        return self.collect()
