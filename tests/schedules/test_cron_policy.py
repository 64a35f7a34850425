"""Which cron strings are taken, which are refused, and with which words."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from qbeat.schedules import Cron, ScheduleError
from qbeat.schedules.search import ALL_DAYS, ALL_WEEKDAYS

REFUSED = [
    # text, seconds, field, part of the sentence, part of the cure
    ("5-5 * * * *", None, "minute", "one value to some", "write 5 or *"),
    ("0 0 * * sun-sun", None, "day_of_week", "one value to some", "write sun or *"),
    ("0 0 * * 7-0", None, "day_of_week", "one value to some", "write 7 or *"),
    ("0 22-4/3 * * *", None, "hour", "wraps around", "write 1,4,22"),
    ("0 0 * * 5-7/2", None, "day_of_week", "wraps around", "write 0,5"),
    ("0 0 1 * mon#2", None, "day_of_week", "restricted day_of_month", "declare two entries"),
    ("0 0 15W * 1", None, "day_of_month", "restricted day_of_week", "declare two entries"),
    ("0 0 15W,20 * *", None, "day_of_month", "W in the list", "one entry for each"),
    ("0 0 * * mon#2,5", None, "day_of_week", "mixes", "two entries"),
    ("0 0 * * 7/2", None, "day_of_week", "second Sunday", "write 0/2"),
    ("0 0 1-L * *", None, "day_of_month", "1-L", "L stands alone"),
    ("0 0 L-3 * *", None, "day_of_month", "L-3", "L stands alone"),
    ("0 0 LW * *", None, "day_of_month", "LW", "RRULE"),
    ("0 0 * * 5L", None, "day_of_week", "5L", "L5 is the last Friday"),
    ("0 0 * * mon#6", None, "day_of_week", "mon#6", "1 to 5"),
    ("0 0 * * 8", None, "day_of_week", "out of range", "0 to 6"),
    ("0 0 * * monday", None, "day_of_week", "monday", "such as"),
    ("0 0 * mai *", None, "month", "unknown name", "jan, feb"),
    ("R * * * *", None, "minute", "'R'", "write H"),
    ("0 R(1-5) * * *", None, "hour", "R(1-5)", "write H"),
    ("60 * * * *", None, "minute", "60, which is out of range", "0 to 59"),
    ("* 24 * * *", None, "hour", "out of range", "0 to 23"),
    ("* * 0 * *", None, "day_of_month", "out of range", "1 to 31"),
    ("*/0 * * * *", None, "minute", "step 0", "at least 1"),
    ("*/ * * * *", None, "minute", "'*/'", "after the /"),
    ("1,,2 * * * *", None, "minute", "''", "comma"),
    ("-5 * * * *", None, "minute", "'-5'", "negative"),
    ("? * * * *", None, "minute", "'?'", "write *"),
    ("0 0 ?,1 * *", None, "day_of_month", "'?'", "alone"),
    ("٣ * * * *", None, "minute", "٣", "write numbers"),
    ("H,30 * * * *", None, "minute", "'H'", "alone in its field"),
    ("H(40-70) * * * *", None, "minute", "H(40-70)", "within 0 to 59"),
    ("H/0 * * * *", None, "minute", "step 0", "at least 1"),
    ("@reboot", None, "expression", "@reboot", "when your program starts"),
    ("@every 5m", None, "expression", "@every", "interval"),
    ("@fortnightly", None, "expression", "unknown alias", "@hourly"),
    ("TZ=UTC 0 9 * * *", None, "expression", "TZ=UTC", "timezone"),
    ("CRON_TZ=Europe/Berlin 0 9 * * *", None, "expression", "CRON_TZ", "timezone"),
    ("", None, "expression", "empty", "five fields"),
    ("0 9 * *", None, "expression", "4 fields", "five"),
    ("* * * * * * * *", "last", "expression", "8 fields", "five"),
    ("30 * * * * *", None, "expression", "6 fields", 'seconds="first"'),
    ("0 0 * * * 0 2030", None, "expression", "7 fields", 'seconds="last"'),
    ("0 0 * * * 61", "last", "second", "out of range", "0 to 59"),
    ("0 0 * * * 0 1969", "last", "year", "out of range", "1970 to 2099"),
    ("0 0 * * * 0 H", "last", "year", "'H'", "write years"),
    ("0 0 30 2 *", None, "day_of_month", "can never fire", "another day"),
    ("0 0 29 2 * 0 2025,2027", "last", "year", "can never fire", "add such a year"),
    ("* " * 200, None, "expression", "400 characters", "at most 300"),
]


@pytest.mark.parametrize(("text", "seconds", "field", "problem", "cure"), REFUSED)
def test_a_trap_is_refused_with_the_field_the_reason_and_the_cure(
    text: str, seconds: str | None, field: str, problem: str, cure: str
) -> None:
    with pytest.raises(ScheduleError) as refused:
        Cron(text, seconds=seconds)  # type: ignore[arg-type]
    error = refused.value
    assert error.field == field
    assert problem in error.problem
    assert error.cure is not None
    assert cure in error.cure


@pytest.mark.parametrize("wrong", [None, 5, b"* * * * *", ["*"] * 5])
def test_what_is_no_text_is_refused(wrong: object) -> None:
    with pytest.raises(ScheduleError, match="expression is a"):
        Cron(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"seconds": "middle"}, {"fold": "twice"}, {"gap": "shift"}, {"timezone": "Mars"}]
)
def test_a_wrong_option_is_refused_by_its_name(options: dict[str, str]) -> None:
    with pytest.raises(ScheduleError) as refused:
        Cron("* * * * *", **options)  # type: ignore[arg-type]
    assert refused.value.field in options


SAME = [
    ("0 0 * * 7", "0 0 * * 0"),
    ("0 0 * * 0-7", "0 0 * * *"),
    ("0 0 * * 1-7", "0 0 * * *"),
    ("0 0 * * fri-mon", "0 0 * * 0,1,5,6"),
    ("0 22-4 * * *", "0 0-4,22,23 * * *"),
    ("0 0 * nov-feb *", "0 0 * 1,2,11,12 *"),
    ("10/20 * * * *", "10,30,50 * * * *"),
    ("59/15 * * * *", "59 * * * *"),
    ("*/45 * * * *", "0,45 * * * *"),
    ("*/90 * * * *", "0 * * * *"),
    ("0 0 ? * ?", "0 0 * * *"),
    ("*,5 * * * *", "* * * * *"),
    ("05 09 * JAN Mon", "5 9 * 1 1"),
    ("  0\t0  *  * *\n", "0 0 * * *"),
    ("@Daily", "0 0 * * *"),
    (" @hourly ", "0 * * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("0 0 w15 * *", "0 0 15W * *"),
    ("0 0 * * 1#2", "0 0 * * MON#2"),
    ("0 0 * * mon-wed#1", "0 0 * * 1#1,2#1,3#1"),
    ("0 0 * * L7", "0 0 * * L0"),
    ("0 0 */1 * 1", "0 0 * * 1"),
    ("0 0 1-31 * 1", "0 0 * * 1"),
    ("0 0 1 * 0-6", "0 0 1 * *"),
]


@pytest.mark.parametrize(("text", "plain"), SAME)
def test_what_is_taken_means_what_it_says(text: str, plain: str) -> None:
    assert Cron(text).fields == Cron(plain).fields


def test_seconds_stand_where_the_entry_says() -> None:
    first, last = Cron("30 * * * * *", seconds="first"), Cron("* * * * * 30", seconds="last")
    assert first.fields == last.fields
    assert first.fields.seconds == {30}
    assert Cron("30 * * * * *", seconds="last").fields.minutes == {30}
    at = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert first.next_after(at) == at.replace(minute=1)


def test_five_fields_need_no_seconds_whatever_the_entry_says() -> None:
    assert Cron("5 4 * * *", seconds="first").fields == Cron("5 4 * * *").fields


def test_both_day_fields_mean_either_and_one_means_itself() -> None:
    assert Cron("0 0 13 * 5").fields.days.either
    for text in ("0 0 13 * *", "0 0 * * 5", "0 0 ? * 5", "0 0 L * *"):
        days = Cron(text).fields.days
        assert not days.either
        assert days.dom == ALL_DAYS or days.dow == ALL_WEEKDAYS


NAMES = [f"tasks.report_{n}" for n in range(3000)]


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("H * * * *", "minute", range(60)),
        ("0 H * * *", "hour", range(24)),
        ("0 0 H * *", "day_of_month", range(1, 29)),
        ("0 0 1 H *", "month", range(1, 13)),
        ("0 0 * * H", "day_of_week", range(7)),
        ("H(10-19) * * * *", "minute", range(10, 20)),
    ],
)
def test_h_spreads_evenly_over_the_whole_range(text: str, field: str, values: range) -> None:
    chosen = Counter(int(Cron(text).resolve(name=name, timezone="UTC").parts[field]) for name in NAMES)
    assert set(chosen) == set(values)
    assert max(chosen.values()) < 2.5 * len(NAMES) / len(values)


def test_h_in_two_fields_is_chosen_for_each_on_its_own() -> None:
    slots = {Cron("H H * * *").resolve(name=name, timezone="UTC").expression for name in NAMES}
    assert len(slots) > 1150  # 3,000 throws at 1,440 slots are expected to hit 1,261


def test_h_with_a_step_keeps_the_rhythm_from_a_place_of_its_own() -> None:
    starts = set()
    for name in NAMES[:300]:
        minutes = [
            int(m) for m in Cron("H/15 * * * *").resolve(name=name, timezone="UTC").parts["minute"].split(",")
        ]
        assert minutes == list(range(minutes[0], 60, 15))
        assert len(minutes) == 4
        starts.add(minutes[0])
    assert starts == set(range(15))


def test_h_is_settled_once_and_for_all_by_the_name() -> None:
    one = Cron("H H(1-5) * * *", "Europe/Berlin").resolve(name="nightly", timezone="UTC")
    other = Cron("h h(1-5) * * *", "Europe/Berlin").resolve(name="nightly", timezone="UTC")
    assert one == other
    assert one.resolve(name="another", timezone="UTC") == one
    assert one.timezone == "Europe/Berlin"
    assert str(one) == "49 5 * * *"


def test_h_keeps_the_place_of_the_seconds() -> None:
    spread = Cron("H * * * * *", seconds="first").resolve(name="poll", timezone="UTC")
    assert len(spread.fields.seconds) == 1
    assert len(spread.fields.minutes) == 60


def test_resolve_fills_in_the_time_zone_and_leaves_one_that_is_there() -> None:
    assert Cron("0 9 * * *").resolve(name="x", timezone="Asia/Tokyo").timezone == "Asia/Tokyo"
    own = Cron("0 9 * * *", "Europe/Berlin")
    assert own.resolve(name="x", timezone="Asia/Tokyo") is own
