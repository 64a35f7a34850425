"""RRULE through every clock change: named times, the text's corners, refusals and bounded work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from qbeat.schedules import Cron, RRule, ScheduleError
from qbeat.schedules.base import from_us, to_us
from qbeat.schedules.codec import shared
from qbeat.schedules.zones import zone
from tests.schedules.drawing import zones_and_instants
from tests.schedules.laws import assert_comes_back, assert_orderly, assert_splits, fire_times

MINUTE = 60 * 10**6
DAY = 1440 * MINUTE


def rule(
    text: str, timezone: str | None = "Europe/Berlin", start: str = "20260101T090000", **options: str
) -> RRule:
    return RRule(f"DTSTART:{start}\nRRULE:{text}", timezone, **options)


def local_times(schedule: RRule, begin: str, count: int) -> list[str]:
    """Return fire times after an instant as the local clock shows them."""
    found, at = [], datetime.fromisoformat(begin).replace(tzinfo=UTC)
    where = zone(schedule.timezone or "UTC")
    for _ in range(count):
        following = schedule.next_after(at)
        if following is None:
            break
        at = following
        found.append(from_us(where.local(to_us(at))).strftime("%Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("text", "name", "begin", "shown"),
    [
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "Europe/Berlin", "2026-03-28", ["2026-03-28 02:30", "2026-03-29 03:00", "2026-03-30 02:30"]),
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=0,15,30,45", "Europe/Berlin", "2026-03-29", ["2026-03-29 03:00", "2026-03-30 02:00"]),
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "Europe/Berlin", "2026-10-24T12:00", ["2026-10-25 02:30", "2026-10-26 02:30"]),
        ("FREQ=HOURLY;BYMINUTE=0", "Europe/Berlin", "2026-03-29T00:00", ["2026-03-29 03:00", "2026-03-29 04:00"]),
        ("FREQ=HOURLY;BYMINUTE=0", "Europe/Berlin", "2026-10-24T23:30", ["2026-10-25 02:00", "2026-10-25 03:00"]),
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=15", "Australia/Lord_Howe", "2026-10-03T12:00", ["2026-10-04 02:30", "2026-10-05 02:15"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "UTC", "2096-03-01", ["2104-02-29 09:00"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31", "UTC", "2026-01-31T09:00", ["2026-03-31 09:00", "2026-05-31 09:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "UTC", "2026-01-01", ["2026-01-30 09:00", "2026-02-27 09:00"]),
        ("FREQ=YEARLY;BYEASTER=0", "UTC", "2026-01-01", ["2026-04-05 09:00", "2027-03-28 09:00"]),
    ],
)  # fmt: skip
def test_each_local_time_happens_once_however_the_clock_changes(
    text: str, name: str, begin: str, shown: list[str]
) -> None:
    assert local_times(rule(text, name), begin, len(shown)) == shown


def test_a_day_that_never_was_fires_when_the_next_one_begins() -> None:
    schedule = rule("FREQ=DAILY", "Pacific/Apia", start="20111228T090000")
    assert local_times(schedule, "2011-12-29T20:00", 2) == ["2011-12-31 00:00", "2011-12-31 09:00"]


def test_the_exceptions_of_an_entry_are_those_of_crontabs() -> None:
    skipping = rule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", gap="skip")
    assert local_times(skipping, "2026-03-28T12:00", 1) == ["2026-03-30 02:30"]
    repeating = rule("FREQ=DAILY;BYHOUR=2;BYMINUTE=30", fold="every")
    assert local_times(repeating, "2026-10-24T12:00", 3) == ["2026-10-25 02:30"] * 2 + ["2026-10-26 02:30"]


@st.composite
def daily_rules(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a daily rule and the cron string that names the same times."""
    hours = sorted(draw(st.sets(st.sampled_from([0, 1, 2, 3, 23]), min_size=1)))
    minutes = sorted(draw(st.sets(st.sampled_from([0, 1, 15, 30, 59]), min_size=1)))
    return (
        f"FREQ=DAILY;BYHOUR={','.join(map(str, hours))};BYMINUTE={','.join(map(str, minutes))};BYSECOND=0",
        f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *",
    )


