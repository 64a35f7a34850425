"""The one rule across clock changes, for every schedule that is written in local time.

A calendar schedule whose hour field matches all 24 hours fires at every instant at which the local clock matches
(``follow_clock``). Any other one names times, and each named local time happens exactly once: at the first instant
at which the local clock shows that time or later (``named_times``). Everything else follows from this: a time
inside a gap fires when the clock comes out of it, several of them fire once, a repeated time fires on its first
pass, and a missing day, a half-hour shift or a shift across midnight needs no case of its own.

``next_wall`` is the schedule in walls (see ``zones``): the first matching wall strictly later than a given one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from qbeat.schedules.base import ScheduleError
from qbeat.schedules.zones import DAY, Zone

Fold = Literal["once", "every"]
Gap = Literal["fire", "skip"]
NextWall = Callable[[int], int | None]

FOLDS: Final[tuple[Fold, ...]] = ("once", "every")
GAPS: Final[tuple[Gap, ...]] = ("fire", "skip")

_SWALLOWED_LIMIT: Final = 200
"""So many fire times in a row that gaps swallow mean that nothing else is ever named."""


@dataclass(frozen=True, slots=True)
class LocalTimes:
    """The local times of a schedule and how it takes clock changes, for whoever explains its fire times."""

    zone: Zone
    next_wall: NextWall
    all_hours: bool = False
    fold: Fold = "once"
    gap: Gap = "fire"


def checked_fold(fold: str) -> Fold:
    """Return ``fold`` if it is one of the two words, else raise ``ScheduleError``."""
    for word in FOLDS:
        if fold == word:
            return word
    raise ScheduleError(f"fold is {fold!r}", field="fold", cure='write "once" or "every"')


def checked_gap(gap: str) -> Gap:
    """Return ``gap`` if it is one of the two words, else raise ``ScheduleError``."""
    for word in GAPS:
        if gap == word:
            return word
    raise ScheduleError(f"gap is {gap!r}", field="gap", cure='write "fire" or "skip"')


def next_instant(  # noqa: PLR0917 - the hot path: one call, positional
    zone: Zone,
    next_wall: NextWall,
    after: int,
    all_hours: bool = False,
    fold: Fold = "once",
    gap: Gap = "fire",
) -> int | None:
    """Return the first fire time strictly later than ``after`` by the rule and the entry's two exceptions to it.

    ``fold="every"`` fires on the second pass too; ``gap="skip"`` drops what a gap swallowed. They change nothing
    for a schedule of all hours, which has no named times.
    """
    if all_hours:
        return follow_clock(zone, next_wall, after)
    if fold == "once":
        return named_times(zone, next_wall, after) if gap == "fire" else _shown_times(zone, next_wall, after)
    followed = follow_clock(zone, next_wall, after)
    if gap == "skip":
        return followed
    named = named_times(zone, next_wall, after)
    return min((at for at in (followed, named) if at is not None), default=None)


def named_times(zone: Zone, next_wall: NextWall, after: int) -> int | None:
    """Return the next instant at which the local clock first reaches a matching wall."""
    wall = next_wall(zone.high_water(after))
    return None if wall is None else zone.first_instant(wall)


def follow_clock(zone: Zone, next_wall: NextWall, after: int) -> int | None:
    """Return the next instant at which the local clock shows a matching wall."""
    start = after + 1
    while True:
        offset, end = zone.stretch(start)
        wall = next_wall(start + offset - 1)
        if wall is not None and wall - offset < end:
            return wall - offset
        # Offsets stay below a day, so two days on the clock cannot show again what it showed at `start`.
        repeats = end < start + 2 * DAY
        if wall is None and not repeats:
            return None
        start = end if repeats or wall is None else max(end, wall - DAY)


def _shown_times(zone: Zone, next_wall: NextWall, after: int) -> int | None:
    """Return the next first pass of a matching wall, leaving out those that a gap swallowed."""
    wall = next_wall(zone.high_water(after))
    for _ in range(_SWALLOWED_LIMIT):
        if wall is None:
            return None
        found = zone.first_instant(wall)
        shown = zone.local(found)
        if shown == wall:
            return found
        wall = next_wall(shown - 1)
    return None
