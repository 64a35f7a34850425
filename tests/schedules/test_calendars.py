"""Calendars of days off: weekdays, dates, recurrences, .ics texts and holidays."""

from __future__ import annotations

import json
import sys
from datetime import date, datetime, timedelta

import pytest

from qbeat.schedules import Calendar, Holidays, ScheduleError, calendar_from_ics
from qbeat.schedules.calendars import RecurringDays, day_number


def days_off(calendar: Calendar, year: int) -> list[str]:
    first = date(year, 1, 1)
    days = (first + timedelta(days=i) for i in range(366))
    return [f"{day:%m-%d}" for day in days if day.year == year and calendar.is_off(day_number(day))]


def ics(*events: str) -> str:
    body = "".join(f"BEGIN:VEVENT\n{event}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:test\n{body}END:VCALENDAR\n".replace("\n", "\r\n")


def test_weekdays_are_off_in_every_week() -> None:
    assert days_off(Calendar("weekend", ["Sat", "sunday"]), 2026)[:4] == ["01-03", "01-04", "01-10", "01-11"]


def test_dates_are_off_once() -> None:
    calendar = Calendar(
        "feast", dates=["2026-12-25", date(2026, 2, 16), datetime.fromisoformat("2027-01-01T12:00")]
    )
    assert days_off(calendar, 2026) == ["02-16", "12-25"]
    assert days_off(calendar, 2027) == ["01-01"]


def test_the_days_of_an_ics_text_are_off() -> None:
    calendar = calendar_from_ics(
        "company",
        ics(
            "UID:1\nDTSTART;VALUE=DATE:20260501\nSUMMARY:Labour day",
            "UID:2\nDTSTART;VALUE=DATE:20260803\nDTEND;VALUE=DATE:20260806\nSUMMARY:Summer",
            "UID:3\nDTSTART;TZID=Europe/Berlin:20260910T180000\nDTEND;TZID=Europe/Berlin:20260911T000000",
            "UID:4\nDTSTART;TZID=Europe/Berlin:20260920T180000\nDURATION:PT10H",
            "UID:5\nDTSTART;VALUE=DATE:20261001\nSTATUS:CANCELLED",
        ),
    )
    assert days_off(calendar, 2026) == ["05-01", "08-03", "08-04", "08-05", "09-10", "09-20", "09-21"]


def test_the_recurrences_of_an_ics_text_are_off() -> None:
    calendar = calendar_from_ics(
        "company",
        ics(
            "UID:1\nDTSTART;VALUE=DATE:20201224\nDTEND;VALUE=DATE:20201227\nRRULE:FREQ=YEARLY",
            "UID:2\nDTSTART;VALUE=DATE:20200101\nRRULE:FREQ=YEARLY;UNTIL=20250601T000000Z",
            "UID:3\nDTSTART;TZID=Europe/Berlin:20260105T090000\nRRULE:FREQ=MONTHLY;BYDAY=1MO;COUNT=4\n"
            "EXDATE;TZID=Europe/Berlin:20260202T090000\nRDATE;TZID=Europe/Berlin:20260203T090000",
            "UID:3\nRECURRENCE-ID;TZID=Europe/Berlin:20260302T090000\nDTSTART;TZID=Europe/Berlin:20260304T090000",
        ),
    )
    assert days_off(calendar, 2026) == ["01-05", "02-03", "03-04", "04-06", "12-24", "12-25", "12-26"]
    assert days_off(calendar, 2025) == ["01-01", "12-24", "12-25", "12-26"]
    assert days_off(calendar, 2090) == ["12-24", "12-25", "12-26"]


def test_an_ics_text_may_have_weekdays_off_besides() -> None:
    calendar = calendar_from_ics("company", ics("UID:1\nDTSTART;VALUE=DATE:20260501"), weekdays=["sun"])
    assert days_off(calendar, 2026)[:2] == ["01-04", "01-11"]


@pytest.mark.parametrize("text", ["", "no calendar", "BEGIN:VCALENDAR\nBEGIN:VEVENT\n"])
def test_a_text_that_is_no_calendar_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError, match="company") as refusal:
        calendar_from_ics("company", text)
    assert refusal.value.cure


def test_an_event_without_a_start_is_refused() -> None:
    with pytest.raises(ScheduleError, match="DTSTART"):
        calendar_from_ics("company", ics("UID:1\nSUMMARY:When?"))