@settings(max_examples=60)
@given(daily_rules(), zones_and_instants())
def test_a_daily_rule_fires_when_the_same_cron_string_does(
    texts: tuple[str, str], where: tuple[str, int]
) -> None:
    name, near = where
    recurring = rule(texts[0], name, start="19700101T000000")
    assert fire_times(recurring, near - DAY, near + 2 * DAY) == fire_times(
        Cron(texts[1], name), near - DAY, near + 2 * DAY
    )


any_rule = st.sampled_from(
    [
        "FREQ=DAILY",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU;WKST=SU",
        "FREQ=MINUTELY;INTERVAL=17",
        "FREQ=HOURLY;INTERVAL=5;BYDAY=SA,SU",
        "FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=1,2,3",
        "FREQ=DAILY;INTERVAL=3;COUNT=500",
        "FREQ=DAILY;BYHOUR=0,1,2,3,23;BYMINUTE=30;UNTIL=20350301T003000Z",
    ]
)


@settings(max_examples=60)
@given(
    any_rule,
    zones_and_instants(),
    st.integers(0, 3 * DAY),
    st.sampled_from(["once", "every"]),
    st.sampled_from(["fire", "skip"]),
)
def test_laws_hold_around_every_clock_change(
    text: str, where: tuple[str, int], later: int, fold: str, gap: str
) -> None:
    name, near = where
    schedule = rule(text, name, start="19740101T013000", fold=fold, gap=gap)
    assert_orderly(schedule, near, near + later)
    assert_splits(schedule, near, near + later, near + 3 * DAY)


def test_until_as_an_instant_is_the_last_one_that_may_fire() -> None:
    schedule = rule("FREQ=DAILY;BYHOUR=2;BYMINUTE=0,30,59;UNTIL=20261025T003000Z")
    assert local_times(schedule, "2026-10-24T20:00", 9) == ["2026-10-25 02:00", "2026-10-25 02:30"]


def test_until_as_an_instant_of_the_second_pass_keeps_the_whole_first_pass() -> None:
    schedule = rule("FREQ=DAILY;BYHOUR=2;BYMINUTE=0,30,59;UNTIL=20261025T010500Z")
    assert local_times(schedule, "2026-10-24T20:00", 9)[-1] == "2026-10-25 02:59"


def test_until_as_a_date_includes_that_day() -> None:
    assert local_times(rule("FREQ=DAILY;UNTIL=20260103"), "2026-01-01", 9)[-1] == "2026-01-03 09:00"


def test_until_as_a_local_time_is_included() -> None:
    assert local_times(rule("FREQ=DAILY;UNTIL=20260103T090000"), "2026-01-01", 9)[-1] == "2026-01-03 09:00"


def test_count_counts_from_the_start_and_excluded_dates_count_too() -> None:
    schedule = RRule("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;COUNT=4\nEXDATE:20260102T090000", "UTC")
    assert local_times(schedule, "2025-01-01", 9) == [
        "2026-01-01 09:00",
        "2026-01-03 09:00",
        "2026-01-04 09:00",
    ]


def test_dates_are_added_and_taken_away_in_any_zone() -> None:
    schedule = RRule(
        "DTSTART;TZID=Europe/Berlin:20260601T090000\n"
        "RRULE:FREQ=DAILY;COUNT=5\n"
        "RDATE:20260601T120000,20260602T100000\n"
        "RDATE;TZID=Asia/Tokyo:20260601T170000\n"
        "EXDATE:20260603T070000Z\n"
        "EXDATE;VALUE=DATE:20260604\n"
        "EXDATE;TZID=Europe/Berlin:20260602T100000"
    )
    assert local_times(schedule, "2026-01-01", 9) == [
        "2026-06-01 09:00", "2026-06-01 10:00", "2026-06-01 12:00", "2026-06-02 09:00", "2026-06-05 09:00",
    ]  # fmt: skip


def test_two_rules_fire_together_once() -> None:
    schedule = RRule(
        "DTSTART:20260101T090000\nRRULE:FREQ=DAILY;INTERVAL=2\nRRULE:FREQ=DAILY;INTERVAL=3", "UTC"
    )
    assert [shown[8:10] for shown in local_times(schedule, "2025-12-31", 5)] == ["01", "03", "04", "05", "07"]


