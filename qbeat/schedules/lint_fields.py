"""What may surprise in the fields of a crontab or a cron string, whatever the time zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from qbeat.schedules.cron_policy import FIELDS
from qbeat.schedules.search import ALL_DAYS, ALL_WEEKDAYS, LONGEST_MONTHS, Fields

Found = tuple[str, str]
"""The advice's code and its sentence."""

_STAR_STEP: Final = re.compile(r"\*/([0-9]+)", re.ASCII)
_START_STEP: Final = re.compile(r"([0-9]+)/([0-9]+)", re.ASCII)
_CYCLES: Final = {
    "second": "each minute",
    "minute": "each hour",
    "hour": "each day",
    "day_of_month": "each month",
    "month": "each year",
    "day_of_week": "each Sunday",
}
_UNITS: Final = {
    "second": "seconds",
    "minute": "minutes",
    "hour": "hours",
    "day_of_month": "days",
    "month": "months",
}
_INTERVAL_UNITS: Final = ("second", "minute", "hour", "day_of_month")


def advice_on_fields(fields: Fields, texts: Mapping[str, str]) -> Iterator[Found]:
    """Yield what may surprise in field sets and the texts that they were written in (by field name)."""
    for name, text in texts.items():
        for part in text.lower().split(","):
            yield from _on_step(name, part)
    for rule in _RULES:
        yield from rule(fields, texts)


def _on_step(name: str, part: str) -> Iterator[Found]:
    if name not in _CYCLES:
        return
    first, last = FIELDS[name]
    if match := _START_STEP.fullmatch(part):
        start, step = int(match[1]), int(match[2])
        if start + step > last:
            yield "step-beyond-range", f"{name} {part!r} is {start} alone: the step leads beyond {last}"
    elif match := _STAR_STEP.fullmatch(part):
        step = int(match[1])
        size = last - first + 1
        if step >= size:
            yield "step-beyond-range", f"{name} {part!r} is {first} alone: the step leads beyond {last}"
        elif size % step or (name == "day_of_month" and step > 1):
            yield "step-restarts", _restarts(name, part, step, range(first, last + 1, step))


def _restarts(name: str, part: str, step: int, values: range) -> str:
    shown = ", ".join(map(str, values)) if len(values) < 5 else f"{values[0]}, {values[1]}, … {values[-1]}"  # noqa: PLR2004 - short enough to list
    text = f"{name} {part!r} restarts {_CYCLES[name]} ({shown})"
    return f"{text}; for every {step} {_UNITS[name]} use an interval" if name in _INTERVAL_UNITS else text


def _on_either(fields: Fields, texts: Mapping[str, str]) -> Iterator[Found]:
    if not fields.days.either:
        return
    dom, dow = texts.get("day_of_month", ""), texts.get("day_of_week", "")
    if dom.startswith("*") or dow.startswith("*"):
        yield (
            "vixie-would-and",
            f"day_of_month {dom!r} and day_of_week {dow!r}: either may match here, where Vixie cron wants both",
        )
    else:
        yield (
            "either-day-field",
            f"day_of_month {dom!r} and day_of_week {dow!r}: a day that matches one of them is enough",
        )


def _on_both(fields: Fields, texts: Mapping[str, str]) -> Iterator[Found]:
    days = fields.days
    if not days.either and days.dom and days.dow and days.dom < ALL_DAYS and days.dow < ALL_WEEKDAYS:
        fields_text = (
            f"day_of_month {texts.get('day_of_month')!r} and day_of_week {texts.get('day_of_week')!r}"
        )
        yield "both-day-fields", f"{fields_text}: both must match here, where cron takes either"


def _on_whole_list(fields: Fields, texts: Mapping[str, str]) -> Iterator[Found]:
    days = fields.days
    whole = {"day_of_month": days.dom >= ALL_DAYS, "day_of_week": days.dow >= ALL_WEEKDAYS}
    for name, other in (("day_of_month", "day_of_week"), ("day_of_week", "day_of_month")):
        text = texts.get(name, "*")
        if whole[name] and not whole[other] and text not in {"*", "?"}:
            whole_text = f"{name} {text!r} is every day and counts as *, so {other} alone decides"
            yield "whole-field", f"{whole_text}; some crons would fire every day"


def _on_rare_days(fields: Fields, texts: Mapping[str, str]) -> Iterator[Found]:
    days = fields.days
    if days.either or days.last_day or days.nearest is not None or not days.dom:
        return
    first = min(days.dom)
    if fields.months == {2} and first == 29:  # noqa: PLR2004 - the calendar
        yield "leap-years-only", "29 February comes in leap years only"
        return
    short = [month for month in fields.months if LONGEST_MONTHS[month] < first or (month == 2 and first > 28)]  # noqa: PLR2004 - the calendar
    if short:
        skips = f"day_of_month {texts.get('day_of_month')!r} skips the months that have no day {first}"
        yield "short-months", f"{skips}; L in a cron string is the last day of each month"


def _on_spread(fields: Fields, texts: Mapping[str, str]) -> Iterator[Found]:  # noqa: ARG001 - one of the rules
    if any(text.lower().startswith("h") for text in texts.values()):
        yield (
            "spread-needs-name",
            "H depends on the entry's name; without an entry it stands for an empty one",
        )


_RULES: Final[tuple[Callable[[Fields, Mapping[str, str]], Iterator[Found]], ...]] = (
    _on_either,
    _on_both,
    _on_whole_list,
    _on_rare_days,
    _on_spread,
)
