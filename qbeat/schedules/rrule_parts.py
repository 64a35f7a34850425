"""The parts of an RRULE: which there are, what each may say, and what a rule takes from its start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from qbeat.schedules.base import ScheduleError

MOST_COUNTED: Final = 20_000
"""The largest COUNT; its last occurrence is found by counting, once."""

MOST_STEPS: Final = 1_000_000
"""The largest INTERVAL."""

FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
FINE: Final = FREQUENCIES[4:]
WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_BYDAY: Final = re.compile(rf"(?:[+-]?[1-9][0-9]?)?(?:{'|'.join(WEEKDAYS)})", re.ASCII)
DAYS_FROM_START: Final = ("BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY", "BYEASTER")
DAY_PARTS: Final = ("BYMONTH", *DAYS_FROM_START)
TIME_PARTS: Final = ("BYHOUR", "BYMINUTE", "BYSECOND")
_RANGES: Final[Mapping[str, tuple[int, int, bool]]] = {
    "BYSECOND": (0, 59, False),
    "BYMINUTE": (0, 59, False),
    "BYHOUR": (0, 23, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYMONTH": (1, 12, False),
    "BYSETPOS": (1, 366, True),
    "BYEASTER": (0, 366, True),
}
"""The least and the largest number of each list, and whether it may count from the end."""


def check(parts: Mapping[str, str]) -> None:
    """Refuse what no rule may say, with ``ScheduleError``."""
    if parts["FREQ"] not in FREQUENCIES:
        raise rrule_error(f"RRULE has FREQ={parts['FREQ'][:40]}", f"one of: {', '.join(FREQUENCIES)}")
    for name, most in (("INTERVAL", MOST_STEPS), ("COUNT", MOST_COUNTED)):
        if name in parts and not (
            parts[name].isascii() and parts[name].isdigit() and 1 <= int(parts[name][:9]) <= most
        ):
            raise rrule_error(f"RRULE has {name}={parts[name][:40]}", f"give a whole number from 1 to {most}")
    for name in sorted(_RANGES.keys() & parts.keys()):
        _check_list(name, parts[name])
    if "BYDAY" in parts:
        _check_days(parts)


def _check_days(parts: Mapping[str, str]) -> None:
    for item in parts["BYDAY"].split(","):
        if not _BYDAY.fullmatch(item):
            raise rrule_error(
                f"RRULE has BYDAY={item[:40]}", "write MO, TU, WE, TH, FR, SA, SU, numbered like 2MO or -1FR"
            )
    if parts["FREQ"] not in {"YEARLY", "MONTHLY"} and re.search(r"\d", parts["BYDAY"]):
        raise rrule_error(
            f"RRULE numbers the days of BYDAY={parts['BYDAY'][:40]}", "use FREQ=MONTHLY or FREQ=YEARLY"
        )


def refuse_positions(parts: Mapping[str, str]) -> None:
    """Refuse a BYSETPOS whose positions lie beyond what a period can hold: dateutil would look for them forever."""
    size = 1
    for name, finest in zip(TIME_PARTS, (4, 5, 6), strict=True):
        if FREQUENCIES.index(parts["FREQ"]) < finest:
            size *= len(set(numbers_of(parts[name])))
    size *= {"YEARLY": 366, "MONTHLY": 31, "WEEKLY": 7}.get(parts["FREQ"], 1)
    if all(abs(position) > size for position in numbers_of(parts["BYSETPOS"])):
        raise rrule_error(
            f"BYSETPOS={parts['BYSETPOS'][:40]} chooses from at most {size}: this can never fire",
            f"give positions up to {size}",
        )


def _check_list(name: str, text: str) -> None:
    least, most, from_end = _RANGES[name]
    for item in text.split(","):
        if not re.fullmatch(r"[+-]?[0-9]{1,3}", item) or not least <= abs(int(item)) <= most:
            raise rrule_error(f"RRULE has {name}={item[:40]}", f"give numbers from {least} to {most}")
        if item.startswith("-") and not from_end:
            raise rrule_error(f"RRULE has {name}={item}", "give numbers without a sign")


def explicit(parts: Mapping[str, str], start: datetime) -> dict[str, str]:
    """Return the rule with everything written out that it takes from its start (RFC 5545, 3.3.10)."""
    frequency = FREQUENCIES.index(parts["FREQ"])
    taken = {}
    if not any(name in parts for name in DAYS_FROM_START):
        taken = {
            "YEARLY": {"BYMONTH": str(start.month), "BYMONTHDAY": str(start.day)},
            "MONTHLY": {"BYMONTHDAY": str(start.day)},
            "WEEKLY": {"BYDAY": WEEKDAYS[start.weekday()]},
        }.get(parts["FREQ"], {})
    times = zip(TIME_PARTS, (start.hour, start.minute, start.second), (4, 5, 6), strict=True)
    taken |= {name: str(value) for name, value, finest in times if frequency < finest}
    return taken | {name: value for name, value in parts.items() if name not in {"COUNT", "UNTIL"}}


def numbers_of(text: str) -> list[int]:
    """Return the numbers of a list part."""
    return [int(item) for item in text.split(",")]


def rrule_error(problem: str, cure: str) -> ScheduleError:
    """Return the error of a rule in the text."""
    return ScheduleError(problem, field="text", cure=cure)
