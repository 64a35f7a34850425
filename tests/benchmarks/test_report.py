"""The arithmetic of the benchmarks and the page that they write; nothing here measures anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.bursts import Burst, median_cpu, median_rate
from tests.benchmarks.cases.lateness import Lateness, lateness_of
from tests.benchmarks.load import HERALD, REARGUARD, Load
from tests.benchmarks.report import Record, page, rendered, table, text, write
from tests.benchmarks.results import Part, Sizes, at_least, at_most, burst_row
from tests.benchmarks.rounds import next_instant

SLOW = Burst(sent=10, seconds=2.0, cpu=0.001)
QUICK = Burst(sent=10, seconds=0.1, cpu=0.0002)
USUAL = Burst(sent=10, seconds=0.5, cpu=0.0004)


def _part(title: str = "A burst", measured: float = 50.0) -> Part:
    return Part(
        title,
        "How it was done.",
        [burst_row("qbeat", 10, [USUAL]), burst_row("a rival", 10, [SLOW], 20.0)],
        [at_least("rate against a rival", measured, 40), at_most("CPU against a rival", 0.5, 1 / 40)],
    )


def _record(part: Part) -> Record:
    return Record(part, "2026-01-02", "2 cores, 4 GB", {"Python": "3.11.0", "Redis": "7.0.15"})


def test_a_burst_tells_its_rate_and_the_cpu_time_of_each_firing() -> None:
    assert USUAL.rate == 20.0
    assert USUAL.cpu_each == pytest.approx(40.0)


def test_of_several_rounds_the_median_counts() -> None:
    rounds = [SLOW, QUICK, USUAL]

    assert median_rate(rounds) == 20.0
    assert median_cpu(rounds) == pytest.approx(40.0)


def test_a_rivals_row_says_how_many_times_its_rate_qbeat_reaches() -> None:
    row = burst_row("a rival", 10, [SLOW, SLOW, QUICK], ours=1_000.0)

    assert (row["firings/s"], row["rounds"], row["times"]) == (5.0, 3, 200.0)
    assert burst_row("qbeat", 10, [USUAL])["times"] is None


@pytest.mark.parametrize(("measured", "is_met"), [(39.9, False), (40.0, True), (41.0, True)])
def test_a_floor_is_met_from_the_wanted_figure_on(measured: float, is_met: bool) -> None:
    assert at_least("rate", measured, 40).is_met is is_met


@pytest.mark.parametrize(("measured", "is_met"), [(0.9, True), (1.0, True), (1.1, False)])
def test_a_ceiling_is_met_up_to_the_wanted_figure(measured: float, is_met: bool) -> None:
    assert at_most("CPU", measured, 1).is_met is is_met


def test_what_was_asked_for_takes_the_place_of_a_cases_own_sizes() -> None:
    asked, usual = Sizes(entries=200, seconds=2.0), Sizes()

    assert (asked.entries_or(1_000), asked.fewer_or(100), asked.fewer_or(1_000)) == (200, 100, 200)
    assert (usual.entries_or(1_000), usual.fewer_or(100), usual.repeats) == (1_000, 100, 3)
    assert (asked.seconds_or(15.0), usual.seconds_or(15.0)) == (2.0, 15.0)


@pytest.mark.parametrize(
    ("figure", "shown"),
    [(None, "-"), ("yes", "yes"), (100_000, "100,000"), (7, "7"), (12_345.6, "12,346"), (0.016_12, "0.0161")],
)
def test_figures_are_shown_with_as_many_digits_as_mean_something(
    figure: float | str | None, shown: str
) -> None:
    assert text(figure) == shown


def test_a_table_has_a_line_for_each_row_and_a_dash_where_nothing_was_measured() -> None:
    assert table([{"": "qbeat", "rate": 20.0}, {"": "a rival"}]).splitlines() == [
        "|  | rate |",
        "| --- | ---: |",
        "| qbeat | 20 |",
        "| a rival | - |",
    ]


def test_a_part_shows_each_goal_with_whether_it_is_met() -> None:
    lines = rendered(_part()).splitlines()

    assert "| rate against a rival | ≥ 40 | 50 | yes |" in lines
    assert "| CPU against a rival | ≤ 0.025 | 0.5 | **no** |" in lines


def test_the_page_begins_with_all_goals() -> None:
    head, _, _ = page([_record(_part("One")), _record(_part("Two", measured=30.0))]).partition("## One")

    assert "1 of 4 are met." in head
    assert "| Two | rate against a rival | ≥ 40 | 30 | **no** |" in head


def test_the_page_ends_with_the_machine_once_for_all_parts_that_were_measured_alike() -> None:
    other = replace(_record(_part("Three")), machine="8 cores, 16 GB")

    _, _, ending = page([_record(_part("One")), _record(_part("Two")), other]).partition("## Where and when")

    assert ending.split("\n") == [
        "",
        "",
        "- One, Two: on 2026-01-02; 2 cores, 4 GB; Python 3.11.0, Redis 7.0.15.",
        "- Three: on 2026-01-02; 8 cores, 16 GB; Python 3.11.0, Redis 7.0.15.",
        "",
    ]


def test_a_part_measured_again_replaces_its_figures_and_leaves_the_others(tmp_path: Path) -> None:
    path, order = tmp_path / "docs" / "benchmarks.md", ("one", "two")
    write(path, "two", _record(_part("Two")), order)
    write(path, "one", _record(_part("One", measured=60.0)), order)
    write(path, "one", _record(_part("One", measured=30.0)), order)

    assert path.read_text() == page([_record(_part("One", measured=30.0)), _record(_part("Two"))])


def test_new_entries_say_nothing_of_a_last_run() -> None:
    old, new = (Load(2, 10.0, first_at=1_000.0, is_new=is_new).beat_schedule() for is_new in (False, True))

    assert all("last_run_at" in entry for entry in old.values())
    assert not any("last_run_at" in entry for entry in new.values())


def test_lateness_counts_what_was_due_once_and_leaves_out_what_never_came() -> None:
    load = Load(count=10, every=100.0, first_at=1_000.0, step=1.0)
    arrivals = [(0, 1_000.002), (2, 1_002.5), (2, 1_009.0), (9, 1_009.1), (-1, 1_000.0)]

    late = lateness_of(arrivals, load, expected=4)

    assert late == pytest.approx([2.0, 500.0])
    assert Lateness(late, expected=4, cpu_each=0.0).share == 50.0


def test_percentiles_need_more_than_one_arrival() -> None:
    hundred = Lateness([float(number) for number in range(101)], expected=101, cpu_each=0.0)

    assert (hundred.percentile(50), hundred.percentile(99)) == (50.0, 99.0)
    assert Lateness([1.0], expected=2, cpu_each=0.0).percentile(50) is None


@pytest.mark.parametrize(("after", "instant"), [(900.0, 1_000.0), (1_000.0, 1_000.0), (1_000.1, 1_010.0)])
def test_a_round_waits_for_the_next_instant_at_which_everything_is_due(after: float, instant: float) -> None:
    assert next_instant(Load(count=3, every=10.0, first_at=1_000.0), after) == instant


def test_a_load_survives_its_way_through_the_environment() -> None:
    load = Load(count=3, every=10.0, first_at=1_000.0, step=0.5, herald=60.0, herald_at=900.0)

    assert Load.from_environment(load.environment()) == load


def test_entries_are_due_one_step_after_the_other_as_their_last_runs_say() -> None:
    load = Load(count=3, every=10.0, first_at=1_000.0, step=0.5, herald=60.0, herald_at=900.0)
    due = {
        name: entry["last_run_at"].timestamp() + entry["schedule"]
        for name, entry in load.beat_schedule().items()
    }

    assert due == {
        HERALD: 900.0,
        "entry-0": 1_000.0,
        "entry-1": 1_000.5,
        "entry-2": 1_001.0,
        REARGUARD: 900.0,
    }
