"""The policies of an entry, read from the option ``qbeat`` of its declaration."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from qbeat.schedules.base import Schedule, ScheduleError
from qbeat.schedules.bounds import Bounded
from qbeat.schedules.calendars import Calendar
from qbeat.schedules.dst import FOLDS, GAPS, Fold, Gap
from qbeat.schedules.durations import parse_duration
from qbeat.schedules.exclusions import MOVES, ExceptDays, ExceptWhen, Move
from qbeat.schedules.jitter import Jitter, jitter_us, parse_jitter
from qbeat.schedules.zones import zone_name

CatchUp = Literal["latest", "skip", "all"]
OnUncertain = Literal["publish", "skip"]

CATCH_UPS: Final[tuple[CatchUp, ...]] = ("latest", "skip", "all")
ON_UNCERTAIN: Final[tuple[OnUncertain, ...]] = ("publish", "skip")

Choice = TypeVar("Choice", bound=str)

CATCH_UP_GRACE: Final = timedelta(seconds=5)
"""With ``catch_up="skip"``, a fire time that is late by less than this is still fired: nobody is exactly on time."""


class PolicyError(ValueError):
    """A policy that cannot be: one sentence with the cure."""


@dataclass(frozen=True, slots=True)
class Policies:
    """How an entry fires beyond what its schedule says, and what it does about fire times that it could not keep."""

    catch_up: CatchUp = "latest"
    """``latest`` fires the newest missed fire time and coalesces the others, ``all`` fires each, ``skip`` none."""
    catch_up_window: timedelta | None = None
    """A fire time that is late by more than this is missed, whatever ``catch_up`` says."""
    on_uncertain: OnUncertain = "publish"
    """What becomes of a firing of which a crash left open whether it was published: again, or never again."""
    timezone: str | None = None
    """The zone of the schedule, where it has none of its own; the app's by default."""
    jitter: Jitter | None = None
    """How much later than its fire time a firing may go out; the same on every replica."""
    start: datetime | str | None = None
    end: datetime | str | None = None
    """Nothing fires before ``start`` or after ``end``; naive ones are local times in the entry's zone."""
    max_runs: int | None = None
    """The entry is finished after so many firings."""
    exclude: Calendar | Schedule | None = None
    """A calendar whose days off are left out, or a schedule that covers the times that are left out."""
    move: Move = "skip"
    """Where a fire time on a day off goes: nowhere, or to the next or previous working day."""
    fold: Fold = "once"
    """Whether a named local time that the clock repeats fires on the second pass too."""
    gap: Gap = "fire"
    """Whether a named local time that the clock skips fires when the clock comes out of the gap."""

    def differing(self) -> dict[str, Any]:
        """Return the policies that are not the default ones."""
        if self is DEFAULTS:
            return {}
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != getattr(DEFAULTS, field.name)
        }

    def apply(self, schedule: Schedule) -> Schedule:
        """Return ``schedule`` within the bounds and without the exclusions that the entry asks for."""
        if isinstance(self.exclude, Calendar):
            schedule = ExceptDays(schedule, self.exclude, self.move)
        elif self.exclude is not None:
            schedule = ExceptWhen(schedule, self.exclude)
        if self.start is not None or self.end is not None or self.max_runs is not None:
            schedule = Bounded(schedule, self.start, self.end, self.max_runs)
        return schedule

    def due_at(self, uid: str, schedule: Schedule, fire_time: int | None, anchor: int) -> int | None:
        """Return when the firing of the entry ``uid`` for ``fire_time`` is to go out: then, or later by its jitter."""
        if fire_time is None or self.jitter is None:
            return fire_time
        return fire_time + jitter_us(uid, fire_time, schedule.next_us(fire_time, anchor), self.jitter)


DEFAULTS: Final = Policies()
"""The policies of an entry that asks for none: one object, so that entries share what follows from it."""


def read_policies(option: object) -> Policies:
    """Return the policies that the option ``qbeat`` of an entry asks for; ``PolicyError`` if it cannot be."""
    if option is None:
        return DEFAULTS
    if not isinstance(option, Mapping):
        raise PolicyError(f"the option qbeat is {option!r}; give a dict such as {{'catch_up': 'all'}}")
    known = [field.name for field in fields(Policies)]
    for key in option:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            cure = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known)}"
            raise PolicyError(f"the option qbeat has no key {key!r}; {cure}")
    return Policies(
        catch_up=_choice(option, "catch_up", CATCH_UPS),
        catch_up_window=_duration(option, "catch_up_window"),
        on_uncertain=_choice(option, "on_uncertain", ON_UNCERTAIN),
        timezone=_timezone(option),
        jitter=None if option.get("jitter") is None else parse_jitter(option["jitter"]),
        start=option.get("start"),
        end=option.get("end"),
        max_runs=option.get("max_runs"),
        exclude=_exclusion(option),
        move=_choice(option, "move", MOVES),
        fold=_choice(option, "fold", FOLDS),
        gap=_choice(option, "gap", GAPS),
    )


def _exclusion(option: Mapping[Any, Any]) -> Calendar | Schedule | None:
    value = option.get("exclude")
    if value is None or isinstance(value, (Calendar, Schedule)):
        return value
    raise PolicyError(f"exclude is {value!r}; give a Calendar, or a schedule that covers what is left out")


def _choice(option: Mapping[Any, Any], key: str, choices: tuple[Choice, ...]) -> Choice:
    """Return what the option says, which must be one of ``choices``; the first of them is the default."""
    value = option.get(key, choices[0])
    for choice in choices:
        if value == choice:
            return choice
    raise PolicyError(f"{key} is {value!r}; it takes {', '.join(map(repr, choices))}")


def _duration(option: Mapping[Any, Any], key: str) -> timedelta | None:
    value = option.get(key)
    if value is None:
        return None
    try:
        microseconds = parse_duration(value, field=key)
    except ScheduleError as error:
        raise PolicyError(str(error)) from None
    if not microseconds:
        raise PolicyError(f"{key} is {value!r}; it must be longer than nothing")
    return timedelta(microseconds=microseconds)


def _timezone(option: Mapping[Any, Any]) -> str | None:
    value = option.get("timezone")
    if value is not None and not isinstance(value, str):
        raise PolicyError(f"timezone is {value!r}; give a name such as 'Europe/Berlin'")
    try:
        return zone_name(value)
    except ScheduleError as error:
        raise PolicyError(str(error)) from None
