"""What must hold for every calendar schedule, in every zone, at every instant."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qbeat.schedules import Cron, Crontab, Interval, Schedule, ScheduleError
from qbeat.schedules.base import from_us
from qbeat.schedules.cron_policy import FIELDS
from qbeat.schedules.search import ALL_DAYS, ALL_WEEKDAYS, HORIZON_YEARS, Days, Fields, compiled
from qbeat.schedules.zones import DAY, HOUR, MINUTE, Zone, zone
from tests.schedules.drawing import (
    busy_fields,
    cron_spellings,
    cron_text,
    drawn_cron,
    field_texts,
    minutes_of,
    plain_fields,
    special_texts,
    zones,
    zones_and_instants,
)
from tests.schedules.oracle import DAY_MINUTES, MINUTE_US, fire_times, matches

folds = st.sampled_from(["once", "every"])
gaps = st.sampled_from(["fire", "skip"])
any_fields = st.sampled_from([True, True, True, False]).flatmap(
    lambda busy: busy_fields() if busy else plain_fields()
)
short_spans = st.integers(0, 3 * DAY)


def walk(schedule: Schedule, after: int, until: int) -> list[int]:
    """Return the fire times in ``(after, until]`` by asking again and again."""
    found = []
    at = schedule.next_us(after)
    while at is not None and at <= until:
        found.append(at)
        at = schedule.next_us(at)
    return found


@settings(max_examples=120)
@given(any_fields, zones_and_instants(), folds, gaps, short_spans)
def test_the_next_fire_time_is_later_and_never_runs_backwards(
    fields: Fields, where: tuple[str, int], fold: str, gap: str, later: int
) -> None:
    name, after = where
    schedule = drawn_cron(fields, name, fold, gap)
    first, second = schedule.next_us(after), schedule.next_us(after + later)
    assert first is None or first > after
    if second is not None:
        assert first is not None
        assert first <= second


@settings(max_examples=120)
@given(any_fields, zones_and_instants(), folds, gaps, st.floats(0, 1, exclude_max=True))
def test_the_answer_stays_the_same_until_it_comes(
    fields: Fields, where: tuple[str, int], fold: str, gap: str, part: float
) -> None:
    name, after = where
    schedule = drawn_cron(fields, name, fold, gap)
    first = schedule.next_us(after)
    assume(first is not None)
    assert first is not None
    for between in (after + int((first - after) * part), min(after + HOUR // 2, first - 1), first - 1):
        assert schedule.next_us(between) == first


@settings(max_examples=80)
@given(any_fields, zones.flatmap(lambda name: st.tuples(st.just(name), minutes_of(name))), folds, gaps)
def test_the_fire_times_of_three_days_are_those_of_a_walk_over_every_minute(
    fields: Fields, where: tuple[str, int], fold: str, gap: str
) -> None:
    name, begin = where
    end = begin + 3 * DAY_MINUTES
    found = walk(drawn_cron(fields, name, fold, gap), begin * MINUTE_US - 1, end * MINUTE_US - 1)
    assert found == [at * MINUTE_US for at in fire_times(fields, name, begin, end, fold, gap)]


@given(special_texts(), zones_and_instants())
def test_special_days_fall_where_a_walk_over_every_minute_finds_them(
    text: str, where: tuple[str, int]
) -> None:
    name, instant = where
    begin = instant // MINUTE_US
    schedule = Cron(text, name)
    end = begin + 3 * DAY_MINUTES
    expected = fire_times(schedule.fields, name, begin, end)
    assert walk(schedule, begin * MINUTE_US - 1, end * MINUTE_US - 1) == [at * MINUTE_US for at in expected]


@given(any_fields, zones_and_instants(), st.tuples(short_spans, short_spans))
def test_a_span_splits_at_any_instant(fields: Fields, where: tuple[str, int], spans: tuple[int, int]) -> None:
    name, begin = where
    middle, end = begin + spans[0], begin + sum(spans)
    schedule = drawn_cron(fields, name)
    whole = schedule.span(begin, end)
    parts = [part for part in (schedule.span(begin, middle), schedule.span(middle, end)) if part is not None]
    if whole is None:
        assert parts == []
        return
    assert whole.first == parts[0].first
    assert whole.last == parts[-1].last
    assert whole.count == sum(part.count or 0 for part in parts)


@given(plain_fields(), zones_and_instants())
def test_a_schedule_of_all_hours_fires_whenever_the_clock_matches_and_only_then(
    fields: Fields, where: tuple[str, int]
) -> None:
    name, after = where
    schedule = Cron(cron_text(fields).replace(" ", "|", 1).split("|")[0] + " * * * *", name)
    info = ZoneInfo(name)
    found = walk(schedule, after, after + DAY // 4)
    minutes = range(after // MINUTE_US + 1, (after + DAY // 4) // MINUTE_US + 1)
    shown = [
        m * MINUTE_US for m in minutes if from_us(m * MINUTE_US).astimezone(info).minute in fields.minutes
    ]
    assert found == shown


@given(any_fields, zones.flatmap(lambda name: st.tuples(st.just(name), minutes_of(name))))
def test_each_named_time_happens_exactly_once_when_the_clock_first_shows_it_or_a_later_one(
    fields: Fields, where: tuple[str, int]
) -> None:
    assume(len(fields.hours) < 24)
    name, begin = where
    clock = zone(name)
    low, high = clock.high_water(begin * MINUTE_US), clock.high_water((begin + 3 * DAY_MINUTES) * MINUTE_US)
    named = [w * MINUTE_US for w in range(low // MINUTE_US + 1, high // MINUTE_US + 1) if matches(fields, w)]
    found = walk(drawn_cron(fields, name), begin * MINUTE_US, (begin + 3 * DAY_MINUTES) * MINUTE_US)
    assert found == sorted({clock.first_instant(w) for w in named})
    assert len(found) <= len(named)


@given(zones_and_instants(), st.integers(-2 * HOUR, 2 * HOUR))
def test_the_first_instant_of_a_wall_is_neither_early_nor_late(where: tuple[str, int], shift: int) -> None:
    name, instant = where
    clock = zone(name)
    wall = clock.local(instant) + shift
    first = clock.first_instant(wall)
    assert clock.local(first) >= wall
    assert clock.high_water(first - 1) < wall
    assert from_us(first).astimezone(ZoneInfo(name)).replace(tzinfo=UTC) == from_us(clock.local(first))


@given(plain_fields(), zones_and_instants())
def test_all_hours_without_day_fields_fire_as_in_utc_where_offsets_are_whole_hours(
    fields: Fields, where: tuple[str, int]
) -> None:
    name, after = where
    clock = zone(name)
    assume(all(clock.offset(after + days * DAY) % HOUR == 0 for days in range(4)))
    assume(
        all((change.after - change.before) % HOUR == 0 for change in clock.changes(after, after + 3 * DAY))
    )
    text = cron_text(fields).split(" ")[0] + " * * * *"
    assert walk(Cron(text, name), after, after + 2 * DAY) == walk(Cron(text, "UTC"), after, after + 2 * DAY)


@given(plain_fields(), zones_and_instants(), st.integers(-14 * 60, 14 * 60))
def test_a_fixed_offset_only_shifts_the_fire_times(
    fields: Fields, where: tuple[str, int], offset: int
) -> None:
    _, after = where
    sign = "-" if offset < 0 else "+"
    name = f"UTC{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    shifted = drawn_cron(fields, name).next_us(after)
    naive = drawn_cron(fields, "UTC").next_us(after + offset * MINUTE)
    assert (shifted is None and naive is None) or (shifted == (naive or 0) - offset * MINUTE)


@given(plain_fields(), st.data(), zones_and_instants())
def test_the_spelling_of_a_cron_text_does_not_matter(
    fields: Fields, data: st.DataObject, where: tuple[str, int]
) -> None:
    name, after = where
    text = data.draw(cron_spellings(fields))
    assert Cron(text, name).fields == fields
    assert Cron(text, name).next_us(after) == drawn_cron(fields, name).next_us(after)


@given(plain_fields(either=False), st.data())
def test_the_spelling_of_a_crontab_does_not_matter(fields: Fields, data: st.DataObject) -> None:
    sets = [
        (fields.minutes, 0, 59), (fields.hours, 0, 23), (fields.days.dow, 0, 6), (fields.days.dom, 1, 31),
        (fields.months, 1, 12),
    ]  # fmt: skip
    texts = [data.draw(field_texts(numbers, first, last)) for numbers, first, last in sets]
    kinds: list[Any] = [data.draw(st.sampled_from([set, list, tuple, sorted])) for _ in sets]
    ready = [kind(numbers) for kind, (numbers, _, _) in zip(kinds, sets, strict=True)]
    one, other = Crontab(*texts), Crontab(*ready)
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == other
    assert one.fields == fields


@given(plain_fields(either=True), zones_and_instants())
def test_days_that_match_both_fields_are_among_those_that_match_either(
    fields: Fields, where: tuple[str, int]
) -> None:
    name, after = where
    both = Crontab.from_sets(
        minute=fields.minutes, hour=fields.hours, day_of_week=ALL_WEEKDAYS, day_of_month=ALL_DAYS,
        month_of_year=fields.months, timezone=name,
    )  # fmt: skip
    every_day = set(walk(both, after, after + 9 * DAY))
    either = walk(drawn_cron(fields, name), after, after + 9 * DAY)
    assert every_day.issuperset(either)
    days = fields.days
    narrow = Days(days.dom, days.dow)
    if not Fields(months=fields.months, days=narrow).ever_fires():
        return
    strict = Crontab.from_sets(
        minute=fields.minutes, hour=fields.hours, day_of_week=days.dow, day_of_month=days.dom,
        month_of_year=fields.months, timezone=name,
    )  # fmt: skip
    found = walk(strict, after, after + 9 * DAY)
    assert set(either).issuperset(found)
    if days.dom >= ALL_DAYS or days.dow >= ALL_WEEKDAYS:
        assert found == either


def _days_of_400_years() -> list[tuple[int, int, int]]:
    first = datetime(2000, 1, 1, tzinfo=UTC)
    dates = (first + timedelta(days=n) for n in range(146_097))
    return [(date.month, date.day, date.isoweekday() % 7) for date in dates]


@settings(max_examples=60)
@given(
    st.frozensets(st.integers(1, 12), min_size=1, max_size=3),
    st.frozensets(st.integers(27, 31), min_size=1, max_size=2),
    st.frozensets(st.integers(0, 6), min_size=1, max_size=2),
    st.booleans(),
)
def test_whether_a_schedule_ever_fires_is_decided_as_400_years_of_days_decide(
    months: frozenset[int], dom: frozenset[int], dow: frozenset[int], either: bool
) -> None:
    fields = Fields(months=months, days=Days(dom, dow, either=either))
    joined = any if either else all
    found = any(month in months and joined((day in dom, weekday in dow)) for month, day, weekday in CYCLE)
    assert fields.ever_fires() == found


CYCLE = sorted(set(_days_of_400_years()))


@given(plain_fields(), st.integers(0, 2400 * 365))
def test_what_fires_at_all_fires_within_the_horizon(fields: Fields, day: int) -> None:
    after = day * DAY
    found = compiled(fields).next_wall(after)
    assert found is not None
    assert found - after <= HORIZON_YEARS * 366 * DAY


@given(st.integers(1000, 10**12), st.integers(-(10**15), 10**15), st.integers(0, 10**5), zones)
def test_an_interval_is_its_anchor_and_whole_steps_to_the_microsecond(
    every: int, anchor: int, steps: int, name: str
) -> None:
    schedule = Interval(timedelta(microseconds=every))
    point = anchor + steps * every
    assert schedule.next_us(point, anchor) == point + every
    assert schedule.next_us(point + every - 1, anchor) == point + every
    assert schedule.resolve(name="entry", timezone=name) == schedule
    far = schedule.span(anchor, anchor + 10**6 * every, anchor)
    assert far is not None
    assert (far.first, far.last, far.count) == (anchor + every, anchor + 10**6 * every, 10**6)


@given(st.integers(1000, 10**12), st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
def test_an_interval_never_fires_at_or_before_its_anchor(every: int, anchor: int, after: int) -> None:
    found = Interval(timedelta(microseconds=every)).next_us(after, anchor)
    assert found is not None
    assert found > max(after, anchor)
    assert (found - anchor) % every == 0


CRONLIKE = st.lists(
    st.text(st.sampled_from("0123456789*/,-?#LWHRlwhr()@ \tmonsuja=~"), max_size=12), min_size=1, max_size=8
).map(" ".join)


def refusal(build: Callable[[], Schedule]) -> ScheduleError | None:
    try:
        build()
    except ScheduleError as refused:
        return refused
    return None


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=300), CRONLIKE), st.sampled_from([None, "first", "last"]))
def test_any_text_is_a_schedule_or_is_refused_by_the_name_of_a_field(text: str, seconds: Any) -> None:
    refused = refusal(lambda: Cron(text, seconds=seconds))
    assert refused is None or (refused.field in {"expression", *FIELDS} and refused.cure)


@settings(max_examples=120)
@given(st.text(max_size=300))
def test_any_text_is_a_crontab_field_or_is_refused_by_its_name(text: str) -> None:
    refused = refusal(lambda: Crontab(day_of_week=text))
    assert refused is None or (refused.field == "day_of_week" and refused.cure)


@given(plain_fields(), st.data(), zones, folds, gaps)
def test_a_schedule_comes_back_from_its_text_and_from_its_data(
    fields: Fields, data: st.DataObject, name: str, fold: str, gap: str
) -> None:
    schedule = Cron(data.draw(cron_spellings(fields)), name, fold=fold, gap=gap)
    again = Cron(str(schedule), name, fold=fold, gap=gap)
    assert again == schedule
    assert str(again) == str(schedule)
    assert Cron.from_data(json.loads(json.dumps(schedule.to_data()))) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@given(plain_fields(either=False), zones)
def test_the_canonical_texts_of_a_crontab_are_a_fixed_point(fields: Fields, name: str) -> None:
    schedule = Crontab.from_sets(
        minute=fields.minutes, hour=fields.hours, day_of_week=fields.days.dow, day_of_month=fields.days.dom,
        month_of_year=fields.months, timezone=name,
    )  # fmt: skip
    again = Crontab(**schedule.texts, timezone=name)
    assert again == schedule
    assert again.texts == schedule.texts


@given(plain_fields(), zones_and_instants())
def test_a_cold_zone_answers_like_a_warm_one(fields: Fields, where: tuple[str, int]) -> None:
    name, after = where
    cold = Zone(name, ZoneInfo.no_cache(name))
    warm = zone(name)
    for instant in (after, after + HOUR):
        assert cold.local(instant) == warm.local(instant)
        assert cold.high_water(instant) == warm.high_water(instant)
        assert cold.first_instant(cold.local(instant)) == warm.first_instant(warm.local(instant))
    assert Cron(cron_text(fields), ZoneInfo(name)) == drawn_cron(fields, name)


PROBE = """
from qbeat.schedules import Cron, Crontab, Interval
names = ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]
kinds = [Cron("H 2 * * mon-fri"), Crontab("*/20", "1-3"), Interval("1d", relative=True)]
for name in names:
    for kind in kinds:
        schedule = kind.resolve(name="report", timezone=name)
        at = 1_700_000_000_000_000
        for _ in range(300):
            at = schedule.next_us(at, 1_600_000_000_000_000)
        print(name, schedule.to_data(), at)