def test_dates_without_a_rule_fire_with_the_start() -> None:
    schedule = RRule("DTSTART:20260101T090000\nRDATE:20260201T100000", "UTC")
    assert local_times(schedule, "2025-01-01", 9) == ["2026-01-01 09:00", "2026-02-01 10:00"]


def test_a_whole_day_start_fires_at_midnight() -> None:
    schedule = RRule(
        "DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=WEEKLY\nRDATE;VALUE=DATE:20260102", "Asia/Tokyo"
    )
    assert local_times(schedule, "2025-12-31T20:00", 2) == ["2026-01-02 00:00", "2026-01-08 00:00"]


def test_folded_lines_lower_case_and_a_bare_rule_are_read() -> None:
    folded = RRule("dtstart:20260101T090000\r\nrrule:freq=daily;\r\n interval=2\r\n", "UTC")
    assert folded == RRule("DTSTART:20260101T090000\nFREQ=DAILY;INTERVAL=2", "UTC")


def test_the_zone_comes_from_the_text_then_the_entry_then_the_app() -> None:
    in_text = RRule("DTSTART;TZID=America/New_York:20260601T090000\nRRULE:FREQ=DAILY")
    in_utc = RRule("DTSTART:20260601T090000Z\nRRULE:FREQ=DAILY")
    local = RRule("DTSTART:20260601T090000\nRRULE:FREQ=DAILY")
    resolved = [each.resolve(name="cat", timezone="Asia/Tokyo").timezone for each in (in_text, in_utc, local)]
    assert resolved == ["America/New_York", "UTC", "Asia/Tokyo"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("RRULE:FREQ=DAILY", "DTSTART"),
        ("", "DTSTART"),
        ("DTSTART:20260101T090000\nDTSTART:20260101T090000", "2 DTSTART"),
        ("DTSTART:20260230T090000\nRRULE:FREQ=DAILY", "no calendar"),
        ("DTSTART:tomorrow\nRRULE:FREQ=DAILY", "TOMORROW"),
        ("DTSTART;TZID=Europe/Berlin:20260101T090000Z\nRRULE:FREQ=DAILY", "TZID"),
        ("DTSTART;TZID=Mars/Olympus:20260101T090000\nRRULE:FREQ=DAILY", "Mars/Olympus"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=FORTNIGHTLY", "FORTNIGHTLY"),
        ("DTSTART:20260101T090000\nRRULE:INTERVAL=2", "FREQ"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;COUNT=20001", "COUNT"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101", "COUNT and UNTIL"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;FREQ=DAILY", "twice"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;BYHOUR=24", "BYHOUR"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;BYMONTH=-1", "BYMONTH"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;BYDAY=XX", "BYDAY"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=MONTHLY;BYDAY=MO(+1)", "BYDAY"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=WEEKLY;BYDAY=1MO", "numbers the days"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;RSCALE=CHINESE", "RSCALE"),
        ("DTSTART:20260101T090000\nEXRULE:FREQ=DAILY", "EXRULE"),
        ("DTSTART:20260101T090000\nSUMMARY:Feed the cat", "SUMMARY"),
        ("DTSTART:20260101T090000\nRDATE;VALUE=PERIOD:20260101T090000Z/PT1H", "PERIOD"),
        ("DTSTART:20260101T090000\nRDATE:20260102", "without a time"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never fire"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "never fire"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", "never fire"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=HOURLY;INTERVAL=24;BYHOUR=8", "empty"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=MINUTELY;INTERVAL=1440;BYHOUR=8", "never fire"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=HOURLY;INTERVAL=168;BYDAY=MO", "never fire"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=HOURLY;BYSETPOS=2", "never fire"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;UNTIL=20251231T090000", "never fire"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY;COUNT=1\nEXDATE:20260101T090000", "never fire"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_the_cure(text: str, problem: str) -> None:
    with pytest.raises(ScheduleError, match=problem) as refusal:
        RRule(text, None if "TZID" in text else "UTC")
    assert refusal.value.field in {"text", "timezone"}
    assert refusal.value.cure


def test_two_zones_are_refused() -> None:
    with pytest.raises(ScheduleError, match="DTSTART is in UTC") as refusal:
        RRule("DTSTART:20260101T090000Z\nRRULE:FREQ=DAILY", "Europe/Berlin")
    assert refusal.value.field == "timezone"


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(ScheduleError):
        RRule(text)


@given(
    st.lists(
        st.sampled_from([*"DTSTARURLEXF=;:,\n0123456789-+BYHOMIQ", "FREQ=DAILY", "BYDAY=", "MO"]),
        max_size=25,
    )
)
def test_any_rule_is_read_or_refused(pieces: list[str]) -> None:
    text = f"DTSTART:20260101T090000\nRRULE:FREQ=DAILY;{''.join(pieces)}"
    try:
        schedule = RRule(text, "UTC")
    except ScheduleError:
        return
    assert_comes_back(schedule)


@pytest.mark.parametrize("timezone", [None, "America/New_York"])
def test_plain_data_come_back(timezone: str | None) -> None:
    assert_comes_back(rule("FREQ=MONTHLY;BYDAY=2TU", timezone, fold="every", gap="skip"))
    assert_comes_back(rule("FREQ=DAILY;COUNT=3", timezone))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FREQ=DAILY", "every day at 09:00"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,FR;BYHOUR=9,18", "every 2 weeks on Monday, Wednesday and Friday at 09:00 and 18:00"),
        ("FREQ=WEEKLY", "every week on Thursday at 09:00"),
        ("FREQ=MONTHLY;BYDAY=1MO,-1FR", "every month on the 1st Monday and the last Friday at 09:00"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,-1,-2", "every month on day 1, the last day and the 2nd last day of the month at 09:00"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=3", "every month on Monday, Tuesday, Wednesday, Thursday and Friday at 09:00 (of these the last in each month) 3 times"),
        ("FREQ=YEARLY", "every year in January on day 1 of the month at 09:00"),
        ("FREQ=YEARLY;BYEASTER=-2", "every year 2 days before Easter Sunday at 09:00"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "every year in week 20 on Monday at 09:00"),
        ("FREQ=YEARLY;BYYEARDAY=11,-12,113", "every year on day 11, the 12th last day and day 113 of the year at 09:00"),
        ("FREQ=HOURLY;INTERVAL=3;BYHOUR=0,3,6", "every 3 hours in hour 0, 3 and 6"),
        ("FREQ=MINUTELY;INTERVAL=5;BYSECOND=30;UNTIL=20270101T000000Z", "every 5 minutes at second 30 until 2027-01-01 00:00 UTC"),
        ("FREQ=DAILY;BYMINUTE=0,1,2,3,4,5,6;COUNT=1", "every day at 7 times of the day once"),
    ],
)  # fmt: skip
def test_it_is_described_in_english(text: str, words: str) -> None:
    assert rule(text).describe() == f"{words}, from 2026-01-01 (Europe/Berlin)"


def test_single_dates_are_described_too() -> None:
    schedule = RRule(
        "DTSTART:20260101T090000\nRDATE:20260201T100000,20260301T100000\nEXDATE;VALUE=DATE:20260101"
    )
    assert schedule.describe() == "once, at 2026-01-01 09:00, and 2 single dates, except 2026-01-01"


def test_dateutil_agrees_in_utc() -> None:
    text = "DTSTART:20260101T090000\nRRULE:FREQ=MONTHLY;BYDAY=1MO,-1FR;BYHOUR=6,18\nRDATE:20260404T040404\nEXDATE:20260105T060000"
    end = datetime(2031, 1, 1, tzinfo=UTC)
    theirs = [each.replace(tzinfo=UTC) for each in takewhile(lambda each: each.year < 2031, rrulestr(text))]
    ours = fire_times(
        RRule(text, "UTC"), to_us(datetime(2026, 1, 1, tzinfo=UTC)), to_us(end - timedelta(seconds=1))
    )
    assert [from_us(each) for each in ours] == theirs


@pytest.mark.parametrize("other", [{"timezone": "America/New_York"}, {"fold": "every"}, {"gap": "skip"}])
def test_rules_of_one_text_are_equal_only_in_one_zone_and_with_the_same_exceptions(
    other: dict[str, str],
) -> None:
    one, another = rule("FREQ=DAILY"), rule("FREQ=DAILY", **other)
    assert one == rule("FREQ=DAILY") != another
    assert shared(one) is not shared(another)