def test_holidays_of_a_country_and_its_part_are_off() -> None:
    germany = days_off(Calendar("de", holidays=[Holidays.of("DE")]), 2026)
    bavaria = days_off(Calendar("by", holidays=[Holidays.of("DE", "BY")]), 2026)
    assert "12-25" in germany
    assert set(bavaria) - set(germany) >= {"01-06", "11-01"}


def test_holidays_of_a_market_are_off() -> None:
    assert "07-03" in days_off(Calendar("nyse", holidays=[Holidays.of(market="XNYS")]), 2026)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"country": "XX"}, {"country": "DE", "subdivision": "XX"}, {"market": "XXXX"}, {"country": "DE", "market": "XNYS"}],
)  # fmt: skip
def test_unknown_holidays_are_refused(arguments: dict[str, str]) -> None:
    with pytest.raises(ScheduleError) as refusal:
        Holidays.of(**arguments)
    assert refusal.value.field == "holidays"
    assert refusal.value.cure


def test_without_the_packages_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    monkeypatch.setitem(sys.modules, "icalendar", None)
    with pytest.raises(ScheduleError, match=r'pip install "qbeat\[calendars\]"'):
        Holidays.of("SE")
    with pytest.raises(ScheduleError, match=r'pip install "qbeat\[calendars\]"'):
        calendar_from_ics("company", ics())


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x", "weekdays": ["caturday"]}, "weekdays"),
        ({"name": "x", "weekdays": ["s"]}, "weekdays"),
        ({"name": "x", "weekdays": "sat"}, "weekdays"),
        ({"name": "x", "weekdays": [6]}, "weekdays"),
        ({"name": "x", "dates": ["2026-02-30"]}, "dates"),
        ({"name": "x", "dates": [20260101]}, "dates"),
        ({"name": "x", "recurring": [RecurringDays("DTSTART;VALUE=DATE:20260101", 0)]}, "recurring"),
        ({"name": "x", "recurring": ["yearly"]}, "recurring"),
        ({"name": "x", "recurring": "yearly"}, "recurring"),
        ({"name": "x", "recurring": [RecurringDays("DTSTART;VALUE=DATE:20260101", "2")]}, "recurring"),  # type: ignore[arg-type]
        ({"name": "x", "recurring": [RecurringDays(1)]}, "recurring"),  # type: ignore[arg-type]
        ({"name": "x", "holidays": "DE"}, "holidays"),
        ({"name": "x", "holidays": ["DE"]}, "holidays"),
        ({"name": "x", "holidays": Holidays("DE")}, "holidays"),
        ({"name": "x", "holidays": [("DE", "BY", "")]}, "holidays"),
        ({"name": "x", "holidays": [Holidays("XX")]}, "holidays"),
        ({"name": "x", "holidays": [Holidays(49)]}, "holidays"),  # type: ignore[arg-type]
        ({"name": "x", "weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}, "weekdays"),
    ],
)
def test_impossible_calendars_are_refused(arguments: dict[str, str], field: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        Calendar(**arguments)  # type: ignore[arg-type]
    assert refusal.value.field == field
    assert refusal.value.cure


def test_holidays_that_are_only_named_are_refused_with_what_to_write() -> None:
    with pytest.raises(ScheduleError) as refusal:
        Calendar("x", holidays="DE")  # type: ignore[arg-type]
    assert str(refusal.value) == "holidays is 'DE'; give a list such as [Holidays(\"DE\")]"
    with pytest.raises(ScheduleError) as refusal:
        Calendar("x", holidays=["DE"])  # type: ignore[list-item]
    assert str(refusal.value) == 'holidays holds \'DE\'; write Holidays("DE"), or Holidays(market="XNYS")'


def test_what_recurs_is_refused_with_where_it_comes_from() -> None:
    with pytest.raises(ScheduleError, match="recurring holds 'yearly'; take what calendar_from_ics"):
        Calendar("x", recurring=["yearly"])  # type: ignore[list-item]


def test_plain_data_come_back() -> None:
    text = ics("UID:1\nDTSTART;VALUE=DATE:20201224\nRRULE:FREQ=YEARLY", "UID:2\nDTSTART;VALUE=DATE:20260501")
    read = calendar_from_ics("company", text, ["sat"])
    calendar = Calendar("all", ["sun", "sat"], read.dates, read.recurring, [Holidays.of("DE", "BY")])
    again = Calendar.from_data(json.loads(json.dumps(calendar.to_data())))
    assert again == calendar
    assert hash(again) == hash(calendar)
    assert days_off(again, 2026) == days_off(calendar, 2026)
    assert calendar != read
