"""What a benchmark declares: how many entries, how often each is due, and when first.

The measuring process hands it to the app in the environment, so that every contender declares the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self

from celery.schedules import crontab

TASK: Final = "benchmark.tick"
VARIABLE: Final = "BENCHMARK_LOAD"
BROKER: Final = "BENCHMARK_BROKER"
DATABASE: Final = "BENCHMARK_DATABASE"
ROWS: Final = "BENCHMARK_ROWS"
"""Set where the entries are rows of a database, and the app declares none."""
HERALD: Final = "herald"
"""The name of the entry that shows that a contender has begun to fire; its argument is -1."""
REARGUARD: Final = "rearguard"
"""Declared last, and due like the herald: it shows that a contender has loaded all; its argument is ``LAST``."""
LAST: Final = -2


class Planned(NamedTuple):
    """One entry: its name, the argument of its task, its interval (``None``: every minute), its last run."""

    name: str
    number: int
    every: float | None
    last_run_at: datetime


@dataclass(frozen=True)
class Load:
    """Entries that are due at ``first_at``, each ``step`` seconds after the one before; in seconds since 1970."""

    count: int
    every: float | None
    """Seconds between an entry's fire times; ``None`` makes each a crontab ``* * * * *``."""
    first_at: float
    step: float = 0.0
    herald: float | None = None
    """If given, two more entries, herald and rearguard, due every so many seconds, ..."""
    herald_at: float = 0.0
    """... first at this instant."""
    is_new: bool = False
    """Whether no entry says when it last ran, so that each is first due ``every`` seconds after it is loaded."""

    def planned(self) -> Iterator[Planned]:
        """Yield the entries, the herald first and the rearguard last."""
        if self.herald is not None:
            yield Planned(HERALD, -1, self.herald, _instant(self.herald_at - self.herald))
        # Half a minute before a minute leaves no doubt that this minute is the first that has not been run.
        before = 30.0 if self.every is None else self.every
        for number in range(self.count):
            last_run_at = _instant(self.first_at + number * self.step - before)
            yield Planned(f"entry-{number}", number, self.every, last_run_at)
        if self.herald is not None:
            yield Planned(REARGUARD, LAST, self.herald, _instant(self.herald_at - self.herald))

    def beat_schedule(self) -> dict[str, dict[str, Any]]:
        """Return the declaration as an app's configuration has it, with a schedule object for each entry."""
        return {
            entry.name: {
                "task": TASK,
                "schedule": crontab() if entry.every is None else entry.every,
                "args": (entry.number,),
                **({} if self.is_new else {"last_run_at": entry.last_run_at}),
            }
            for entry in self.planned()
        }

    def environment(self) -> dict[str, str]:
        """Return what ``from_environment`` reads."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the load that the measuring process wants."""
        return cls(**json.loads(environment[VARIABLE]))


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
