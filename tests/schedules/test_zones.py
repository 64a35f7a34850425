"""Zones as integers, beside ``zoneinfo``; names; and which tz database is read."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbeat.schedules import ScheduleError
from qbeat.schedules.base import from_us, to_us
from qbeat.schedules.tzdb import database
from qbeat.schedules.zones import HOUR, naive_of, wall_of, zone, zone_name
from tests.schedules.drawing import LIVELY_ZONES, ZONES, changes_of, zones
from tests.schedules.oracle import MINUTE_US

ANY_INSTANT = st.datetimes(datetime(1850, 1, 1), datetime(2500, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001


@given(zones, ANY_INSTANT)
def test_local_time_is_zoneinfos(name: str, at: datetime) -> None:
    assert naive_of(zone(name).local(to_us(at))) == at.astimezone(ZoneInfo(name)).replace(tzinfo=None)


@pytest.mark.parametrize("name", LIVELY_ZONES)
def test_every_change_of_a_zone_is_found_to_the_minute(name: str) -> None:
    begin, end = to_us(datetime(1973, 1, 1, tzinfo=UTC)), to_us(datetime(2060, 1, 1, tzinfo=UTC))
    changes = zone(name).changes(begin, end)
    assert [change.instant // MINUTE_US for change in changes] == changes_of(name)
    for change in changes:
        before, after = from_us(change.instant - 1), from_us(change.instant)
        assert change.before - 1 == wall_of(before.astimezone(ZoneInfo(name)).replace(tzinfo=None))
        assert change.after == wall_of(after.astimezone(ZoneInfo(name)).replace(tzinfo=None))


@given(zones, ANY_INSTANT)
def test_the_instants_of_a_wall_are_its_two_folds(name: str, at: datetime) -> None:
    wall = to_us(at)
    naive = naive_of(wall)
    folds = {naive.replace(tzinfo=ZoneInfo(name), fold=fold).astimezone(UTC) for fold in (0, 1)}
    real = [to_us(at) for at in sorted(folds) if at.astimezone(ZoneInfo(name)).replace(tzinfo=None) == naive]
    assert zone(name).instants(wall) == real


def test_what_is_known_of_a_zone_is_shared_and_survives_pickling() -> None:
    assert zone("Europe/Berlin") is zone("Europe/Berlin")
    assert pickle.loads(pickle.dumps(zone("Europe/Berlin"))) is zone("Europe/Berlin")


@pytest.mark.parametrize(
    ("given_zone", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (ZoneInfo("Asia/Tokyo"), "Asia/Tokyo"),
        (UTC, "UTC"),
        (timezone(timedelta(hours=5, minutes=30)), "UTC+05:30"),
        (timezone(-timedelta(hours=3)), "UTC-03:00"),
        (None, None),
    ],
)
def test_a_zone_may_be_given_by_name_or_as_an_object(
    given_zone: str | tzinfo | None, name: str | None
) -> None:
    assert zone_name(given_zone) == name
    if name is not None:
        at = datetime(2026, 7, 1, tzinfo=UTC)
        info = ZoneInfo(given_zone) if isinstance(given_zone, str) else given_zone
        assert naive_of(zone(name).local(to_us(at))) == at.astimezone(info).replace(tzinfo=None)


@pytest.mark.parametrize(
    "wrong",
    ["", "Mars", "Europe", "../etc/passwd", "/etc/localtime", "UTC+25:00", "europe\0berlin", "a" * 5000, "ä"],
)
def test_a_name_that_no_zone_has_is_refused(wrong: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        zone(wrong)
    assert refused.value.field == "timezone"
    assert refused.value.cure


@pytest.mark.parametrize("wrong", [5, object(), datetime(2026, 1, 1, tzinfo=UTC)])
def test_an_object_that_is_no_zone_is_refused(wrong: object) -> None:
    with pytest.raises(ScheduleError, match="time zone"):
        zone_name(wrong)  # type: ignore[arg-type]


def test_every_zone_of_the_database_can_be_asked() -> None:
    at = to_us(datetime(2026, 6, 1, tzinfo=UTC))
    assert len(ZONES) > 400
    for name in ZONES:
        assert abs(zone(name).offset(at)) <= 14 * HOUR


def test_the_tz_database_says_where_it_comes_from_and_how_old_it_is() -> None:
    known = database()
    assert known.source
    assert known.why
    assert known.version is None or known.version[:4].isdigit()
    assert database() is known


REPORT = "from qbeat.schedules.tzdb import database; print(*database()[:2], sep='|')"


def _reported(prelude: str = "", **environment: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", prelude + REPORT],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ran.stdout.strip().split("|")


@pytest.fixture
def old_system_database(tmp_path: Path) -> Path:
    (tmp_path / "UTC").write_bytes(b"TZif2")
    (tmp_path / "tzdata.zi").write_text("# version 2019a\n", "ascii")
    return tmp_path


def _system_at(directory: Path) -> str:
    return f"import zoneinfo; zoneinfo.reset_tzpath(to=[{str(directory)!r}]); "


def test_the_package_is_preferred_over_an_older_system_database(old_system_database: Path) -> None:
    source, version = _reported(_system_at(old_system_database))
    assert source == "package tzdata"
    assert version > "2019a"


def test_a_newer_system_database_is_preferred_over_the_package(old_system_database: Path) -> None:
    (old_system_database / "tzdata.zi").write_text("# version 2999a\n", "ascii")
    assert _reported(_system_at(old_system_database)) == [str(old_system_database), "2999a"]


def test_a_system_database_without_a_version_gives_way_to_the_package(old_system_database: Path) -> None:
    (old_system_database / "tzdata.zi").unlink()
    assert _reported(_system_at(old_system_database))[0] == "package tzdata"


def test_a_database_that_the_environment_names_is_respected(old_system_database: Path) -> None:
    reported = _reported(PYTHONTZPATH=str(old_system_database))
    assert reported == [str(old_system_database), "2019a"]


def test_choosing_the_package_makes_zoneinfo_read_it() -> None:
    assert "Europe/Kyiv" in available_timezones()
    if database().source == "package tzdata":
        assert ZoneInfo("Europe/Kyiv").key == "Europe/Kyiv"
