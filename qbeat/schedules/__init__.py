"""When: schedules as pure rules, an instant in, an instant out.

Importing this package is cheap: each kind of schedule is imported when its name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from qbeat.schedules.base import Schedule, ScheduleError

if TYPE_CHECKING:
    from qbeat.schedules.cron import Cron
    from qbeat.schedules.crontab import Crontab
    from qbeat.schedules.interval import Interval
    from qbeat.schedules.once import Once
    from qbeat.schedules.solar import Solar

_HOMES: Final = {
    "Cron": "cron",
    "Crontab": "crontab",
    "Interval": "interval",
    "Once": "once",
    "RRule": "rrule",
    "Solar": "solar",
}

__all__ = ["Cron", "Crontab", "Interval", "Once", "Schedule", "ScheduleError", "Solar"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
