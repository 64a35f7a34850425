"""Named corners of clocks and calendars: each zone that once surprised somebody, each date that is not there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from qbeat.schedules import Cron, Crontab, Interval, Schedule, ScheduleError
from qbeat.schedules.base import from_us, to_us
from qbeat.schedules.zones import DAY, Zone, zone


def shown(schedule: Schedule, name: str, since: str, count: int) -> str:
    """Return what the local clock shows at the next few fire times after a local time, days as +1, +2, …."""
    info = ZoneInfo(name)
    start = datetime.fromisoformat(since).replace(tzinfo=info)
    texts = []
    at: datetime | None = start.astimezone(UTC)
    for _ in range(count):
        at = schedule.next_after(at) if at else None
        if at is not None:
            local = at.astimezone(info)
            days = (local.date() - start.date()).days
            texts.append(f"{local:%H:%M}" + (f"+{days}" if days else ""))
    return " ".join(texts)


NEW_YORK, LORD_HOWE = "America/New_York", "Australia/Lord_Howe"

GAPS = [
    # zone, expression, local time before the gap, what the clock shows at the fire times
    (NEW_YORK, "30 2 * * *", "2026-03-08T00:00", "03:00 02:30+1"),
    (NEW_YORK, "0,30 2 * * *", "2026-03-08T00:00", "03:00 02:00+1"),
    (NEW_YORK, "*/20 2 * * *", "2026-03-08T00:00", "03:00 02:00+1"),
    (NEW_YORK, "30 2,3 * * *", "2026-03-08T00:00", "03:00 03:30 02:30+1"),
    (NEW_YORK, "0 */2 * * *", "2026-03-08T00:00", "03:00 04:00 06:00"),
    (NEW_YORK, "0 * * * *", "2026-03-08T00:00", "01:00 03:00 04:00"),
    (NEW_YORK, "*/30 * * * *", "2026-03-08T00:59", "01:00 01:30 03:00 03:30"),
    (NEW_YORK, "*/15 2 * * *", "2026-03-08T00:00", "03:00 02:00+1"),
    (LORD_HOWE, "15 2 * * *", "2026-10-04T00:00", "02:30 02:15+1"),
    (LORD_HOWE, "0 * * * *", "2026-10-04T00:30", "01:00 03:00 04:00"),
    ("Antarctica/Troll", "30 1 * * *", "2026-03-29T00:00", "03:00 01:30+1"),
    ("Antarctica/Troll", "30 1,2 * * *", "2026-03-29T00:00", "03:00 01:30+1"),
    ("Antarctica/Troll", "0 * * * *", "2026-03-29T00:00", "03:00 04:00"),
    ("America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00", "01:00+1 00:00+2"),
    ("America/Sao_Paulo", "30 0 * * *", "2018-11-03T12:00", "01:00+1 00:30+2"),
    ("America/Santiago", "0 0 * * *", "2026-09-05T12:00", "01:00+1 00:00+2"),
    ("Pacific/Easter", "30 22 * * *", "2026-09-05T12:00", "23:00 22:30+1"),
    ("Asia/Beirut", "0 0 * * *", "2026-03-28T12:00", "01:00+1 00:00+2"),
    ("Africa/Cairo", "30 0 * * *", "2026-04-23T12:00", "01:00+1 00:30+2"),
    ("Asia/Gaza", "30 2 * * *", "2026-03-28T00:00", "03:00 02:30+1"),
    ("America/Nuuk", "30 23 * * *", "2026-03-28T12:00", "00:00+1 23:30+1"),
    ("America/Nuuk", "0 0 * * *", "2026-03-28T12:00", "00:00+1 00:00+2"),
    ("America/St_Johns", "30 0 * * *", "2010-03-13T12:00", "01:01+1 00:30+2"),
    ("America/Caracas", "0 * * * *", "2016-05-01T01:30", "02:00 03:00 04:00"),
    ("Pacific/Chatham", "* 3 * * *", "2006-10-01T00:00", "03:45 03:46 03:47"),
    ("Europe/Dublin", "30 1 * * *", "2026-03-29T00:00", "02:00 01:30+1"),
    ("Africa/Casablanca", "30 2 * * *", "2026-03-22T00:00", "03:00 02:30+1"),
    ("Pacific/Apia", "0 9 * * *", "2011-12-29T00:00", "09:00 00:00+2 09:00+2 09:00+3"),
    ("Pacific/Apia", "0 9 * * 5", "2011-12-29T00:00", "00:00+2 09:00+8"),
    ("Pacific/Apia", "0 */6 * * *", "2011-12-29T17:00", "18:00 00:00+2 06:00+2"),
    ("Pacific/Kwajalein", "0 9 * * *", "1993-08-20T00:00", "09:00 00:00+2 09:00+2"),
]


@pytest.mark.parametrize(("name", "text", "since", "expected"), GAPS)
def test_what_a_gap_swallows_fires_when_the_clock_comes_out_of_it(
    name: str, text: str, since: str, expected: str
) -> None:
    assert shown(Cron(text, name), name, since, expected.count(" ") + 1) == expected


FOLDS = [
    (NEW_YORK, "30 1 * * *", "2026-11-01T00:00", "01:30 01:30+1"),
    (NEW_YORK, "0 * * * *", "2026-11-01T00:00", "01:00 01:00 02:00"),
    (NEW_YORK, "0 0-23 * * *", "2026-11-01T00:00", "01:00 01:00 02:00"),
    (NEW_YORK, "*/30 * * * *", "2026-11-01T00:59", "01:00 01:30 01:00 01:30 02:00"),
    (NEW_YORK, "*/30 0-6 * * *", "2026-11-01T00:59", "01:00 01:30 02:00"),
    (NEW_YORK, "*/30 1 * * *", "2026-11-01T00:59", "01:00 01:30 01:00+1"),
    (NEW_YORK, "0 1,2 * * *", "2026-11-01T00:00", "01:00 02:00 01:00+1"),
    ("Europe/Berlin", "0 */2 * * *", "2026-10-25T01:00", "02:00 04:00"),
    (LORD_HOWE, "45 * * * *", "2026-04-05T00:50", "01:45 01:45 02:45"),
    (LORD_HOWE, "45 1 * * *", "2026-04-05T00:50", "01:45 01:45+1"),
    (LORD_HOWE, "7-59/20 * * * *", "2026-04-05T01:00", "01:07 01:27 01:47 01:47 02:07"),
    ("Asia/Pyongyang", "16-40/8 * * * *", "2015-08-14T23:00", "23:16 23:24 23:32 23:40 23:32 23:40 00:16+1"),
    ("America/Sao_Paulo", "30 23 * * *", "2018-02-17T12:00", "23:30 23:30+1"),
    ("America/Santiago", "30 23 * * *", "2026-04-04T12:00", "23:30 23:30+1"),
    ("Pacific/Easter", "30 21 * * *", "2026-04-04T12:00", "21:30 21:30+1"),
    ("America/St_Johns", "0 0 * * *", "2010-11-06T12:00", "00:00+1 00:00+2"),
    ("Antarctica/Troll", "30 1,2 * * *", "2026-10-25T00:00", "01:30 02:30 01:30+1"),
    ("Asia/Beirut", "30 23 * * *", "2026-10-24T12:00", "23:30 23:30+1"),
    ("Africa/Cairo", "15 23 * * *", "2026-10-29T12:00", "23:15 23:15+1"),
    ("Europe/Dublin", "30 1 * * *", "2026-10-25T00:00", "01:30 01:30+1"),
    ("Africa/Casablanca", "30 2 * * *", "2026-02-15T00:00", "02:30 02:30+1"),
]


@pytest.mark.parametrize(("name", "text", "since", "expected"), FOLDS)
def test_named_times_happen_once_in_a_fold_and_all_hours_keep_their_rhythm(
    name: str, text: str, since: str, expected: str
) -> None:
    assert shown(Cron(text, name), name, since, expected.count(" ") + 1) == expected


def test_from_within_the_second_pass_no_past_instant_is_answered() -> None:
    schedule = Cron("0 0-22 * * *", "America/St_Johns")
    within = datetime(2010, 11, 7, 2, 51, tzinfo=UTC)
    assert schedule.next_after(within) == datetime(2010, 11, 7, 4, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fold", "gap", "autumn", "spring"),
    [
        ("once", "fire", "01:30 01:30+1", "03:00 02:30+1"),
        ("every", "fire", "01:30 01:30 01:30+1", "03:00 02:30+1"),
        ("once", "skip", "01:30 01:30+1", "02:30+1 02:30+2"),
        ("every", "skip", "01:30 01:30 01:30+1", "02:30+1 02:30+2"),
    ],
)
def test_an_entry_may_choose_the_second_pass_and_drop_what_a_gap_swallows(
    fold: str, gap: str, autumn: str, spring: str
) -> None:
    one = Crontab(30, 1, timezone=NEW_YORK, fold=fold, gap=gap)
    other = Crontab(30, 2, timezone=NEW_YORK, fold=fold, gap=gap)
    assert shown(one, NEW_YORK, "2026-11-01T00:00", autumn.count(" ") + 1) == autumn
    assert shown(other, NEW_YORK, "2026-03-08T00:00", spring.count(" ") + 1) == spring


def test_a_time_that_only_ever_lies_in_gaps_never_fires_when_gaps_are_skipped() -> None:
    only_in_gaps = Crontab(
        30, 2, day_of_week="sun", day_of_month="8-14", month_of_year=3, timezone=NEW_YORK, gap="skip"
    )
    assert only_in_gaps.next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_a_renamed_zone_is_the_same_clock_under_both_names() -> None:
    at = datetime(2026, 3, 28, 12, tzinfo=UTC)
    old, new = Cron("30 2 * * *", "Europe/Kiev"), Cron("30 2 * * *", "Europe/Kyiv")
    assert old.next_after(at) == new.next_after(at)
    assert old != new


def test_a_zone_that_is_not_in_the_database_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ScheduleError, match="Europe/Berlin") as refused:
        Cron("0 9 * * *", "Europe/Berlim")
    assert refused.value.field == "timezone"


def test_a_newer_tz_database_between_two_fire_times_neither_loses_nor_repeats_a_day() -> None:
    before, after = (
        Zone("old rules", ZoneInfo("America/New_York")),
        Zone("new rules", ZoneInfo("America/Halifax")),
    )
    wall = to_us(datetime(2026, 7, 1, 9, tzinfo=UTC))
    fired = before.first_instant(wall)
    following = after.first_instant(wall + DAY)
    assert after.high_water(fired) < wall + DAY
    assert DAY - 3_600_000_000 <= following - fired <= DAY


def test_29_february_waits_for_leap_years_and_for_2104_across_2100() -> None:
    at: datetime | None = datetime(2090, 1, 1, tzinfo=UTC)
    years = []
    for _ in range(4):
        at = Cron("0 0 29 2 *").next_after(at) if at else None
        years.append(at.year if at else None)
    assert years == [2092, 2096, 2104, 2108]


def test_29_february_on_a_given_weekday_may_be_40_years_away() -> None:
    leap_sunday = Crontab(0, 0, "sun", 29, 2)
    at = leap_sunday.next_after(datetime(2081, 1, 1, tzinfo=UTC))
    assert at == datetime(2088, 2, 29, tzinfo=UTC)
    assert leap_sunday.next_after(at) == datetime(2128, 2, 29, tzinfo=UTC)


def test_day_31_skips_the_short_months() -> None:
    at: datetime | None = datetime(2026, 1, 1, tzinfo=UTC)
    months = []
    for _ in range(7):
        at = Cron("0 0 31 * *").next_after(at) if at else None
        months.append(at.month if at else None)
    assert months == [1, 3, 5, 7, 8, 10, 12]


SPECIAL = [
    ("0 0 L * *", ["01-31", "02-28", "03-31"]),
    ("0 0 L,15 * *", ["01-15", "01-31", "02-15"]),
    ("0 0 15W * *", ["01-15", "02-16", "03-16"]),
    ("0 0 1W * *", ["01-01", "02-02", "03-02"]),
    ("0 0 31W * *", ["01-30", "02-27", "03-31"]),
    ("0 0 * * mon#2", ["01-12", "02-09", "03-09"]),
    ("0 0 * * 5#5", ["01-30", "05-29", "07-31"]),
    ("0 0 * * L5", ["01-30", "02-27", "03-27"]),
    ("0 0 * * mon#1,fri#3", ["01-05", "01-16", "02-02"]),
    ("0 0 L * 5", ["01-02", "01-09", "01-16"]),
]


@pytest.mark.parametrize(("text", "expected"), SPECIAL)
def test_special_days_of_2026(text: str, expected: list[str]) -> None:
    at: datetime | None = datetime(2025, 12, 31, 23, tzinfo=UTC)
    found = []
    for _ in expected:
        at = Cron(text).next_after(at) if at else None
        found.append(f"{at:%m-%d}" if at else "")
    assert found == expected


def test_cron_takes_either_day_field_and_celery_wants_both() -> None:
    start = datetime(2026, 6, 1, 0, 0, tzinfo=UTC)
    assert Cron("0 0 13 * 5").next_after(start) == datetime(2026, 6, 5, tzinfo=UTC)
    assert Crontab(0, 0, "fri", 13).next_after(start) == datetime(2026, 11, 13, tzinfo=UTC)


@pytest.mark.parametrize("year", [2038, 2100, 2400])
def test_schedules_go_on_beyond_2038_and_2100(year: int) -> None:
    start = datetime(year, 1, 19, 3, 14, 7, tzinfo=UTC)
    assert Cron("30 4 * * *", NEW_YORK).next_after(start) == datetime(year, 1, 19, 9, 30, tzinfo=UTC)
    summer = datetime(year, 7, 1, tzinfo=UTC)
    assert Cron("30 4 * * *", NEW_YORK).next_after(summer) == datetime(year, 7, 1, 8, 30, tzinfo=UTC)
    assert Interval(1).next_after(start) == start + timedelta(seconds=1)


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30-31 2 *", "0 0 31 2/12 *"])
def test_what_never_fires_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ScheduleError, match="can never fire") as refused:
        Cron(text)
    assert refused.value.field == "day_of_month"


@pytest.mark.parametrize("text", ["0 0 29 2 *", "0 0 30 2 1", "0 0 31W 2 *", "0 0 * 2 mon#5"])
def test_what_fires_rarely_is_taken(text: str) -> None:
    assert Cron(text).next_after(datetime(2097, 1, 1, tzinfo=UTC)) is not None


def test_years_decide_exactly_whether_a_schedule_ever_fires_and_when_it_is_over() -> None:
    with pytest.raises(ScheduleError, match="year leaves out"):
        Cron("0 0 29 2 * 0 2025", seconds="last")
    leap = Cron("0 0 29 2 * 0 2024", seconds="last")
    assert leap.next_after(datetime(2023, 1, 1, tzinfo=UTC)) == datetime(2024, 2, 29, tzinfo=UTC)
    assert leap.next_after(datetime(2024, 2, 29, tzinfo=UTC)) is None


def test_years_far_apart_are_found_at_once() -> None:
    schedule = Cron("0 0 0 1 1 ? 1980,2090", "Europe/Berlin", "first")
    assert schedule.next_after(datetime(1981, 1, 1, tzinfo=UTC)) == datetime(2089, 12, 31, 23, tzinfo=UTC)


def test_the_repeated_midnight_of_a_years_last_day_belongs_to_the_old_year() -> None:
    clock = zone("America/Havana")
    changes = clock.changes(to_us(datetime(2020, 1, 1, tzinfo=UTC)), to_us(datetime(2024, 1, 1, tzinfo=UTC)))
    assert len(changes) == 8
    assert all(one.forward != other.forward for one, other in pairwise(changes))


def test_an_interval_ignores_clock_changes() -> None:
    anchor = datetime(2026, 3, 28, 9, tzinfo=UTC)
    day = Interval("1d")
    assert day.next_after(anchor + timedelta(hours=1), anchor=anchor) == anchor + timedelta(days=1)


@pytest.mark.parametrize("at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)])
def test_the_ends_of_the_calendar_raise_nothing(at: datetime) -> None:
    for schedule in (
        Cron("0 0 29 2 *", NEW_YORK),
        Cron("* * * * *", "Pacific/Apia"),
        Crontab(0, 4, timezone=LORD_HOWE),
    ):
        found = schedule.next_us(to_us(at))
        assert found is None or from_us(found) > at
