"""Recurrences in English."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from qbeat.schedules.rrule_parts import FINE, explicit
from qbeat.schedules.rrule_text import RecurrenceText, Stamp, until_of
from qbeat.schedules.zones import naive_of

_UNITS: Final = {
    "YEARLY": "year",
    "MONTHLY": "month",
    "WEEKLY": "week",
    "DAILY": "day",
    "HOURLY": "hour",
    "MINUTELY": "minute",
    "SECONDLY": "second",
}
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_WEEKDAYS: Final = {
    "MO": "Monday",
    "TU": "Tuesday",
    "WE": "Wednesday",
    "TH": "Thursday",
    "FR": "Friday",
    "SA": "Saturday",
    "SU": "Sunday",
}
_MOST_TIMES: Final = 6


def describe(said: RecurrenceText) -> str:
    """Say in English what RFC 5545 text says, without its zone."""
    rules = [_rule(rule, said.start) for rule in said.rules] or [f"once, at {_moment(said.start)}"]
    parts = [" and ".join(rules)]
    if said.rules:
        parts.append(f"from {naive_of(said.start.wall):%Y-%m-%d}")
    parts += _dates("and", said.extra)
    parts += _dates("except", said.excluded)
    return ", ".join(parts)


def _rule(rule: Mapping[str, str], start: Stamp) -> str:
    parts = explicit(rule, naive_of(start.wall))
    words = [_every(parts), *_days(parts), *_times(parts)]
    if "BYSETPOS" in parts:
        words.append(f"(of these {_list(parts['BYSETPOS'], _position)} in each {_UNITS[parts['FREQ']]})")
    until = until_of(rule)
    if until is not None:
        words.append(f"until {_moment(until)}")
    if "COUNT" in rule:
        words.append("once" if int(rule["COUNT"]) == 1 else f"{int(rule['COUNT'])} times")
    return " ".join(words)


def _every(parts: Mapping[str, str]) -> str:
    unit, interval = _UNITS[parts["FREQ"]], int(parts.get("INTERVAL", "1"))
    return f"every {unit}" if interval == 1 else f"every {interval} {unit}s"


def _days(parts: Mapping[str, str]) -> Iterator[str]:
    if "BYMONTH" in parts:
        yield "in " + _list(parts["BYMONTH"], lambda number: _MONTHS[int(number) - 1])
    if "BYWEEKNO" in parts:
        yield "in week " + _list(parts["BYWEEKNO"], str)
    if "BYYEARDAY" in parts:
        yield f"on {_list(parts['BYYEARDAY'], _day)} of the year"
    if "BYMONTHDAY" in parts:
        yield f"on {_list(parts['BYMONTHDAY'], _day)} of the month"
    if "BYEASTER" in parts:
        yield (
            _easter(int(parts["BYEASTER"].split(",")[0])) if "," not in parts["BYEASTER"] else "around Easter"
        )
    if "BYDAY" in parts:
        yield "on " + _list(parts["BYDAY"], _weekday)


def _times(parts: Mapping[str, str]) -> Iterator[str]:
    if parts["FREQ"] in FINE:
        for name, word in (("BYHOUR", "in hour"), ("BYMINUTE", "at minute"), ("BYSECOND", "at second")):
            if parts.get(name, "0") != "0" or (name == "BYHOUR" and name in parts):
                yield f"{word} {_list(parts[name], str)}"
        return
    hours, minutes, seconds = (
        sorted({*map(int, parts[f"BY{name}"].split(","))}) for name in ("HOUR", "MINUTE", "SECOND")
    )
    times = [
        f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")
        for hour in hours
        for minute in minutes
        for second in seconds
    ]
    yield f"at {_and(times)}" if len(times) <= _MOST_TIMES else f"at {len(times)} times of the day"


def _day(number: str) -> str:
    return f"day {int(number)}" if int(number) > 0 else f"{_position(number)} day"


def _weekday(item: str) -> str:
    name = _WEEKDAYS[item[-2:]]
    return f"{_position(item[:-2])} {name}" if item[:-2] else name


def _position(number: str) -> str:
    position = int(number)
    if position == -1:
        return "the last"
    tens, ones = divmod(abs(position) % 100, 10)
    ending = "th" if tens == 1 else {1: "st", 2: "nd", 3: "rd"}.get(ones, "th")
    return f"the {abs(position)}{ending}" + (" last" if position < 0 else "")


def _easter(days: int) -> str:
    if days == 0:
        return "on Easter Sunday"
    number = f"{abs(days)} day" + ("s" if abs(days) > 1 else "")
    return f"{number} {'after' if days > 0 else 'before'} Easter Sunday"


def _dates(word: str, stamps: Sequence[Stamp]) -> list[str]:
    if not stamps:
        return []
    return [f"{word} {_moment(stamps[0])}" if len(stamps) == 1 else f"{word} {len(stamps)} single dates"]


def _moment(stamp: Stamp) -> str:
    at = naive_of(stamp.wall)
    if stamp.whole_day:
        return f"{at:%Y-%m-%d}"
    return f"{at:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + (f" {stamp.zone}" if stamp.zone else "")


def _list(text: str, word: Callable[[str], str]) -> str:
    return _and([word(item) for item in text.split(",")])


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
