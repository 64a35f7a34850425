"""Recurrences on walls: dateutil's own occurrences, wherever the search begins and however old the rule is."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from qbeat.schedules.base import ScheduleError
from qbeat.schedules.recurrence import Recurrence
from qbeat.schedules.zones import naive_of, wall_of

WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
LONG_AGO = datetime.fromisoformat("1970-01-01")
MANY = 40

starts = st.one_of(
    st.datetimes(datetime.fromisoformat("1999-01-01"), datetime.fromisoformat("2025-01-01")).map(
        lambda start: start.replace(microsecond=0)
    ),
    st.sampled_from([
        datetime.fromisoformat(text) for text in ("2024-02-29T23:59:59", "2021-01-31T00:00", "2020-12-31T12:00")
    ]),
)  # fmt: skip


def parts_of(text: str) -> dict[str, str]:
    return dict(part.split("=") for part in text.split(";"))


def numbers(least: int, most: int, count: int = 3) -> st.SearchStrategy[str]:
    return st.lists(st.integers(least, most), min_size=1, max_size=count).map(
        lambda found: ",".join(map(str, found))
    )


def signed(most: int, count: int = 3) -> st.SearchStrategy[str]:
    number = st.integers(-most, most).filter(bool)
    return st.lists(number, min_size=1, max_size=count).map(lambda found: ",".join(map(str, found)))


def weekdays(*, numbered: bool) -> st.SearchStrategy[str]:
    prefix = st.sampled_from(["", "1", "-1", "+2"]) if numbered else st.just("")
    day = st.builds("{}{}".format, prefix, st.sampled_from(WEEKDAYS))
    return st.lists(day, min_size=1, max_size=3).map(",".join)


@st.composite
def rules(draw: st.DrawFn, frequencies: tuple[str, ...]) -> str:
    """Draw a rule that dateutil can walk in bearable time."""
    frequency = draw(st.sampled_from(frequencies))
    coarse = frequency in {"YEARLY", "MONTHLY"}
    lists = {
        "INTERVAL": st.integers(1, 5 if coarse else 40).map(str),
        "BYMONTH": numbers(1, 12),
        "BYMONTHDAY": signed(31),
        "BYDAY": weekdays(numbered=coarse),
        "BYHOUR": numbers(0, 23),
        "BYMINUTE": numbers(0, 59),
        "BYSECOND": numbers(0, 59),
        "WKST": st.sampled_from(["SU", "WE"]),
        "COUNT": st.integers(1, 50).map(str),
    }
    if frequency == "YEARLY":
        lists |= {"BYWEEKNO": signed(52), "BYYEARDAY": signed(365), "BYEASTER": st.integers(0, 60).map(str)}
    if frequency in {"WEEKLY", "DAILY", "MONTHLY", "YEARLY"}:
        lists["BYSETPOS"] = signed(2, 2)
    chosen = draw(st.sets(st.sampled_from(sorted(lists)), max_size=3))
    return ";".join([f"FREQ={frequency}", *(f"{name}={draw(lists[name])}" for name in sorted(chosen))])


def first_of(text: str, start: datetime, count: int) -> list[int]:
    return [wall_of(each) for each in islice(rrulestr(text, dtstart=start), count)]


def walked(recurrence: Recurrence, after: int, count: int) -> list[int]:
    found: list[int] = []
    following = recurrence.next_wall(after)
    while following is not None and len(found) < count:
        found.append(following)
        following = recurrence.next_wall(following)
    return found


def known_or_refused(text: str, start: datetime) -> Recurrence:
    try:
        return Recurrence(parts_of(text), wall_of(start))
    except ScheduleError:
        assume(False)  # noqa: FBT003 - Hypothesis' own signature
        raise


@settings(max_examples=100)
@given(rules(("YEARLY", "MONTHLY", "WEEKLY", "DAILY")), starts, st.data())
@example("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU", datetime.fromisoformat("1997-08-05T09:00"), None)
@example("FREQ=YEARLY;BYMONTHDAY=13;BYDAY=FR", datetime.fromisoformat("1997-09-02T09:00"), None)
@example("FREQ=MONTHLY;BYDAY=MO,TU,WE;BYSETPOS=3", datetime.fromisoformat("1997-09-04T09:00"), None)
def test_dateutil_agrees_on_rules_of_days(text: str, start: datetime, data: st.DataObject | None) -> None:
    assert_agrees(text, start, data)


@settings(max_examples=60)
@given(rules(("HOURLY", "MINUTELY")), starts, st.data())
def test_dateutil_agrees_on_rules_finer_than_a_day(text: str, start: datetime, data: st.DataObject) -> None:
    assume("BYMINUTE" not in text or "BYMONTH" not in text)  # dateutil walks these minute by minute
    assert_agrees(text, start, data)


def assert_agrees(text: str, start: datetime, data: st.DataObject | None) -> None:
    recurrence = known_or_refused(text, start)
    theirs = first_of(text, start, MANY)
    assert walked(recurrence, wall_of(start) - 1, len(theirs)) == theirs
    if data is not None:
        i = data.draw(st.integers(0, len(theirs) - 1))
        assert known_or_refused(text, start).next_wall(theirs[i] - 1) == theirs[i]


@given(
    st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"]),
    st.integers(1, 50),
    st.integers(0, 10**15),
)
def test_a_search_far_from_the_start_keeps_the_rhythm(frequency: str, interval: int, far: int) -> None:
    recurrence = Recurrence(parts_of(f"FREQ={frequency};INTERVAL={interval}"), wall_of(LONG_AGO))
    found = recurrence.next_wall(wall_of(LONG_AGO) + far)
    assert found is not None
    shown = naive_of(found)
    months = shown.year * 12 + shown.month - LONG_AGO.year * 12 - LONG_AGO.month
    seconds = {"WEEKLY": 604800, "DAILY": 86400, "HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}.get(frequency)
    if seconds is None:
        assert (shown.day, shown.hour, shown.minute) == (1, 0, 0)
        assert months % (interval * (12 if frequency == "YEARLY" else 1)) == 0
    else:
        assert (shown - LONG_AGO) % timedelta(seconds=seconds * interval) == timedelta(0)
        assert found - wall_of(LONG_AGO) - far <= seconds * interval * 10**6


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=MINUTELY;INTERVAL=5",
        "FREQ=SECONDLY",
        "FREQ=HOURLY;BYDAY=MO;INTERVAL=7",
        "FREQ=DAILY;COUNT=15000",
    ],
)
def test_the_work_does_not_grow_with_the_age_of_the_rule(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recurrence = Recurrence(parts_of(text), wall_of(LONG_AGO))
    steps = count_steps(monkeypatch)
    for year in (1971, 1980, 2000):
        recurrence.next_wall(wall_of(LONG_AGO.replace(year=year)))
    assert len(steps) < 3 * 500


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Count the occurrences that dateutil hands out from now on."""
    from qbeat.schedules import recurrence

    steps: list[datetime] = []

    def counting(occurrence: datetime) -> int:
        steps.append(occurrence)
        return wall_of(occurrence)

    monkeypatch.setattr(recurrence, "wall_of", counting)
    return steps


def test_a_count_that_is_not_reached_within_four_centuries_ends_there() -> None:
    recurrence = Recurrence(parts_of("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;COUNT=2000"), wall_of(LONG_AGO))
    leap_day = wall_of(datetime.fromisoformat("2344-02-29T00:00"))
    assert recurrence.next_wall(wall_of(LONG_AGO.replace(year=2341))) == leap_day
    assert recurrence.next_wall(wall_of(LONG_AGO.replace(year=2371))) is None


def test_a_rule_with_every_second_of_the_year_is_walked_no_further_than_needed() -> None:
    every = {"BYHOUR": range(24), "BYMINUTE": range(60), "BYSECOND": range(60)}
    text = "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;" + ";".join(
        f"{name}={','.join(map(str, values))}" for name, values in every.items()
    )
    recurrence = Recurrence(parts_of(text), wall_of(LONG_AGO))
    at = wall_of(datetime.fromisoformat("2026-11-20T12:00"))
    assert recurrence.next_wall(at) == at + 10**6
    with pytest.raises(ScheduleError, match="BYSETPOS"):
        Recurrence(parts_of(text + ";BYSETPOS=1"), wall_of(LONG_AGO))
