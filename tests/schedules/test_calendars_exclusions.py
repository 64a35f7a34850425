"""Exclusions: days off skipped or moved around every clock change, and pauses by another schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbeat.schedules import (
    Calendar,
    Cron,
    Crontab,
    ExceptDays,
    ExceptWhen,
    Interval,
    Once,
    RRule,
    Schedule,
    ScheduleError,
)
from qbeat.schedules.base import from_us, to_us
from qbeat.schedules.calendars import WEEKDAYS, date_of
from qbeat.schedules.exclusions import with_calendars
from qbeat.schedules.zones import DAY, HOUR, MINUTE, zone
from tests.schedules.drawing import zones_and_instants
from tests.schedules.laws import assert_comes_back, assert_orderly, assert_splits, fire_times

WEEKEND = Calendar("weekend", ["sat", "sun"])
CLOSED = Calendar("closed", ["sat", "sun"], ["2026-12-25", "2026-12-28"])
NINE = Crontab(0, 9, timezone="Europe/Berlin")

moves = st.sampled_from(["skip", "next", "previous"])
inners = st.sampled_from(
    [
        lambda name: Crontab(0, 9, timezone=name),
        lambda name: Crontab("*/30", "0-3,23", timezone=name),
        lambda name: Crontab("7,52", timezone=name),
        lambda _: Interval(50 * 60),
        lambda name: Crontab(30, 2, day_of_week="sat,sun", timezone=name),
    ]
)


def shown(schedule: Schedule, begin: str, number: int) -> list[str]:
    found: list[str] = []
    at: datetime | None = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    while at is not None and len(found) < number:
        at = schedule.next_after(at)
        if at is not None:
            found.append(f"{at:%m-%d %H:%M}")
    return found


@st.composite
def calendars_near(draw: st.DrawFn, near: int) -> Calendar:
    """Draw a calendar with a few weekdays and a few dates off around an instant."""
    weekdays = draw(st.sets(st.sampled_from(WEEKDAYS), max_size=3))
    days = draw(st.sets(st.integers(-6, 6), max_size=6))
    return Calendar("drawn", weekdays, [date_of(near // DAY + day) for day in days])


def moved(schedule: ExceptDays, calendar: Calendar, instant: int) -> int | None:
    """Return where a fire time goes, read straight from the rule."""
    where = zone(schedule.timezone or "UTC")
    day = next(each for each in count(instant // DAY - 2) if where.first_instant((each + 1) * DAY) > instant)
    if not calendar.is_off(day):
        return instant
    if schedule.move == "skip":
        return None
    step = 1 if schedule.move == "next" else -1
    target = next(each for each in count(day, step) if not calendar.is_off(each))
    return where.first_instant(target * DAY + max(0, where.local(instant) - day * DAY))


@settings(max_examples=80)
@given(zones_and_instants(), inners, moves, st.data())
def test_fire_times_are_those_of_the_inner_schedule_each_moved_by_the_rule(
    where: tuple[str, int], inner_of: object, move: str, data: st.DataObject
) -> None:
    name, near = where
    inner = inner_of(name)  # type: ignore[operator]
    calendar = data.draw(calendars_near(near))
    schedule = ExceptDays(inner, calendar, move, name)
    begin, end = near - 2 * DAY, near + 2 * DAY
    around = fire_times(inner, begin - 16 * DAY, end + 16 * DAY, limit=10_000)
    expected = {moved(schedule, calendar, each) for each in around}
    assert fire_times(schedule, begin, end) == sorted(
        each for each in expected if each is not None and begin < each <= end
    )


@given(zones_and_instants(), inners, moves, st.integers(0, 3 * DAY), st.data())
def test_laws_hold_around_every_clock_change(
    where: tuple[str, int], inner_of: object, move: str, later: int, data: st.DataObject
) -> None:
    name, near = where
    calendar = data.draw(calendars_near(near))
    schedule = ExceptDays(inner_of(name), calendar, move, name)  # type: ignore[operator]
    assert_orderly(schedule, near, near + later)
    assert_splits(schedule, near, near + later, near + 3 * DAY)


def test_days_off_are_skipped() -> None:
    assert shown(ExceptDays(NINE, CLOSED), "2026-12-24T12:00", 2) == ["12-29 08:00", "12-30 08:00"]


def test_fire_times_move_to_the_next_working_day_at_the_same_local_time_and_meet_there_once() -> None:
    schedule = ExceptDays(Crontab(0, 9, day_of_week="fri,sat,sun", timezone="Europe/Berlin"), CLOSED, "next")
    assert shown(schedule, "2026-12-20", 3) == ["12-21 08:00", "12-29 08:00", "01-01 08:00"]


def test_fire_times_move_to_the_previous_working_day() -> None:
    schedule = ExceptDays(Crontab(0, 9, day_of_month=27, timezone="Europe/Berlin"), CLOSED, "previous")
    assert shown(schedule, "2026-11-28", 2) == ["12-24 08:00", "01-27 08:00"]


def test_the_last_day_of_the_month_moves_back_to_the_last_working_day() -> None:
    schedule = ExceptDays(Cron("0 18 L * *", "Europe/Berlin"), WEEKEND, "previous")
    assert shown(schedule, "2026-01-01", 3) == ["01-30 17:00", "02-27 17:00", "03-31 16:00"]


def test_a_time_moved_into_a_gap_fires_when_the_clock_comes_out_of_it() -> None:
    calendar = Calendar("saturday", ["sat"])
    schedule = ExceptDays(Crontab(30, 2, day_of_week="sat", timezone="Europe/Berlin"), calendar, "next")
    assert shown(schedule, "2026-03-28", 1) == ["03-29 01:00"]


def test_days_are_those_of_the_zone() -> None:
    tokyo = ExceptDays(Interval(6 * 3600), WEEKEND).resolve(name="cat", timezone="Asia/Tokyo")
    assert shown(tokyo, "2026-01-02T06:00", 3) == ["01-02 12:00", "01-04 18:00", "01-05 00:00"]
    assert ExceptDays(NINE, WEEKEND).resolve(name="cat", timezone="Asia/Tokyo").timezone == "Europe/Berlin"


def test_why_a_day_is_excluded_is_known() -> None:
    schedule = ExceptDays(NINE, CLOSED)
    assert schedule.why_excluded(to_us(datetime(2026, 12, 25, 8, tzinfo=UTC))) == (
        "2026-12-25 is a day off in the calendar 'closed'"
    )
    assert schedule.why_excluded(to_us(datetime(2026, 12, 24, 8, tzinfo=UTC))) is None


def test_a_far_first_fire_time_is_found() -> None:
    schedule = ExceptDays(Once("2126-01-01T09:00Z"), WEEKEND)
    assert schedule.next_us(0) == to_us(datetime(2126, 1, 1, 9, tzinfo=UTC))


def test_a_calendar_that_leaves_nothing_is_refused_when_the_entry_is_declared() -> None:
    schedule = ExceptDays(Crontab(0, 9, day_of_week="sat"), WEEKEND)
    with pytest.raises(ScheduleError, match="leaves nothing") as refusal:
        schedule.resolve(name="cat", timezone="Europe/Berlin")
    assert refusal.value.field == "calendar"
    assert schedule.next_us(0) is None
    ExceptDays(Crontab(0, 9, day_of_week="sat"), WEEKEND, "next").resolve(name="cat", timezone="UTC")


def test_a_schedule_that_is_over_is_not_refused() -> None:
    over = ExceptDays(Once("2020-01-01T09:00Z"), WEEKEND).resolve(name="cat", timezone="UTC")
    assert over.next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_over_more_than_a_year_off_nothing_is_moved() -> None:
    sabbatical = Calendar("away", dates=[date_of(20_500 + day) for day in range(800)])
    schedule = ExceptDays(Crontab(0, 9, timezone="UTC"), sabbatical, "next")
    day, time = divmod(schedule.next_us(20_500 * DAY) or 0, DAY)
    assert (day, time) == (21_300, 9 * HOUR)
    assert ExceptDays(Once(from_us(20_600 * DAY)), sabbatical, "next", "UTC").next_us(0) is None
    assert ExceptDays(Once(from_us(21_200 * DAY)), sabbatical, "next", "UTC").next_us(0) == 21_300 * DAY


def test_calendars_are_filled_in_by_name_however_deep() -> None:
    named = ExceptWhen(ExceptDays(NINE, "company", "next"), ExceptDays(Crontab(0), "team"))
    filled = with_calendars(named, {"company": CLOSED, "team": WEEKEND})
    assert filled == ExceptWhen(ExceptDays(NINE, CLOSED, "next"), ExceptDays(Crontab(0), WEEKEND))
    assert with_calendars(NINE, {}) is NINE
    with pytest.raises(ScheduleError, match="'team' is not known; one of: company"):
        with_calendars(named, {"company": CLOSED})


def test_a_calendar_that_is_only_named_says_so_when_asked() -> None:
    with pytest.raises(ScheduleError, match="'company' is not known"):
        ExceptDays(NINE, "company").resolve(name="cat", timezone="UTC").next_us(0)


def test_an_unknown_move_is_refused() -> None:
    with pytest.raises(ScheduleError, match="next, previous") as refusal:
        ExceptDays(NINE, WEEKEND, "nearest")
    assert refusal.value.field == "move"


def test_another_schedule_covers_the_minutes_that_it_names() -> None:
    schedule = ExceptWhen(Interval(1800), Cron("* 0-6 * * *", "Europe/Berlin"))
    assert shown(schedule, "2026-01-01T22:00", 3) == ["01-01 22:30", "01-02 06:00", "01-02 06:30"]


def test_a_fire_time_of_the_other_schedule_covers_as_long_as_it_lasts() -> None:
    schedule = ExceptWhen(Crontab("*/15", timezone="UTC"), Cron("0 12 * * *", "UTC"), "31m")
    assert shown(schedule, "2026-01-01T11:40", 3) == ["01-01 11:45", "01-01 12:45", "01-01 13:00"]


def test_what_lies_between_the_pauses_is_left() -> None:
    schedule = ExceptWhen(Interval(20), Cron("0 * * * *", "UTC"), timedelta(seconds=30))
    late = to_us(datetime(2026, 1, 1, 11, 59, 40, tzinfo=UTC))
    assert [each - late for each in fire_times(schedule, late, late + MINUTE)] == [60_000_000]


@settings(max_examples=50)
@given(
    zones_and_instants(),
    st.sampled_from(
        ["* 0-3 * * *", "0 */2 * * *", "* * * * 6,0", "30 2 * * *", "* * 1-9,25-31 * *", "* * L * *"]
    ),
    st.sampled_from([MINUTE, 10 * 10**6, 90 * MINUTE]),
    st.sampled_from([Interval(777), Interval(600)]),
)
def test_exactly_what_is_not_covered_is_left(
    where: tuple[str, int], text: str, lasting: int, inner: Schedule
) -> None:
    name, near = where
    other = Cron(text, name)
    schedule = ExceptWhen(inner, other, timedelta(microseconds=lasting))
    begin, end = near - DAY, near + DAY
    pauses = fire_times(other, begin - lasting, end, limit=10_000)
    left = [at for at in fire_times(inner, begin, end) if not any(p <= at < p + lasting for p in pauses)]
    assert fire_times(schedule, begin, end) == left
    assert_orderly(schedule, near, near + DAY)


def test_a_pause_of_a_season_is_crossed_at_once() -> None:
    schedule = ExceptWhen(Interval(1), Cron("* * * 6-8 *", "Europe/Berlin"))
    begin = datetime(2026, 6, 1, tzinfo=UTC)
    assert schedule.next_after(begin) == datetime(2026, 8, 31, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    "other", [Cron("* * * * *"), Interval(60), RRule("DTSTART:20000101T000000\nRRULE:FREQ=MINUTELY")]
)
def test_another_schedule_that_leaves_nothing_is_refused_when_the_entry_is_declared(other: Schedule) -> None:
    with pytest.raises(ScheduleError, match="leaves nothing") as refusal:
        ExceptWhen(Crontab(0, 9), other).resolve(name="cat", timezone="Europe/Berlin")
    assert refusal.value.field == "other"


def test_why_an_instant_is_covered_is_known() -> None:
    schedule = ExceptWhen(NINE, Cron("0 8 * * 1", "UTC"))
    assert schedule.why_excluded(to_us(datetime(2026, 1, 5, 8, tzinfo=UTC))) is not None
    assert schedule.why_excluded(to_us(datetime(2026, 1, 6, 8, tzinfo=UTC))) is None


@pytest.mark.parametrize("lasting", ["0s", "-1m", "soon", 0])
def test_a_pause_must_last(lasting: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        ExceptWhen(NINE, NINE, lasting)
    assert refusal.value.field == "lasting"


@pytest.mark.parametrize(
    "schedule",
    [
        ExceptDays(NINE, CLOSED),
        ExceptDays(Crontab(0, 9), "company", "next"),
        ExceptDays(Interval(60), WEEKEND, "previous", "Asia/Tokyo"),
        ExceptWhen(NINE, Cron("0 12 * * *"), "1h30m"),
        ExceptDays(ExceptWhen(NINE, Once("2026-07-01T09:00")), WEEKEND),
    ],
)
def test_plain_data_come_back(schedule: Schedule) -> None:
    assert_comes_back(schedule)


def test_they_are_described_in_english() -> None:
    nine = NINE.describe()
    assert ExceptDays(NINE, CLOSED).describe() == f"{nine}, except on days off in closed"
    assert ExceptDays(NINE, "company", "next").describe() == (
        f"{nine}, except on days off in company, moved to the next working day instead"
    )
    assert ExceptWhen(NINE, Interval(3600), "5m").describe() == f"{nine}, except for 5m every hour"
