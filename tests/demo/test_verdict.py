"""The demo's verdict finds each way in which a fire time can go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from qbeat.beat.demo.journal import Event, Executed, Published
from qbeat.beat.demo.verdict import Verdict, all_executed, is_complete, judge, planned_fires
from qbeat.beat.instants import iso
from qbeat.schedules import Interval
from qbeat.schedules.base import SECOND
from qbeat.store.records import EntryRecord, HistoryRecord

START = 1_800_000_000 * SECOND
END = START + 4 * SECOND
FIRST, SECOND_FIRE = START + 2 * SECOND, START + 4 * SECOND
PLAN = {("tea", FIRST), ("tea", SECOND_FIRE)}


def row(fire_time: int, task_id: str, entry: str = "tea") -> HistoryRecord:
    return HistoryRecord(
        uid="0" * 32,
        entry=entry,
        fire_time=fire_time,
        last_fire_time=fire_time,
        count=1,
        lane="auto",
        outcome="published",
        reason=None,
        task_id=task_id,
        claimed_at=fire_time,
        published_at=fire_time,
        replica="r",
        attempt=1,
    )


def published(fire_time: int, task_id: str) -> Published:
    return Published(0.0, "tea", iso(fire_time), task_id)


def executed(
    task_id: str, root_id: str | None = None, parent_id: str | None = None, *, continues: bool = False
) -> Executed:
    return Executed(
        0.0, "make_tea", task_id, root_id or task_id, parent_id, "'tea'", succeeded=True, continues=continues
    )


HISTORY = [row(FIRST, "a"), row(SECOND_FIRE, "b")]
EVENTS: list[Event] = [published(FIRST, "a"), published(SECOND_FIRE, "b"), executed("a"), executed("b")]


def verdict(history: Sequence[HistoryRecord] = HISTORY, events: Sequence[Event] = EVENTS) -> Verdict:
    return judge(PLAN, END, history, events)


def test_a_faultless_demo_is_ok_and_counted() -> None:
    assert verdict().as_json() == {
        "ok": True,
        "entries": 1,
        "planned": 2,
        "published": 2,
        "executed": 2,
        "tasks_run": 2,
        "tasks_failed": 0,
        "problems": [],
    }


def test_a_task_that_fails_has_been_executed() -> None:
    failing = [*EVENTS[:3], replace(executed("b"), succeeded=False)]
    assert verdict(events=failing).ok
    assert verdict(events=failing).tasks_failed == 1


def test_a_demo_in_which_nothing_was_to_fire_is_not_ok() -> None:
    assert not judge(set(), END, [], []).ok


def test_the_plan_is_each_entrys_grid_from_its_anchor_to_the_end() -> None:
    record = EntryRecord(
        name="tea",
        uid="0" * 32,
        origin="declared",
        task="make_tea",
        schedule=Interval(2).to_data(),
        timezone="UTC",
        definition={},
        fingerprint="",
        generation="",
        anchor=START,
        cursor=START,
        next_fire_time=FIRST,
        due_at=FIRST,
    )
    assert planned_fires([record], END) == PLAN
    assert planned_fires([record], END - 1) == {("tea", FIRST)}


@pytest.mark.parametrize(
    ("history", "events", "problem"),
    [
        (HISTORY[:1], [EVENTS[0], EVENTS[2]], "was not published: the history does not know it"),
        (
            [HISTORY[0], replace(HISTORY[1], outcome="skipped", reason="missed")],
            [EVENTS[0], EVENTS[2]],
            "was not published: the history says skipped (missed)",
        ),
        (HISTORY, EVENTS[:3], "was published and not executed"),
        (HISTORY, [*EVENTS, executed("b")], "was executed 2 times"),
        (HISTORY, [*EVENTS, published(SECOND_FIRE, "b")], "was published 2 times"),
        ([*HISTORY, row(SECOND_FIRE, "c")], [*EVENTS, executed("c", "b")], "was published 2 times"),
        (
            [*HISTORY, row(FIRST + 1, "c")],
            [*EVENTS, published(FIRST + 1, "c"), executed("c")],
            "is no fire time",
        ),
        (HISTORY, [*EVENTS, executed("stranger")], "nothing published it"),
    ],
    ids=[
        "unpublished",
        "skipped",
        "unexecuted",
        "executed twice",
        "sent twice",
        "recorded twice",
        "unplanned",
        "stray",
    ],
)
def test_whatever_goes_wrong_is_named(
    history: list[HistoryRecord], events: list[Event], problem: str
) -> None:
    found = verdict(history, events)
    assert not found.ok
    assert any(problem in text for text in found.problems), found.problems


def test_what_fires_after_the_end_is_not_planned_but_must_be_executed() -> None:
    late = row(END + SECOND, "c")
    assert verdict([*HISTORY, late], [*EVENTS, published(END + SECOND, "c"), executed("c")]).ok
    assert not verdict([*HISTORY, late], [*EVENTS, published(END + SECOND, "c")]).ok


def chain_events(*, to_the_end: bool) -> list[Event]:
    steps: list[Event] = [published(FIRST, "step 1"), executed("step 1", continues=True)]
    return [*steps, executed("a", "step 1", "step 1")] if to_the_end else steps


def test_a_chain_is_executed_when_its_last_task_is() -> None:
    plan, history = {("tea", FIRST)}, [row(FIRST, "a")]
    whole, half = chain_events(to_the_end=True), chain_events(to_the_end=False)
    assert judge(plan, END, history, whole).ok
    assert judge(plan, END, history, whole).tasks_run == 2
    assert not judge(plan, END, history, half).ok
    assert all_executed(history, whole)
    assert not all_executed(history, half)


def test_a_history_is_complete_when_each_planned_fire_time_has_an_outcome() -> None:
    assert is_complete(PLAN, HISTORY)
    assert not is_complete(PLAN, HISTORY[:1])
    assert not is_complete(PLAN, [HISTORY[0], replace(HISTORY[1], outcome="claimed")])
