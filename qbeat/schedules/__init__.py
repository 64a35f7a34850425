"""When: schedules as pure rules, an instant in, an instant out.

Importing this package is cheap: each kind of schedule is imported when its name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from qbeat.schedules.base import Schedule, ScheduleError

if TYPE_CHECKING:
    from qbeat.schedules.bounds import Bounded
    from qbeat.schedules.calendars import Calendar
    from qbeat.schedules.cron import Cron
    from qbeat.schedules.crontab import Crontab
    from qbeat.schedules.exclusions import ExceptDays, ExceptWhen
    from qbeat.schedules.holiday_days import Holidays
    from qbeat.schedules.ics import calendar_from_ics
    from qbeat.schedules.interval import Interval
    from qbeat.schedules.once import Once
    from qbeat.schedules.rrule import RRule
    from qbeat.schedules.solar import Solar

_HOMES: Final = {
    "Bounded": "bounds",
    "Calendar": "calendars",
    "Cron": "cron",
    "Crontab": "crontab",
    "ExceptDays": "exclusions",
    "ExceptWhen": "exclusions",
    "Holidays": "holiday_days",
    "Interval": "interval",
    "Once": "once",
    "RRule": "rrule",
    "Solar": "solar",
    "calendar_from_ics": "ics",
}

__all__ = [
    "Bounded",
    "Calendar",
    "Cron",
    "Crontab",
    "ExceptDays",
    "ExceptWhen",
    "Holidays",
    "Interval",
    "Once",
    "RRule",
    "Schedule",
    "ScheduleError",
    "Solar",
    "calendar_from_ics",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
