"""Schedules in words: canonical field texts and English descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Final

from qbeat.schedules.search import ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS, Days, Fields

_MICROSECOND: Final = timedelta(microseconds=1)
_UNITS: Final = (
    ("day", timedelta(days=1)),
    ("hour", timedelta(hours=1)),
    ("minute", timedelta(minutes=1)),
    ("second", timedelta(seconds=1)),
    ("millisecond", timedelta(milliseconds=1)),
    ("microsecond", _MICROSECOND),
)


def canonical(numbers: frozenset[int], first: int, last: int) -> str:
    """Return the one text of a field's numbers: ``*``, ``*/n``, or a list of numbers, ranges and ranges with steps."""
    ordered = sorted(numbers)
    if len(ordered) > 1 and ordered[0] == first:
        step = ordered[1] - first
        if ordered == list(range(first, last + 1, step)):
            return "*" if step == 1 else f"*/{step}"
    return ",".join(_runs(ordered))


def _runs(ordered: list[int]) -> list[str]:
    """Return the numbers as texts, three or more at equal distances as one range."""
    texts: list[str] = []
    i = 0
    while i < len(ordered):
        end = _run_end(ordered, i)
        low, high = ordered[i], ordered[end]
        if end - i < 2:  # noqa: PLR2004 - a range pays from three numbers on
            texts.append(str(low))
            i += 1
            continue
        step = ordered[i + 1] - low
        texts.append(f"{low}-{high}" if step == 1 else f"{low}-{high}/{step}")
        i = end + 1
    return texts


def _run_end(ordered: list[int], start: int) -> int:
    end = start + 1
    if end >= len(ordered):
        return start
    step = ordered[end] - ordered[start]
    while end + 1 < len(ordered) and ordered[end + 1] - ordered[end] == step:
        end += 1
    return end


def describe_duration(duration: timedelta) -> str:
    """Say a duration in English: ``minute``, ``90 seconds`` or ``1 day 12 hours``, exactly."""
    for name, unit in _UNITS:
        if duration % unit == timedelta(0):
            count = duration // unit
            if count == 1:
                return name
            small = _smaller_parts(duration)
            return small or f"{count} {name}s"
    raise AssertionError("every duration is a whole number of microseconds")


def _smaller_parts(duration: timedelta) -> str | None:
    """Return a duration of two or more units in parts, if its largest unit occurs and the number would be long."""
    parts = []
    rest = duration
    for name, unit in _UNITS:
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    return " ".join(parts) if len(parts) == 2 and duration > timedelta(hours=2) else None  # noqa: PLR2004 - of two units


WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS: Final = (
    "", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_ORDINALS: Final = ("", "first", "second", "third", "fourth", "fifth")
_LISTED_TIMES: Final = 8
_LISTED_RUNS: Final = 3
_CLOCK_TIMES: Final = re.compile(r"At [\d:, and]+")
_PLURAL_ONE: Final = re.compile(r"\b1 (minute|second)s past")
_MONDAY_FIRST: Final = (1, 2, 3, 4, 5, 6, 0)


def describe_fields(fields: Fields, timezone: str | None) -> str:
    """Say in English when fields match, in 24-hour times."""
    parts = [_times(fields), _days(fields.days), _months(fields.months), _years(fields.years)]
    text = ", ".join(part for part in parts if part)
    if _CLOCK_TIMES.fullmatch(text):
        text += " every day"
    return f"{text} ({timezone})" if timezone else text


@lru_cache(maxsize=4096)
def _times(fields: Fields) -> str:
    """Return the time of day: a short list of times, or cron-descriptor's words for the texts it reads rightly."""
    hours = sorted(fields.hours)
    hour_text = _time_text(fields.hours, 24)
    single = len(fields.minutes) == len(fields.seconds) == 1
    if hour_text.startswith("*") and (single or hour_text == "*"):
        return _descriptor(fields, hour_text)
    if len(fields.seconds) == 1 and len(hours) * len(fields.minutes) <= _LISTED_TIMES:
        second = f":{min(fields.seconds):02}" if fields.seconds != {0} else ""
        times = (f"{hour:02}:{minute:02}{second}" for hour in hours for minute in sorted(fields.minutes))
        return f"At {_listed(times)}"
    return f"{_descriptor(fields, '*')}, {_hours(hours)}"


def _hours(hours: list[int]) -> str:
    """Return in which hours of the day, as stretches of the clock or, where they lie scattered, as a list."""
    runs = [text.partition("-") for text in _ranges(hours)]
    if len(runs) > _LISTED_RUNS:
        return f"in the hours {_listed(map(str, hours))}"
    return _listed(f"from {int(low):02}:00 to {int(high or low):02}:59" for low, _, high in runs)


def _descriptor(fields: Fields, hours: str) -> str:
    from cron_descriptor import Options, get_description  # noqa: PLC0415 - only needed to describe

    options = Options()
    options.use_24hour_time_format = True
    options.locale_code = "en_US"
    texts = [_time_text(fields.minutes, 60), hours, "*", "*", "*"]
    if fields.seconds != {0}:
        texts.insert(0, _time_text(fields.seconds, 60))
    return _PLURAL_ONE.sub(r"1 \1 past", str(get_description(" ".join(texts), options)))


def _time_text(numbers: frozenset[int], size: int) -> str:
    """Return a field's text with steps only where they keep their rhythm from one hour or day to the next."""
    ordered = sorted(numbers)
    for step in range(1, size):
        if size % step == 0 and ordered == list(range(0, size, step)):
            return "*" if step == 1 else f"*/{step}"
    return ",".join(_ranges(ordered))


def _ranges(ordered: list[int]) -> list[str]:
    """Return rising numbers with each run of neighbours as one range."""
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [text for run in runs for text in (map(str, run) if len(run) < 3 else (f"{run[0]}-{run[-1]}",))]  # noqa: PLR2004 - a range pays from three on


def _days(days: Days) -> str:
    if days.every:
        return ""
    by_date, by_weekday = _dates(days), _weekdays(days)
    if not by_weekday:
        return f"on {by_date}"
    if not by_date:
        return f"on {by_weekday}"
    return f"on {by_date} and on {by_weekday}" if days.either else f"on {by_date} if it is {by_weekday}"


def _dates(days: Days) -> str:
    """Return the days of the month, or nothing if all of them match."""
    if days.dom >= ALL_DAYS:
        return ""
    found = []
    if days.dom:
        texts = [text.replace("-", " to ") for text in _ranges(sorted(days.dom))]
        found.append(f"day{'s' if len(days.dom) > 1 else ''} {_listed(texts)} of the month")
    if days.last_day:
        found.append("the last day of the month")
    if days.nearest is not None:
        found.append(f"the working day nearest to day {days.nearest} of the month")
    return _listed(found)


def _weekdays(days: Days) -> str:
    """Return the days of the week, or nothing if all of them match."""
    if days.dow >= ALL_WEEKDAYS:
        return ""
    order = [day for day in _MONDAY_FIRST if day in days.dow]
    places = [_MONDAY_FIRST.index(day) for day in order]
    if len(order) >= 3 and places == list(range(places[0], places[-1] + 1)):  # noqa: PLR2004 - a range pays from three on
        plain = [f"{WEEKDAYS[order[0]]} to {WEEKDAYS[order[-1]]}"]
    else:
        plain = [WEEKDAYS[day] for day in order]
    nth = [f"the {_ORDINALS[n]} {WEEKDAYS[day]}" for day, n in sorted(days.nth, key=lambda pair: pair[::-1])]
    last = [f"the last {WEEKDAYS[day]}" for day in sorted(days.last_dow)]
    special = [f"{text} of the month" for text in (*nth, *last)]
    return _listed([*plain, *special])


def _months(months: frozenset[int]) -> str:
    if months >= ALL_MONTHS:
        return ""
    texts = []
    for text in _ranges(sorted(months)):
        low, _, high = text.partition("-")
        texts.append(f"{MONTHS[int(low)]} to {MONTHS[int(high)]}" if high else MONTHS[int(low)])
    return f"in {_listed(texts)}"


def _years(years: frozenset[int] | None) -> str:
    return (
        ""
        if years is None
        else f"in {_listed([text.replace('-', ' to ') for text in _ranges(sorted(years))])}"
    )


def _listed(texts: Iterable[str]) -> str:
    *rest, last = texts
    return f"{', '.join(rest)} and {last}" if rest else last
