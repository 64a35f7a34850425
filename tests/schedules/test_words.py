"""Schedules in English."""

from __future__ import annotations

import pytest
from hypothesis import given

from qbeat.schedules import Cron, Crontab, Schedule
from qbeat.schedules.search import Fields
from qbeat.schedules.words import canonical
from tests.schedules.drawing import drawn_cron, plain_fields

DESCRIBED: list[tuple[Schedule, str]] = [
    (Cron("* * * * *"), "Every minute"),
    (Cron("*/5 * * * *"), "Every 5 minutes"),
    (Cron("*/45 * * * *"), "At 0 and 45 minutes past the hour"),
    (Cron("1 * * * *"), "At 1 minute past the hour"),
    (Cron("@hourly"), "Every hour"),
    (Cron("30 4 * * *"), "At 04:30 every day"),
    (Cron("0,30 9 * * *"), "At 09:00 and 09:30 every day"),
    (Cron("0 9 * * mon-fri", "Europe/Berlin"), "At 09:00, on Monday to Friday (Europe/Berlin)"),
    (Cron("0 9-17 * * 1-5"), "Every hour, from 09:00 to 17:59, on Monday to Friday"),
    (Cron("*/5 9-16 * * *"), "Every 5 minutes, from 09:00 to 16:59"),
    (Cron("0 */2 * * *"), "Every 2 hours"),
    (Cron("0 */5 * * *"), "At 00:00, 05:00, 10:00, 15:00 and 20:00 every day"),
    (Cron("* 1,3,5,7 * * *"), "Every minute, in the hours 1, 3, 5 and 7"),
    (Cron("0 0 1,15 * 3"), "At 00:00, on days 1 and 15 of the month and on Wednesday"),
    (Crontab(0, 0, "wed", "1,15"), "At 00:00, on days 1 and 15 of the month if it is Wednesday"),
    (Cron("0 0 L * *"), "At 00:00, on the last day of the month"),
    (Cron("0 0 L,15 * *"), "At 00:00, on day 15 of the month and the last day of the month"),
    (Cron("0 0 15W * *"), "At 00:00, on the working day nearest to day 15 of the month"),
    (Cron("0 0 * * mon#2"), "At 00:00, on the second Monday of the month"),
    (Cron("0 0 * * L5"), "At 00:00, on the last Friday of the month"),
    (Cron("0 0 * * sat,sun"), "At 00:00, on Saturday and Sunday"),
    (Cron("0 0 * * fri-sun"), "At 00:00, on Friday to Sunday"),
    (Cron("0 0 29 2 *"), "At 00:00, on day 29 of the month, in February"),
    (Cron("0 0 1 */3 *"), "At 00:00, on day 1 of the month, in January, April, July and October"),
    (Cron("0 0 1 6-8 *"), "At 00:00, on day 1 of the month, in June to August"),
    (Cron("0 0 1 1 * 0 2027-2030", None, "last"),
     "At 00:00, on day 1 of the month, in January, in 2027 to 2030"),
    (Cron("30 * * * * *", None, "first"), "At 30 seconds past the minute"),
    (Cron("*/10 * * * * *", None, "first"), "Every 10 seconds"),
    (Cron("15 30 4 * * *", None, "first"), "At 04:30:15 every day"),
    (Cron("H 4 * * *"), "At 04:13 every day, H chosen as for an entry without a name"),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "text"), DESCRIBED, ids=lambda value: str(value)[:40])
def test_a_schedule_says_when_it_fires(schedule: Schedule, text: str) -> None:
    assert schedule.describe() == text


@given(plain_fields())
def test_any_schedule_has_words(fields: Fields) -> None:
    text = drawn_cron(fields, "Europe/Berlin").describe()
    assert text.endswith("(Europe/Berlin)")
    assert text[0].isupper()
    assert "  " not in text


@pytest.mark.parametrize(
    ("numbers", "first", "last", "text"),
    [
        (range(60), 0, 59, "*"),
        (range(0, 60, 15), 0, 59, "*/15"),
        (range(0, 60, 7), 0, 59, "*/7"),
        ([0, 45], 0, 59, "*/45"),
        ([0], 0, 59, "0"),
        ([1, 2], 0, 59, "1,2"),
        ([1, 2, 3, 10, 20, 30, 41], 0, 59, "1-3,10-30/10,41"),
        (range(1, 32, 2), 1, 31, "*/2"),
        ([5, 10, 15], 1, 31, "5-15/5"),
    ],
)
def test_a_set_of_numbers_has_one_canonical_text(
    numbers: list[int], first: int, last: int, text: str
) -> None:
    assert canonical(frozenset(numbers), first, last) == text
