"""Plain data and back, one object for equal schedules, and what a lazy package imports."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import subprocess
import sys
import weakref
from typing import Any

import pytest

from qbeat import schedules
from qbeat.schedules import Cron, Crontab, Interval, Schedule, ScheduleError
from qbeat.schedules.codec import KINDS, from_data, shared, to_data

SCHEDULES: list[Schedule] = [
    Interval(0.5),
    Interval("1d", relative=True, timezone="Europe/Berlin"),
    Crontab("*/5", "9-17", "mon-fri", timezone="America/New_York", fold="every"),
    Crontab(0, 0, day_of_month="1,15", month_of_year="*/3", gap="skip"),
    Cron("0 9 * * mon-fri", "Europe/Berlin"),
    Cron("@daily"),
    Cron("H H(1-5) * * *"),
    Cron("*/10 0 9 ? * MON-FRI 2026-2030", "Asia/Tokyo", "first", fold="every", gap="skip"),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_schedule_survives_json_pickle_and_copy(schedule: Schedule) -> None:
    again = from_data(json.loads(json.dumps(to_data(schedule))))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert type(again) is type(schedule)
    assert to_data(again) == to_data(schedule)
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert copy.deepcopy(schedule) is schedule
    assert again.describe() == schedule.describe()


def test_equal_data_give_one_object() -> None:
    data = {"kind": "cron", "expression": "7 3 * * *", "timezone": "Asia/Tokyo"}
    assert from_data(data) is from_data(dict(reversed(data.items())))
    assert shared(Cron("7 3 * * *", "Asia/Tokyo")) is from_data(data)


def test_two_spellings_of_one_crontab_share_one_object() -> None:
    one = from_data({"kind": "crontab", "minute": "0,30"})
    other = from_data({"kind": "crontab", "minute": "*/30"})
    assert one is other


def test_what_nobody_uses_is_forgotten() -> None:
    used = weakref.ref(from_data({"kind": "interval", "every": 12_345.678}))
    gc.collect()
    assert used() is None


WRONG: list[Any] = [
    {},
    {"kind": "cronn"},
    {"kind": None},
    {"kind": ["cron"]},
    {"kind": "cron"},
    {"kind": "cron", "expression": "* * * * *", "colour": "red"},
    {"kind": "cron", "expression": "61 * * * *"},
    {"kind": "crontab", "minute": {"a": 1}},
    {"kind": "interval", "every": "never"},
    {"kind": "interval", "every": object()},
    ["kind", "cron"],
    "cron",
    None,
]


@pytest.mark.parametrize("data", WRONG)
def test_data_that_describe_no_schedule_are_refused(data: Any) -> None:
    with pytest.raises(ScheduleError):
        from_data(data)


def test_every_outward_name_has_a_home() -> None:
    for name in schedules.__all__:
        assert getattr(schedules, name).__name__ == name
    with pytest.raises(AttributeError, match="Quartz"):
        schedules.Quartz  # noqa: B018


def test_every_kind_is_the_one_its_class_writes() -> None:
    for schedule in SCHEDULES:
        kind = to_data(schedule)["kind"]
        assert KINDS[kind].endswith(f":{type(schedule).__name__}")


def test_heavy_packages_wait_until_a_schedule_needs_them() -> None:
    probe = (
        "import sys; from qbeat.schedules import Interval, Crontab; Interval(60); Crontab(0, 9);"
        "print([m for m in ('croniter', 'dateutil', 'cron_descriptor', 'ephem', 'celery') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.strip() == "[]"
