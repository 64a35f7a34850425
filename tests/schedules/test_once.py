"""One-off schedules: at an instant, or at a local time through every clock change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbeat.schedules import Once, ScheduleError
from qbeat.schedules.base import from_us, to_us
from qbeat.schedules.zones import naive_of, zone
from tests.schedules.drawing import zones_and_instants
from tests.schedules.laws import assert_comes_back, assert_orderly

LONG_AGO = datetime(1971, 1, 1, tzinfo=UTC)


def at(schedule: Once) -> str:
    found = schedule.next_after(LONG_AGO)
    assert found is not None
    return found.isoformat().removesuffix("+00:00")


@pytest.mark.parametrize(
    ("local", "name", "instant"),
    [
        ("2026-12-24T18:00", "Europe/Berlin", "2026-12-24T17:00:00"),
        (
            "2026-03-29T02:30",
            "Europe/Berlin",
            "2026-03-29T01:00:00",
        ),  # the gap: when the clock comes out of it
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00"),  # the fold: the first pass
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30:00"),  # half an hour is skipped
        ("2026-04-05T01:45", "Australia/Lord_Howe", "2026-04-04T14:45:00"),  # half an hour is repeated
        ("2011-12-30T09:00", "Pacific/Apia", "2011-12-30T10:00:00"),  # a day that never was
        ("2018-11-04T00:30", "America/Sao_Paulo", "2018-11-04T03:00:00"),  # a midnight that never was
        ("2025-03-30T02:30", "Antarctica/Troll", "2025-03-30T01:00:00"),  # two hours are skipped
        ("2038-01-19T03:14:08", "UTC", "2038-01-19T03:14:08"),
        ("2100-02-28T23:59", "Asia/Tokyo", "2100-02-28T14:59:00"),
    ],
)
def test_a_local_time_fires_at_the_first_instant_at_which_the_clock_shows_it_or_later(
    local: str, name: str, instant: str
) -> None:
    assert at(Once(datetime.fromisoformat(local), name)) == instant


def test_an_instant_fires_at_itself_whatever_the_zone() -> None:
    instant = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    schedule = Once(instant).resolve(name="cat", timezone="Asia/Tokyo")
    assert at(schedule) == "2026-10-25T01:30:00"
    assert (
        schedule
        == Once("2026-10-25T01:30Z")
        == Once(datetime(2026, 10, 25, 3, 30, tzinfo=timezone(timedelta(hours=2))))
    )


def test_an_aware_datetime_inside_a_gap_is_a_local_time() -> None:
    assert at(Once(datetime(2026, 3, 29, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")))) == "2026-03-29T01:00:00"


def test_a_local_time_waits_for_the_zone_of_the_app() -> None:
    schedule = Once("2026-07-01T09:00")
    assert at(schedule.resolve(name="cat", timezone="Asia/Tokyo")) == "2026-07-01T00:00:00"
    assert schedule.resolve(name="cat", timezone="Asia/Tokyo").timezone == "Asia/Tokyo"
    assert schedule.timezone is None


def test_it_fires_once() -> None:
    schedule = Once("2026-07-01T09:00Z")
    assert schedule.next_after(datetime(2026, 7, 1, 9, tzinfo=UTC)) is None
    assert schedule.next_after(datetime(2026, 7, 1, 8, 59, 59, 999999, tzinfo=UTC)) is not None


@given(zones_and_instants(), st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_laws_hold_around_every_clock_change(where: tuple[str, int], first: int, second: int) -> None:
    name, near = where
    schedule = Once(naive_of(zone(name).local(near)), name)
    assert_orderly(schedule, near + first, near + second)
    assert_comes_back(schedule)


@given(zones_and_instants())
def test_the_clock_shows_the_time_or_later_and_never_showed_it_before(where: tuple[str, int]) -> None:
    name, near = where
    wall = zone(name).local(near)
    found = Once(naive_of(wall), name).next_after(from_us(near - 10 * 86400 * 10**6))
    assert found is not None
    info = ZoneInfo(name)
    assert found.astimezone(info).replace(tzinfo=None) >= naive_of(wall)
    before = found - timedelta(microseconds=1)
    assert before.astimezone(info).replace(tzinfo=None) < naive_of(wall)


@given(st.datetimes(datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2200-01-01")))
def test_instants_come_back_to_the_microsecond(naive: datetime) -> None:
    instant = naive.replace(tzinfo=UTC)
    schedule = Once(instant)
    assert_comes_back(schedule)
    assert schedule.next_us(to_us(instant) - 1) == to_us(instant)


def test_it_is_described_in_english() -> None:
    assert Once("2026-07-01T09:00Z").describe() == "once, at 2026-07-01 09:00 UTC"
    assert Once("2026-07-01T09:00:30", "Asia/Tokyo").describe() == "once, at 2026-07-01 09:00:30 Asia/Tokyo"


@pytest.mark.parametrize("wrong", ["tomorrow", "", "2026-02-30T10:00", 5, None])
def test_anything_else_is_refused(wrong: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        Once(wrong)
    assert refusal.value.field == "at"


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ScheduleError, match="Europe/Berlin") as refusal:
        Once("2026-07-01T09:00", "Europe/Berlim")
    assert refusal.value.field == "timezone"
