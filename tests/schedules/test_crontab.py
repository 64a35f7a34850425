"""Celery's crontab: its grammar, its sets and its refusals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from qbeat.schedules import Crontab, ScheduleError

TAKEN: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"minute": "*/15"}, {"minute": "*/15"}),
    ({"minute": 7}, {"minute": "7"}),
    ({"minute": [0, 30]}, {"minute": "*/30"}),
    ({"minute": range(0, 60, 7)}, {"minute": "*/7"}),
    ({"minute": "1,13,30-45,50-59/2"}, {"minute": "1,13,30-45,50-58/2"}),
    ({"hour": "0,8-17/2"}, {"hour": "0,8-16/2"}),
    ({"hour": "22-4"}, {"hour": "0-4,22,23"}),
    ({"hour": "22-4/3"}, {"hour": "1,4,22"}),
    ({"hour": "5-5"}, {"hour": "5"}),
    ({"hour": "0-23"}, {"hour": "*"}),
    ({"minute": "*/90"}, {"minute": "0"}),
    ({"day_of_week": "mon-fri"}, {"day_of_week": "1-5"}),
    ({"day_of_week": "Sunday,tues"}, {"day_of_week": "0,2"}),
    ({"day_of_week": "fri-mon"}, {"day_of_week": "0,1,5,6"}),
    ({"month_of_year": "jan,MARCH"}, {"month_of_year": "1,3"}),
    ({"month_of_year": "*/3"}, {"month_of_year": "*/3"}),
    ({"month_of_year": "2-12/2"}, {"month_of_year": "2-12/2"}),
    ({"day_of_month": "1-7,15-21"}, {"day_of_month": "1-7,15-21"}),
    ({"minute": "0, 30"}, {"minute": "*/30"}),
]


@pytest.mark.parametrize(("given", "expected"), TAKEN)
def test_fields_are_read_as_celery_reads_them(given: dict[str, Any], expected: dict[str, str]) -> None:
    texts = Crontab(**given).texts
    assert {name: texts[name] for name in expected} == expected
    assert all(text == "*" for name, text in texts.items() if name not in expected)


REFUSED = [
    ({"minute": "60"}, "minute", "0 to 59"),
    ({"minute": -1}, "minute", "0 to 59"),
    ({"minute": "5/10"}, "minute", "5-59/10"),
    ({"minute": "*/0"}, "minute", "at least 1"),
    ({"minute": "*/5-10"}, "minute", "ranges"),
    ({"minute": "1-5-9"}, "minute", "ranges"),
    ({"minute": "1,,2"}, "minute", "comma"),
    ({"minute": ""}, "minute", "comma"),
    ({"minute": "feb"}, "minute", "numbers"),
    ({"minute": []}, "minute", '"*"'),
    ({"minute": None}, "minute", "a number, a text"),
    ({"minute": 1.5}, "minute", "a number, a text"),
    ({"minute": ["1"]}, "minute", "whole numbers"),
    ({"minute": "٣"}, "minute", "numbers"),
    ({"minute": "1_0"}, "minute", "numbers"),
    ({"day_of_week": 7}, "day_of_week", "0 for Sunday"),
    ({"day_of_week": "jan"}, "day_of_week", "0 to 6"),
    ({"day_of_week": "sundxyz"}, "day_of_week", "0 to 6"),
    ({"day_of_month": "L"}, "day_of_month", "Cron string"),
    ({"day_of_month": "?"}, "day_of_month", '"*"'),
    ({"day_of_month": 0}, "day_of_month", "1 to 31"),
    ({"month_of_year": 13}, "month_of_year", "1 to 12"),
    ({"minute": "1," * 600}, "minute", "at most"),
    ({"day_of_month": 30, "month_of_year": 2}, "day_of_month", "one of the months"),
    ({"day_of_month": 31, "month_of_year": "4,6,9,11"}, "day_of_month", "one of the months"),
    ({"timezone": "Mars/Olympus"}, "timezone", "Europe/Berlin"),
]


@pytest.mark.parametrize(("given", "field", "cure"), REFUSED)
def test_a_field_that_cannot_be_is_refused_by_its_name(given: dict[str, Any], field: str, cure: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        Crontab(**given)
    assert refused.value.field == field
    assert refused.value.cure is not None
    assert cure in refused.value.cure


def test_ready_sets_are_the_same_as_their_texts() -> None:
    ready = Crontab.from_sets(
        minute={0, 30},
        hour=range(24),
        day_of_week=[1, 2, 3, 4, 5],
        day_of_month=range(1, 32),
        month_of_year=range(1, 13),
    )
    assert ready == Crontab("*/30", "*", "mon-fri")


def test_an_empty_set_can_never_fire_and_is_refused() -> None:
    everything: dict[str, Any] = {
        "hour": range(24),
        "day_of_week": range(7),
        "day_of_month": range(1, 32),
        "month_of_year": range(1, 13),
    }
    with pytest.raises(ScheduleError, match="minute is empty"):
        Crontab.from_sets(minute=[], **everything)


def test_all_five_fields_must_match() -> None:
    first_monday = Crontab(0, 9, "mon", "1-7")
    assert first_monday.next_after(datetime(2026, 6, 2, tzinfo=UTC)) == datetime(2026, 7, 6, 9, tzinfo=UTC)


def test_without_a_zone_a_crontab_counts_in_utc_until_it_is_resolved() -> None:
    nine = Crontab(0, 9)
    start = datetime(2026, 6, 1, tzinfo=UTC)
    assert nine.next_after(start) == datetime(2026, 6, 1, 9, tzinfo=UTC)
    assert nine.resolve(name="x", timezone="Asia/Tokyo").next_after(start) == datetime(2026, 6, 2, tzinfo=UTC)
    own = Crontab(0, 9, timezone="Europe/Berlin")
    assert own.resolve(name="x", timezone="Asia/Tokyo") is own
