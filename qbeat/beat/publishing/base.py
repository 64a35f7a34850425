"""The way to the broker as the scheduler sees it: firings go in, results come out, nothing blocks the loop."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from qbeat.beat.entries import Entry
from qbeat.store.records import Firing


class Submission(NamedTuple):
    """One firing to publish, with the entry that says what to send."""

    firing: Firing
    entry: Entry
    start_before: float = math.inf
    """By the monotonic clock, in seconds: later on another replica may have taken the firing over."""


class Verdict(Enum):
    """How one try to publish ended."""

    PUBLISHED = "published"
    """The broker has it."""
    UNSENT = "unsent"
    """The broker could not be reached; for certain it has nothing of this try."""
    EXPIRED = "expired"
    """It came too late to its turn; nothing was tried."""
    UNCERTAIN = "uncertain"
    """The connection broke on the way; the broker may have it."""
    FAILED = "failed"
    """This entry's own fault (its arguments, its task, a signal receiver): the broker has nothing."""


class Result(NamedTuple):
    """What became of one submission. ``finished_at`` is in microseconds since the epoch."""

    submission: Submission
    verdict: Verdict
    finished_at: int
    error: str | None = None


class Publisher(ABC):
    """Publishes firings.

    Firings of one entry go out in the order in which they were submitted. After one that did not reach the
    broker, the later ones come back as unsent, those too that are submitted before its result is collected.
    """

    @abstractmethod
    def start(self) -> None:
        """Begin to look for the broker."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether the broker is thought to be there; while it is not, nothing should be submitted."""

    @property
    def exactly_once(self) -> bool:
        """Whether submitting a firing again sends nothing if the broker has it."""
        return False

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """How many submitted submissions have no result yet."""

    @abstractmethod
    def holds(self, firing: Firing) -> bool:
        """Whether ``firing`` was submitted and has no result yet."""

    @abstractmethod
    def submit(self, submissions: Sequence[Submission]) -> None:
        """Take submissions to publish; return at once."""

    def get_ready(self, ahead: Iterator[tuple[Entry, str]]) -> None:  # noqa: B027 - most have nothing to make
        """Make ahead, while nothing is to be published, what all messages of an entry have in common.

        ``ahead`` yields entries with their uids, and takes the place of an earlier one.
        """

    @abstractmethod
    def collect(self) -> list[Result]:
        """Return the results that have come in since the last call."""

    @abstractmethod
    def close(self, timeout: float) -> list[Result]:
        """Finish what is under way within ``timeout`` seconds; return all results still to be collected."""
