"""Schedules as plain data and back, one shared object for equal schedules.

Each kind of schedule has a line in ``KINDS`` and a class method ``from_data(data)``, the way back from its
``to_data()``; a kind inside another (bounds, exclusions) is read with ``from_data`` of this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Protocol, cast
from weakref import WeakValueDictionary

from qbeat.schedules.base import Schedule, ScheduleError

KINDS: Final[dict[str, str]] = {
    "interval": "qbeat.schedules.interval:Interval",
    "crontab": "qbeat.schedules.crontab:Crontab",
    "cron": "qbeat.schedules.cron:Cron",
    "solar": "qbeat.schedules.solar:Solar",
    "once": "qbeat.schedules.once:Once",
    "rrule": "qbeat.schedules.rrule:RRule",
    "bounded": "qbeat.schedules.bounds:Bounded",
    "except_days": "qbeat.schedules.exclusions:ExceptDays",
    "except_when": "qbeat.schedules.exclusions:ExceptWhen",
}
"""Where the class of each kind lives; it is imported when the first schedule of the kind is read."""


class _Kind(Protocol):
    def from_data(self, data: Mapping[str, Any]) -> Schedule: ...


_shared: WeakValueDictionary[str, Schedule] = WeakValueDictionary()


def to_data(schedule: Schedule) -> dict[str, Any]:
    """Return the schedule as plain data, ready for JSON, with its ``kind``."""
    return schedule.to_data()


def from_data(data: Mapping[str, Any]) -> Schedule:
    """Return the schedule that ``to_data`` wrote down; equal data give the same object.

    Raises ``ScheduleError`` for an unknown kind and for anything else that does not describe a schedule.
    """
    key = _key(data)
    known = _shared.get(key)
    return known if known is not None else _shared.setdefault(key, shared(_read(data)))


def shared(schedule: Schedule) -> Schedule:
    """Return the one object that stands for all schedules equal to this one."""
    return _shared.setdefault(schedule.text, schedule)


def _key(data: object) -> str:
    try:
        return json.dumps(data, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ScheduleError(
            f"a schedule's data must be plain JSON: {error}", cure="give what to_data returned"
        ) from None


def _read(data: object) -> Schedule:
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(kind, str) or kind not in KINDS:
        raise ScheduleError(
            f"unknown kind of schedule {kind!r}", field="kind", cure=f"one of: {', '.join(sorted(KINDS))}"
        )
    module, _, name = KINDS[kind].partition(":")
    reader = cast("_Kind", getattr(import_module(module), name))
    try:
        return reader.from_data(data)
    except (TypeError, KeyError) as error:
        raise ScheduleError(
            f"these are no data of the kind {kind!r}: {error}", cure="give what to_data returned"
        ) from error
