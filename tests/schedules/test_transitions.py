"""Every minute around the real clock changes of zones that are known to surprise, beside the brute-force walk."""

from __future__ import annotations

from bisect import bisect_right

import pytest

from qbeat.schedules import Cron
from tests.schedules.drawing import LIVELY_ZONES, changes_of
from tests.schedules.oracle import DAY_MINUTES, MINUTE_US, fire_times

EXPRESSIONS = [
    "*/20 * * * *",
    "7-59/20 * * * *",
    "30 0-6,23 * * *",
    "*/20 0-6,21-23 * * *",
    "0 0 * * *",
    "15,45 1,2 * * *",
    "0 */2 * * *",
    "30 0-3,22,23 1-15 * *",
]
EXCEPTIONS = [("once", "fire"), ("every", "fire"), ("once", "skip"), ("every", "skip")]
CHANGES = 3


def _some(changes: list[int]) -> list[int]:
    """Return a few changes, the oldest and the latest among them."""
    return changes[:: max(1, len(changes) // CHANGES)][:CHANGES] + changes[-1:]


@pytest.mark.parametrize("name", LIVELY_ZONES)
def test_each_minute_around_a_change_has_the_answer_of_the_walk(name: str) -> None:
    for change in _some(changes_of(name)):
        begin, end = change - 300, change + DAY_MINUTES
        for text in EXPRESSIONS:
            for fold, gap in EXCEPTIONS:
                schedule = Cron(text, name, fold=fold, gap=gap)
                expected = fire_times(schedule.fields, name, begin, end, fold, gap)
                for minute in range(begin, change + 200, 7):
                    found = schedule.next_us(minute * MINUTE_US)
                    assert found is not None
                    following = bisect_right(expected, minute)
                    if following < len(expected):
                        assert found == expected[following] * MINUTE_US
                    else:
                        assert found >= end * MINUTE_US
