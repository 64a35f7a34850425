"""What a case found: figures of each contender, and how they stand to the goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.bursts import Burst, median_cpu, median_rate

Figure = float | int | str | None
Row = Mapping[str, Figure]
"""What was measured of one contender, under the headings of the table."""


@dataclass(frozen=True)
class Goal:
    """A figure in relation to a rival's, and what was hoped for."""

    what: str
    measured: float
    wanted: float
    is_floor: bool
    """Whether more is better."""

    @property
    def is_met(self) -> bool:
        return self.measured >= self.wanted if self.is_floor else self.measured <= self.wanted


@dataclass(frozen=True)
class Sizes:
    """How much is measured; ``None`` leaves it to the case."""

    entries: int | None = None
    repeats: int = 3
    seconds: float | None = None

    def entries_or(self, usual: int) -> int:
        return self.entries or usual

    def fewer_or(self, usual: int) -> int:
        """Return how many entries a slow rival gets: never more than the case was asked for."""
        return min(self.entries or usual, usual)

    def seconds_or(self, usual: float) -> float:
        return self.seconds or usual


@dataclass(frozen=True)
class Part:
    """The result of one case."""

    title: str
    method: str
    rows: Sequence[Row]
    goals: Sequence[Goal] = field(default_factory=tuple)


def at_least(what: str, measured: float, wanted: float) -> Goal:
    return Goal(what, measured, wanted, is_floor=True)


def at_most(what: str, measured: float, wanted: float) -> Goal:
    return Goal(what, measured, wanted, is_floor=False)


def burst_row(name: str, entries: int, bursts: Sequence[Burst], ours: float | None = None) -> Row:
    """Return the row of a contender that sent bursts; ``ours`` is the rate of the qbeat beside it."""
    rate = median_rate(bursts)
    return {
        "": name,
        "entries": entries,
        "rounds": len(bursts),
        "firings/s": rate,
        "CPU µs per firing": median_cpu(bursts),
        "times": None if ours is None else ours / rate,
    }
