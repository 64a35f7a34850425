"""An .ics file's text as a calendar: each event takes the days off that it touches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from importlib import import_module
from typing import Any

from qbeat.schedules.base import ScheduleError
from qbeat.schedules.calendars import Calendar, RecurringDays


def calendar_from_ics(name: str, text: str, weekdays: Iterable[str] = ()) -> Calendar:
    """Return the calendar of an .ics file's text, with weekdays off besides if wanted.

    An event of many days takes them all off, an event with times the days that it touches in its own zone. Rules,
    extra and excluded dates and moved occurrences are followed; cancelled events are not. Raises ``ScheduleError``;
    needs the package ``icalendar`` (the extra ``calendars``).
    """
    try:
        events = _package().Calendar.from_ical(text).walk("VEVENT")
    except ValueError as error:
        raise _error(
            f"the calendar {name!r} is no iCalendar text: {error}", "give an .ics file's text"
        ) from None
    live = [event for event in events if str(event.get("STATUS", "")).upper() != "CANCELLED"]
    moved = _moved(events)
    dates: set[date] = set()
    recurring = []
    for event in live:
        if "RRULE" in event or "RDATE" in event:
            recurring.append(_recurring(event, moved[str(event.get("UID", ""))]))
        else:
            dates.update(_days(event))
    return Calendar(name, weekdays, dates, recurring)


def _moved(events: Iterable[Any]) -> dict[str, set[date]]:
    """Return, by event, the occurrences that an event of their own replaces or cancels."""
    moved: dict[str, set[date]] = defaultdict(set)
    for event in events:
        if "RECURRENCE-ID" in event:
            moved[str(event.get("UID", ""))].add(_date(event.decoded("RECURRENCE-ID")))
    return moved


def _days(event: Any) -> Iterator[date]:
    first, count = _extent(event)
    for i in range(count):
        yield first + timedelta(days=i)


def _extent(event: Any) -> tuple[date, int]:
    """Return the first day and the number of days; the end is exclusive, an event without one lasts a day."""
    if "DTSTART" not in event:
        raise _error("an event of the calendar has no DTSTART", "correct the .ics file")
    start = event.decoded("DTSTART")
    end = event.decoded("DTEND") if "DTEND" in event else start + event.decoded("DURATION", timedelta(0))
    touched = end - timedelta(microseconds=1) if isinstance(end, datetime) else end - timedelta(days=1)
    return _date(start), max(0, (_date(touched) - _date(start)).days) + 1


def _recurring(event: Any, moved: Iterable[date]) -> RecurringDays:
    """Return the event as whole days: its rules with the time of day taken out."""
    first, count = _extent(event)
    lines = [f"DTSTART;VALUE=DATE:{first:%Y%m%d}"]
    lines += [f"RRULE:{_whole_days(rule)}" for rule in _listed(event, "RRULE")]
    lines += _date_lines("RDATE", _dates(event, "RDATE"))
    lines += _date_lines("EXDATE", {*_dates(event, "EXDATE"), *moved})
    return RecurringDays("\n".join(lines), count)


def _whole_days(rule: Any) -> str:
    parts = {name: values for name, values in rule.items() if name not in {"BYHOUR", "BYMINUTE", "BYSECOND"}}
    if "UNTIL" in parts:
        parts["UNTIL"] = [f"{_date(parts['UNTIL'][0]):%Y%m%d}"]
    return ";".join(f"{name}={','.join(map(str, values))}" for name, values in parts.items())


def _dates(event: Any, name: str) -> set[date]:
    return {_date(each.dt) for dates in _listed(event, name) for each in dates.dts}


def _date_lines(name: str, days: Iterable[date]) -> list[str]:
    listed = ",".join(f"{day:%Y%m%d}" for day in sorted(days))
    return [f"{name};VALUE=DATE:{listed}"] if listed else []


def _listed(event: Any, name: str) -> list[Any]:
    found = event.get(name, [])
    return found if isinstance(found, list) else [found]


def _date(value: Any) -> date:
    if isinstance(value, tuple):  # a period begins with its start
        return _date(value[0])
    day = value.date() if isinstance(value, datetime) else value
    assert isinstance(day, date)
    return day


def _package() -> Any:
    try:
        return import_module("icalendar")
    except ImportError:
        raise _error(
            "reading an .ics file needs the package icalendar, which is not installed",
            'pip install "qbeat[calendars]"',
        ) from None


def _error(problem: str, cure: str) -> ScheduleError:
    return ScheduleError(problem, field="calendar", cure=cure)
