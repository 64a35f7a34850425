"""Jitter and the durations that it is written in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbeat.schedules import ScheduleError
from qbeat.schedules.durations import LONGEST, duration_text, parse_duration
from qbeat.schedules.jitter import Jitter, jitter_us, parse_jitter

SECOND = 1_000_000
HOUR = 3600 * SECOND

instants = st.integers(-(10**16), 10**17)
jitters = st.one_of(
    st.builds(Jitter, duration=st.integers(0, 10**13)), st.builds(Jitter, share=st.integers(1, 1_000_000))
)


@given(st.text(max_size=40), instants, st.integers(1, 10**13), jitters)
def test_jitter_is_never_negative_and_never_reaches_the_next_fire_time(
    entry: str, fire_time: int, gap: int, jitter: Jitter
) -> None:
    assert 0 <= jitter_us(entry, fire_time, fire_time + gap, jitter) < gap


@given(st.text(max_size=40), instants, st.integers(1, 10**13), jitters)
def test_jitter_is_the_same_however_often_it_is_asked(
    entry: str, fire_time: int, gap: int, jitter: Jitter
) -> None:
    asked = {jitter_us(entry, fire_time, fire_time + gap, jitter) for _ in range(3)}
    assert len(asked) == 1


@given(st.text(max_size=40), instants, st.integers(1, 10**12))
def test_a_duration_bounds_the_jitter(entry: str, fire_time: int, duration: int) -> None:
    assert jitter_us(entry, fire_time, None, Jitter(duration=duration)) < duration
    assert jitter_us(entry, fire_time, fire_time + 10**14, Jitter(duration=duration)) < duration


def test_these_jitters_hold_for_every_release_and_every_machine() -> None:
    jitter = parse_jitter("1h")
    assert jitter_us("cat", 0, None, jitter) == 609_377_343
    assert jitter_us("cat", HOUR, None, jitter) == 1_041_495_193
    assert jitter_us("dog", 0, None, jitter) == 2_978_978_774


def test_entries_that_fire_together_are_spread_evenly() -> None:
    tenths = [0] * 10
    for number in range(5000):
        tenths[jitter_us(f"entry-{number}", HOUR, 2 * HOUR, parse_jitter("100%")) * 10 // HOUR] += 1
    assert min(tenths) > 400
    assert max(tenths) < 600


def test_a_share_of_the_gap_is_nothing_after_the_last_fire_time() -> None:
    assert jitter_us("cat", HOUR, None, parse_jitter("50%")) == 0


def test_half_of_the_gap_stays_in_its_first_half() -> None:
    late = [jitter_us(f"entry-{i}", HOUR, 2 * HOUR, parse_jitter("50%")) for i in range(500)]
    assert max(late) < HOUR // 2
    assert max(late) > HOUR // 3


@pytest.mark.parametrize(
    ("written", "jitter"),
    [
        ("30s", Jitter(duration=30 * SECOND)),
        (timedelta(minutes=2), Jitter(duration=120 * SECOND)),
        (1.5, Jitter(duration=1_500_000)),
        (0, Jitter()),
        ("50%", Jitter(share=500_000)),
        (" 12.5 %", Jitter(share=125_000)),
        ("0.0001%", Jitter(share=1)),
        ("100%", Jitter(share=1_000_000)),
        (Jitter(share=7), Jitter(share=7)),
    ],
)
def test_jitter_is_read_from_durations_and_percentages(written: str | float | Jitter, jitter: Jitter) -> None:
    assert parse_jitter(written) == jitter


@given(jitters)
def test_jitter_comes_back_from_its_text(jitter: Jitter) -> None:
    assert parse_jitter(str(jitter)) == jitter


def test_jitter_is_described_in_words() -> None:
    assert parse_jitter("90s").describe() == "up to 1m30s later"
    assert parse_jitter("12.50%").describe() == "up to 12.5% of the gap later"


@pytest.mark.parametrize(
    "wrong", ["101%", "%", "-5%", "1.23456%", "soon", "", "5", "-3s", -1, None, True, [3]]
)
def test_anything_else_is_refused_as_jitter(wrong: str) -> None:
    with pytest.raises(ScheduleError) as refusal:
        parse_jitter(wrong)
    assert refusal.value.field == "jitter"
    assert refusal.value.cure


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("1w2d3h4m5s6ms7us", ((((9 * 24 + 3) * 60 + 4) * 60) + 5) * SECOND + 6007),
        ("1.5h", 5400 * SECOND),
        (" 2 m 30 s ", 150 * SECOND),
        ("250ms", 250_000),
    ],
)
def test_durations_are_read_from_text(text: str, duration: int) -> None:
    assert parse_duration(text, field="every") == duration


@given(st.integers(0, LONGEST))
def test_durations_come_back_from_their_text(duration: int) -> None:
    assert parse_duration(duration_text(duration), field="every") == duration


@given(st.one_of(st.text(max_size=30), st.floats(), st.timedeltas()))
def test_durations_are_read_or_refused_with_the_name_of_the_field(
    value: str | float | timedelta,
) -> None:
    try:
        duration = parse_duration(value, field="lasting")
    except ScheduleError as error:
        field = error.field
    else:
        field = "lasting" if 0 <= duration <= LONGEST else None
    assert field == "lasting"
