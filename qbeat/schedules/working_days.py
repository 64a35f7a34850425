"""Fire times and days off: skipped, or moved to a working day at the same local time.

A local day begins when the clock first shows its midnight or later, so days follow each other without overlap
even where a clock change repeats a midnight or swallows a whole day.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from qbeat.schedules.base import Schedule
from qbeat.schedules.calendars import Calendar
from qbeat.schedules.zones import DAY, Zone

HORIZON: Final = 60 * 366 * DAY
"""A schedule that exclusions leave nothing of for so long counts as never firing."""

LONGEST_RUN: Final = 366
"""Days off in a row over which a fire time can be moved; beyond, it is skipped."""


class WorkingDays:
    """The days of one zone that a calendar leaves, as numbers counted from 1970-01-01 = 0."""

    def __init__(self, calendar: Calendar, where: Zone) -> None:
        self._is_off = calendar.is_off
        self._zone = where

    def next_left(self, inner: Schedule, after: int, anchor: int) -> int | None:
        """Return the first fire time of ``inner`` after ``after`` that is on no day off, within ``HORIZON``."""
        first = found = inner.next_us(after, anchor)
        while first is not None and found is not None and found - first <= HORIZON:
            day = self._day(found)
            if not self._is_off(day):
                return found
            free = self._next_free(day, HORIZON // DAY)
            if free is None:
                return None
            found = inner.next_us(self._begin(free) - 1, anchor)
        return None

    def next_moved(self, inner: Schedule, after: int, anchor: int, *, forward: bool) -> int | None:
        """Return the first instant after ``after`` at which a fire time of ``inner`` is, or to which one moved."""
        target = self._next_free(self._day(after), HORIZON // DAY)
        limit = None
        while target is not None and (limit is None or target <= limit):
            run = self._run(target, forward=forward)
            own = _within(inner, max(after, self._begin(target) - 1), self._begin(target + 1), anchor)
            moved = (self._moved(inner, day, target, after, anchor) for day in run)
            found = min((at for at in (own, *moved) if at is not None), default=None)
            if found is not None:
                return found
            if limit is None:
                limit = self._limit(inner, target, anchor)
            target = self._next_target(
                inner, target if forward or not run else run[-1], anchor, forward=forward
            )
        return None

    def _limit(self, inner: Schedule, target: int, anchor: int) -> int:
        """Return the last day to look at, counted from the first that has a fire time."""
        first = inner.next_us(self._begin(target), anchor)
        return target if first is None else self._day(first) + HORIZON // DAY

    def _next_target(self, inner: Schedule, done: int, anchor: int, *, forward: bool) -> int | None:
        """Return the working day of the first fire time after the day ``done``, all up to which is accounted for."""
        following = inner.next_us(self._begin(done + 1) - 1, anchor)
        if following is None:
            return None
        day = self._day(following)
        if forward or not self._is_off(day):
            return self._next_free(day, HORIZON // DAY)
        before = next((day - i for i in range(1, LONGEST_RUN + 1) if not self._is_off(day - i)), None)
        return before if before is not None and before > done else self._next_free(day, HORIZON // DAY)

    def _run(self, target: int, *, forward: bool) -> list[int]:
        """Return the days off whose fire times move to ``target``, those nearest to it first."""
        run: list[int] = []
        step = -1 if forward else 1
        day = target + step
        while len(run) < LONGEST_RUN and self._is_off(day):
            run.append(day)
            day += step
        return run

    def _moved(self, inner: Schedule, day: int, target: int, after: int, anchor: int) -> int | None:
        """Return the first instant on ``target``, after ``after``, to which a fire time on ``day`` moves."""
        soonest = None
        shown = self._zone.high_water(after) - target * DAY
        for begin, end in self._stretches(day):
            wall = day * DAY + shown + 1
            start = (
                begin + bisect_left(range(begin, end), wall, key=self._zone.local) if shown >= 0 else begin
            )
            found = _within(inner, start - 1, end, anchor)
            if found is not None:
                time = max(0, self._zone.local(found) - day * DAY)
                moved = self._zone.first_instant(target * DAY + time)
                soonest = moved if soonest is None else min(soonest, moved)
        return soonest

    def _stretches(self, day: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of a day within which the local clock never goes back, as instants (end excluded)."""
        begin, end = self._begin(day), self._begin(day + 1)
        for change in self._zone.changes(begin, end - 1):
            if not change.forward:
                yield begin, change.instant
                begin = change.instant
        if begin < end:
            yield begin, end

    def _day(self, instant: int) -> int:
        return self._zone.high_water(instant) // DAY

    def _begin(self, day: int) -> int:
        return self._zone.first_instant(day * DAY)

    def _next_free(self, day: int, within: int) -> int | None:
        return next((each for each in range(day, day + within) if not self._is_off(each)), None)


def _within(inner: Schedule, after: int, end: int, anchor: int) -> int | None:
    """Return the first fire time in ``(after, end)``."""
    found = inner.next_us(after, anchor)
    return found if found is not None and found < end else None
