"""The policies of an entry, read from the option ``qbeat`` of its declaration."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final, Literal, cast, get_args

from qbeat.schedules.base import ScheduleError
from qbeat.schedules.durations import parse_duration
from qbeat.schedules.zones import zone_name

CatchUp = Literal["latest", "skip", "all"]
OnUncertain = Literal["publish", "skip"]

CATCH_UP_GRACE: Final = timedelta(seconds=5)
"""With ``catch_up="skip"``, a fire time that is late by less than this is still fired: nobody is exactly on time."""


class PolicyError(ValueError):
    """A policy that cannot be: one sentence with the cure."""


@dataclass(frozen=True, slots=True)
class Policies:
    """What an entry does about the fire times that it could not keep."""

    catch_up: CatchUp = "latest"
    """``latest`` fires the newest missed fire time and coalesces the others, ``all`` fires each, ``skip`` none."""
    catch_up_window: timedelta | None = None
    """A fire time that is late by more than this is missed, whatever ``catch_up`` says."""
    on_uncertain: OnUncertain = "publish"
    """What becomes of a firing of which a crash left open whether it was published: again, or never again."""
    timezone: str | None = None
    """The zone of the schedule, where it has none of its own; the app's by default."""


def read_policies(option: object) -> Policies:
    """Return the policies that the option ``qbeat`` of an entry asks for; ``PolicyError`` if it cannot be."""
    if option is None:
        return Policies()
    if not isinstance(option, Mapping):
        raise PolicyError(f"the option qbeat is {option!r}; give a dict such as {{'catch_up': 'all'}}")
    known = [field.name for field in fields(Policies)]
    for key in option:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            cure = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known)}"
            raise PolicyError(f"the option qbeat has no key {key!r}; {cure}")
    return Policies(
        catch_up=cast("CatchUp", _choice(option, "catch_up", "latest", get_args(CatchUp))),
        catch_up_window=_duration(option, "catch_up_window"),
        on_uncertain=cast("OnUncertain", _choice(option, "on_uncertain", "publish", get_args(OnUncertain))),
        timezone=_timezone(option),
    )


def _choice(option: Mapping[Any, Any], key: str, default: str, choices: tuple[str, ...]) -> str:
    value = option.get(key, default)
    if value not in choices:
        raise PolicyError(f"{key} is {value!r}; it takes {', '.join(map(repr, choices))}")
    return str(value)


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
