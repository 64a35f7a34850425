"""What a schedule is: a pure rule that, asked at an instant, answers with the next fire time.

Instants are integer microseconds since the Unix epoch in UTC wherever there are many of them (``*_us``
methods) and aware ``datetime`` objects at the edges (``next_after``). A schedule never reads a clock.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, Self

SECOND: Final = 1_000_000
"""Microseconds in a second."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_MICROSECOND: Final = timedelta(microseconds=1)

EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
LATEST: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
"""The first and the last instant that a ``datetime`` in UTC can show, in the years 1 and 9999. Nothing fires beyond."""

COUNT_LIMIT: Final = 1_000
"""Beyond so many fire times a span says how many only where arithmetic can tell."""


def to_us(instant: datetime) -> int:
    """Return an aware datetime as microseconds since the epoch; a naive one is refused with ``ValueError``."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone; give an aware datetime")
    return (instant - EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """Return the aware UTC datetime of so many microseconds since the epoch, or the nearest that there is."""
    try:
        return EPOCH + microseconds * _MICROSECOND
    except OverflowError:
        return EPOCH + (LATEST if microseconds > 0 else EARLIEST) * _MICROSECOND


class ScheduleError(ValueError):
    """A schedule that cannot be: one sentence with the field at fault and the cure.

    ``field`` is the name of the argument or cron field at fault, ``None`` where no single one is.
    """

    def __init__(self, problem: str, *, field: str | None = None, cure: str | None = None) -> None:
        self.problem = problem
        self.field = field
        self.cure = cure
        super().__init__(f"{problem}; {cure}" if cure else problem)


@dataclass(frozen=True, slots=True)
class Span:
    """The fire times within a stretch: first and last in microseconds, and how many (``None``: too many to count)."""

    first: int
    last: int
    count: int | None


class Schedule(ABC):
    """One rule. Immutable, compared and hashed by its plain data, so that equal schedules can be shared."""

    @abstractmethod
    def next_us(self, after: int, anchor: int = 0) -> int | None:
        """Return the first fire time strictly later than ``after``, or ``None`` if there is none.

        Both instants are microseconds since the epoch. ``anchor`` is where a grid starts; only intervals use it.
        """

    @abstractmethod
    def describe(self) -> str:
        """Say in English when this fires."""

    @abstractmethod
    def to_data(self) -> dict[str, Any]:
        """Return the schedule as JSON-ready plain data with its ``kind``; ``codec.from_data`` is the way back."""

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first fire time strictly later than ``instant`` (both aware; the answer in UTC)."""
        found = self.next_us(to_us(instant))
        return None if found is None else from_us(found)

    def resolve(self, *, name: str, timezone: str) -> Schedule:  # noqa: ARG002 - the contract of every schedule
        """Return this schedule as the entry ``name`` uses it, in ``timezone`` unless it has a zone of its own."""
        return self

    def span(self, after: int, until: int, anchor: int = 0) -> Span | None:
        """Return what fires in ``(after, until]``, or ``None`` if nothing does.

        The last fire time is found by looking back from ``until`` over doubling windows, so the work does not
        grow with a long absence; only the count walks, and it stops at ``COUNT_LIMIT``.
        """
        first = self.next_us(after, anchor)
        if first is None or first > until:
            return None
        last, count = first, 1
        following = self.next_us(first, anchor)
        while following is not None and following <= until:
            last, count = following, count + 1
            if count > COUNT_LIMIT:
                return Span(first, self._last_us(last, until, anchor), None)
            following = self.next_us(last, anchor)
        return Span(first, last, count)

    def _last_us(self, known: int, until: int, anchor: int) -> int:
        """Return the last fire time up to ``until``, given an earlier one: look back in doubling steps, then halve."""
        window = SECOND
        while until - window > known:
            found = self.next_us(until - window, anchor)
            if found is not None and found <= until:
                known = found
                break
            window *= 2
        none_after = until
        while (following := self.next_us(known, anchor)) is not None and following <= until:
            middle = (following + none_after) // 2
            found = self.next_us(middle, anchor)
            if found is not None and found <= until:
                known = found
            else:
                known, none_after = following, middle
        return known

    @cached_property
    def text(self) -> str:
        """Its plain data as JSON, in one form: equal schedules have equal texts."""
        return json.dumps(self.to_data(), sort_keys=True, separators=(",", ":"))

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Schedule) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.to_data().items() if name != "kind")
        return f"{type(self).__name__}({arguments})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self
