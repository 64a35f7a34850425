"""Instants as people and programs read them, those at the ends of time included."""

from __future__ import annotations

import pytest

from qbeat.beat.instants import iso, iso_or_none, local_text
from qbeat.schedules.base import EARLIEST, LATEST

NOON = 1_795_262_400_000_000


def test_an_instant_is_iso_8601_in_utc_with_as_many_decimals_as_it_needs() -> None:
    assert iso(NOON) == "2026-11-21T12:00:00Z"
    assert iso(NOON + 250_000) == "2026-11-21T12:00:00.250Z"
    assert iso(NOON + 1) == "2026-11-21T12:00:00.000001Z"
    assert iso_or_none(None) is None


def test_a_local_time_says_its_zone() -> None:
    assert local_text(NOON, "Europe/Berlin") == "Sat 2026-11-21 13:00:00 CET"


@pytest.mark.parametrize("instant", [EARLIEST, LATEST, EARLIEST - 10**15, LATEST + 10**15])
@pytest.mark.parametrize("timezone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_no_instant_is_too_far_to_be_shown(instant: int, timezone: str) -> None:
    assert iso(instant).startswith(("0001-", "9999-"))
    assert local_text(instant, timezone)[3:9].strip().startswith(("1-", "0001-", "9999-"))