"""


@pytest.fixture(scope="module")
def answers() -> str:
    return _answers(TZ="UTC", PYTHONHASHSEED="0")


@pytest.mark.parametrize(
    "environment",
    [
        {"TZ": "America/New_York", "PYTHONHASHSEED": "7"},
        {"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
        {"PYTHONOPTIMIZE": "1", "PYTHONUTF8": "0"},
    ],
)
def test_the_environment_of_the_process_does_not_matter(environment: dict[str, str], answers: str) -> None:
    assert _answers(**environment) == answers
    assert len(answers.splitlines()) == 9


def _answers(**environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", PROBE],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ran.stdout


@given(any_fields, zones_and_instants(), st.integers(0, MINUTE_US - 1))
def test_asking_within_a_minute_gives_one_answer_unless_a_fire_time_lies_between(
    fields: Fields, where: tuple[str, int], later: int
) -> None:
    name, after = where
    schedule = drawn_cron(fields, name)
    first = schedule.next_us(after)
    assert (first is not None and first <= after + later) or schedule.next_us(after + later) == first


def test_fire_times_rise_strictly_over_ten_years_of_clock_changes() -> None:
    begin = 1_500_000_000_000_000
    for name in ("America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "Africa/Casablanca"):
        found = walk(Cron("*/30 1-3 * * *", name), begin, begin + 3653 * DAY)
        assert all(one < other for one, other in pairwise(found))
        assert len(found) >= 6 * 3652 - 40
