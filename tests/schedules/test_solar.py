"""Solar events: Celery's own results away from its bugs, and the sun's own behaviour where Celery is wrong."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import ephem
import pytest
from celery.schedules import solar as celery_solar
from hypothesis import given, settings
from hypothesis import strategies as st

from qbeat.schedules import ScheduleError, Solar
from qbeat.schedules.base import from_us, to_us
from qbeat.schedules.solar import EVENTS
from tests.schedules.laws import assert_comes_back, assert_orderly, assert_splits, fire_times

DAY = 86400 * 10**6

events = st.sampled_from(sorted(EVENTS))
latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
instants = st.integers(to_us(datetime(1990, 1, 1, tzinfo=UTC)), to_us(datetime(2060, 1, 1, tzinfo=UTC)))


def next_of_celery(schedule: Solar, instant: datetime) -> Any:
    theirs = celery_solar(schedule.event, schedule.lat, schedule.lon)
    found = theirs._next_event(ephem.Date(instant.replace(tzinfo=None)))
    return found.datetime().replace(tzinfo=UTC)


@given(events, st.floats(-65, 65), longitudes, instants)
def test_celery_gives_the_same_fire_times(event: str, lat: float, lon: float, after: int) -> None:
    schedule = Solar(event, lat, lon)
    theirs = next_of_celery(schedule, from_us(after))
    ours = schedule.next_after(theirs - timedelta(hours=1))
    assert ours is not None
    assert abs(ours - theirs) < timedelta(seconds=1)


@settings(max_examples=40)
@given(events, latitudes, longitudes, instants, st.integers(0, 3 * DAY))
def test_laws_hold_everywhere_on_earth(event: str, lat: float, lon: float, after: int, later: int) -> None:
    assert_orderly(Solar(event, lat, lon), after, after + later)


@settings(max_examples=20)
@given(events, st.floats(-70, 70), longitudes, instants, st.integers(0, 5 * DAY))
def test_a_stretch_is_the_sum_of_its_parts(
    event: str, lat: float, lon: float, begin: int, middle: int
) -> None:
    assert_splits(Solar(event, lat, lon), begin, begin + middle, begin + 5 * DAY)


@given(events, latitudes, longitudes)
def test_plain_data_come_back(event: str, lat: float, lon: float) -> None:
    assert_comes_back(Solar(event, lat, lon))


@settings(max_examples=25)
@given(st.sampled_from(["sunrise", "sunset", "dusk_civil"]), st.floats(-89, 89), longitudes, instants)
def test_the_sun_crosses_the_horizon_in_the_right_direction(
    event: str, lat: float, lon: float, after: int
) -> None:
    found = Solar(event, lat, lon).next_us(after)
    assert found is not None
    rises = height_of_sun(event, lat, lon, found + 10**7) > height_of_sun(event, lat, lon, found - 10**7)
    assert rises == (event == "sunrise")
    assert abs(height_of_sun(event, lat, lon, found)) < 0.006  # the sun moves less than 15 degrees an hour


def height_of_sun(event: str, lat: float, lon: float, instant: int) -> float:
    """Return the sun's height over the event's horizon in degrees."""
    place = ephem.Observer()
    place.lat, place.lon, place.elevation, place.pressure = str(lat), str(lon), 0, 0
    place.date = ephem.Date(from_us(instant).replace(tzinfo=None))
    sun = ephem.Sun(place)
    limb = 0.0 if event == "dusk_civil" else float(sun.radius)
    horizon = {"dusk_civil": -6.0}.get(event, -34 / 60)
    return (float(sun.alt) + limb) * 180 / 3.141592653589793 - horizon


def test_a_polar_winter_has_no_sunrise_until_the_sun_comes_back() -> None:
    tromso = Solar("sunrise", 69.65, 18.96)
    found = tromso.next_after(datetime(2026, 12, 1, tzinfo=UTC))
    assert found is not None
    assert datetime(2027, 1, 13, tzinfo=UTC) < found < datetime(2027, 1, 19, tzinfo=UTC)


def test_the_pole_has_one_sunrise_a_year_where_celery_finds_none() -> None:
    pole = Solar("sunrise", 90, 0)
    start, end = (to_us(datetime(year, 1, 1, tzinfo=UTC)) for year in (2026, 2029))
    assert [from_us(at).month for at in fire_times(pole, start, end)] == [3, 3, 3]


def test_each_solar_noon_is_a_day_after_the_one_before() -> None:
    start = to_us(datetime(2026, 1, 1, tzinfo=UTC))
    noons = fire_times(Solar("solar_noon", 40, 179.99), start, start + 366 * DAY)
    assert len(noons) in {365, 366, 367}
    assert all(abs(b - a - DAY) < 31 * 10**6 for a, b in pairwise(noons))


def test_a_year_in_berlin_has_a_sunrise_a_day() -> None:
    start = to_us(datetime(2026, 1, 1, tzinfo=UTC))
    assert len(fire_times(Solar("sunrise", 52.52, 13.4), start, start + 365 * DAY)) == 365


def test_it_is_described_in_english() -> None:
    assert Solar("sunset", -37.81753, 144.96715).describe() == "at sunset at 37.8175° S, 144.967° E"
    assert Solar("solar_noon", 0, -10).describe() == "at solar noon at 0° N, 10° W"
    assert Solar("dawn_civil", 52, 13).describe() == "at civil dawn at 52° N, 13° E"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("moonrise", 0, 0), "event"),
        (("sunrise", 90.1, 0), "lat"),
        (("sunrise", 0, -180.5), "lon"),
        (("sunrise", float("nan"), 0), "lat"),
        (("sunrise", "52", 13), "lat"),
    ],
)
def test_an_impossible_place_or_event_is_refused(arguments: tuple[str, float, float], field: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        Solar(*arguments)
    assert refusal.value.field == field
    assert refusal.value.cure


def test_without_ephem_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ephem", None)
    schedule = Solar("sunrise", 12.3, 4.5)
    with pytest.raises(ScheduleError, match=r'pip install "qbeat\[solar\]"'):
        schedule.resolve(name="cat", timezone="UTC")
    with pytest.raises(ScheduleError, match="ephem"):
        schedule.next_us(0)
