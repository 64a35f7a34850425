"""What `check` warns about and what `next` notes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from qbeat.schedules import Bounded, Cron, Crontab, Interval, Once, RRule, Schedule
from qbeat.schedules.lint import advice, note

NOW = datetime(2026, 10, 1, tzinfo=UTC)
BERLIN = "Europe/Berlin"

ADVICE: list[tuple[Schedule, str, str]] = [
    (Cron("*/45 * * * *"), "step-restarts", "restarts each hour (0, 45); for every 45 minutes use an interval"),
    (Cron("0 */5 * * *"), "step-restarts", "restarts each day"),
    (Cron("0 0 */2 * *"), "step-restarts", "restarts each month (1, 3, … 31)"),
    (Cron("0 0 1 */5 *"), "step-restarts", "restarts each year (1, 6, 11)"),
    (Crontab("*/7"), "step-restarts", "minute '*/7' restarts each hour (0, 7, … 56)"),
    (Cron("*/90 * * * *"), "step-beyond-range", "minute '*/90' is 0 alone"),
    (Cron("50/20 * * * *"), "step-beyond-range", "minute '50/20' is 50 alone"),
    (Cron("0 0 */2 * 1"), "vixie-would-and", "where Vixie cron wants both"),
    (Cron("0 0 1 * 1"), "either-day-field", "one of them is enough"),
    (Crontab(0, 0, "mon", "1-7"), "both-day-fields", "both must match here"),
    (Cron("0 0 1-31 * 1"), "whole-field", "counts as *, so day_of_week alone decides"),
    (Cron("0 0 1 * */1"), "whole-field", "counts as *, so day_of_month alone decides"),
    (Cron("0 0 31 * *"), "short-months", "months that have no day 31"),
    (Cron("0 0 29 * *"), "short-months", "months that have no day 29"),
    (Cron("0 0 29 2 *"), "leap-years-only", "leap years only"),
    (Cron("H * * * *"), "spread-needs-name", "the entry's name"),
    (Cron("0 0 1 1 * 0 2026", None, "last"), "years-over", "never fires again"),
    (Interval("1d"), "day-is-24-hours", "use a crontab"),
    (Cron("30 2 * * *", BERLIN), "in-a-gap", "2027-03-28 02:30 does not exist in Europe/Berlin: it fires at 03:00 (and on 2 more dates"),
    (Cron("30 2 * * *", BERLIN, gap="skip"), "in-a-gap", "it is dropped"),
    (Cron("30 2 * * *", BERLIN), "in-a-fold", "2026-10-25 02:30 twice in Europe/Berlin: it fires on the first pass only"),
    (Cron("30 2 * * *", BERLIN, fold="every"), "in-a-fold", "it fires both times"),
    (Cron("*/5 0-6 * * *", BERLIN), "pauses-in-a-fold", 'pauses for the repeated hour, unless the entry says fold="every"'),
    (Cron("*/5 0-6 * * *", "Australia/Lord_Howe"), "pauses-in-a-fold", "repeated 30 minutes"),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "code", "text"), ADVICE, ids=lambda value: str(value)[:40])
def test_what_may_surprise_is_said(schedule: Schedule, code: str, text: str) -> None:
    found = {one.code: one.text for one in advice(schedule, NOW)}
    assert code in found
    assert text in found[code]


@pytest.mark.parametrize(
    "schedule",
    [
        Cron("*/5 * * * *", BERLIN),
        Cron("* * * * *", BERLIN),
        Cron("0 9 * * mon-fri", BERLIN),
        Cron("0 2 * * *", "UTC"),
        Cron("0 0 L * *", "UTC"),
        Cron("0 */6 * * *", "UTC"),
        Cron("0 0 31 12 *", "UTC"),
        Cron("0 0 1 1 * 0 2030", "UTC", "last"),
        Crontab("*/15", "9-17", "mon-fri", timezone=BERLIN),
        Interval(3600),
        Interval("1d", relative=True),
    ],
    ids=repr,
)
def test_what_surprises_nobody_is_passed_in_silence(schedule: Schedule) -> None:
    assert advice(schedule, NOW) == []


def test_only_clock_changes_ahead_are_looked_at() -> None:
    after_all_changes = datetime(2026, 10, 26, tzinfo=UTC)
    codes = {one.code for one in advice(Cron("30 2 * * *", BERLIN), after_all_changes, years=0)}
    assert codes == set()


NOTES = [
    ("30 2 * * *", "2027-03-28T01:00", "stands for 02:30: the clock goes from 02:00 to 03:00"),
    ("0,30 2 * * *", "2027-03-28T01:00", "stands for 02:00 and 02:30: the clock goes from 02:00 to 03:00"),
    ("*/5 0-6 * * *", "2027-03-28T01:00", "stands for 02:00 and others: the clock goes from 02:00 to 03:00"),
    ("30 2 * * *", "2026-10-25T00:30", "first pass only: the clock shows 02:30 twice"),
    ("30 * * * *", "2026-10-25T00:30", "first pass: the clock shows 02:30 twice"),
    ("30 * * * *", "2026-10-25T01:30", "second pass: the clock shows 02:30 twice"),
    ("0 3 * * *", "2027-03-28T01:00", None),
    ("0 * * * *", "2027-03-28T01:00", None),
    ("30 2 * * *", "2026-07-01T00:30", None),
    ("30 2 * * *", "2026-07-01T00:31", None),
]


@pytest.mark.parametrize(("text", "at", "expected"), NOTES)
def test_a_fire_time_that_a_clock_change_touched_has_a_note(text: str, at: str, expected: str | None) -> None:
    assert note(Cron(text, BERLIN), datetime.fromisoformat(at).replace(tzinfo=UTC)) == expected


def test_where_the_day_changes_with_the_clock_the_dates_are_said() -> None:
    nine = Cron("0 9 * * *", "Pacific/Apia")
    assert note(nine, datetime(2011, 12, 30, 10, tzinfo=UTC)) == (
        "stands for 2011-12-30 09:00: the clock goes from 2011-12-30 00:00 to 2011-12-31 00:00"
    )
    [found] = [one for one in advice(nine, datetime(2011, 10, 1, tzinfo=UTC)) if "2011-12" in one.text]
    assert found.text.startswith(
        "2011-12-30 09:00 does not exist in Pacific/Apia: it fires at 2011-12-31 00:00"
    )


def test_a_gap_that_begins_at_midnight_needs_no_dates() -> None:
    midnight = Cron("0 0 * * *", "America/Havana")
    assert note(midnight, datetime(2024, 3, 10, 5, tzinfo=UTC)) == (
        "stands for 00:00: the clock goes from 00:00 to 01:00"
    )


@pytest.mark.parametrize(
    "schedule",
    [
        Once("2027-03-28T02:30", BERLIN),
        RRule("DTSTART:20270101T023000\nRRULE:FREQ=DAILY", BERLIN),
        Bounded(Cron("30 2 * * *", BERLIN), start="2027-01-01T00:00"),
    ],
    ids=repr,
)
def test_every_kind_that_names_local_times_has_notes_and_advice(schedule: Schedule) -> None:
    at = datetime(2027, 3, 28, 1, tzinfo=UTC)
    assert note(schedule, at) == "stands for 02:30: the clock goes from 02:00 to 03:00"
    assert "in-a-gap" in {one.code for one in advice(schedule, NOW)}


def test_a_fire_time_of_an_interval_has_no_note() -> None:
    assert note(Interval(3600), datetime(2027, 3, 28, 1, tzinfo=UTC)) is None
