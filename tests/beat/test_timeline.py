"""The timeline: what is due, in order, each entry once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qbeat.beat.timeline import Timeline


def test_an_empty_timeline_has_nothing_due() -> None:
    timeline = Timeline()
    assert timeline.next_due() is None
    assert timeline.take_due(10, 5) == []
    assert len(timeline) == 0


def test_what_is_due_comes_out_the_longest_due_first() -> None:
    timeline = Timeline()
    for uid, due_at in (("b", 2), ("a", 1), ("d", 4), ("c", 3)):
        timeline.place(uid, due_at)
    assert timeline.take_due(3, 10) == ["a", "b", "c"]
    assert timeline.next_due() == 4


def test_what_was_taken_is_gone_until_it_is_placed_again() -> None:
    timeline = Timeline()
    timeline.place("a", 1)
    assert timeline.take_due(1, 10) == ["a"]
    assert timeline.take_due(1, 10) == []
    timeline.place("a", 1)
    assert timeline.take_due(1, 10) == ["a"]


def test_no_more_are_taken_than_asked_for() -> None:
    timeline = Timeline()
    for number in range(5):
        timeline.place(str(number), number)
    assert timeline.take_due(10, 0) == []
    assert len(timeline.take_due(10, 2)) == 2
    assert len(timeline.take_due(10, 9)) == 3


def test_what_has_just_fallen_due_does_not_wait_until_a_burst_before_it_is_through() -> None:
    timeline = Timeline()
    for number in range(100):
        timeline.place(f"burst-{number}", 1)
    timeline.place("second", 2)
    timeline.place("next", 3)
    taken = timeline.take_due(4, 10)
    assert len(taken) == 10
    assert taken[-2:] == ["second", "next"]


def test_what_is_the_longest_due_does_not_wait_behind_what_keeps_falling_due() -> None:
    timeline = Timeline()
    timeline.place("old", 0)
    for number in range(1, 1_000):
        timeline.place(str(number), number)
    assert timeline.take_due(1_000, 10)[0] == "old"


def test_nothing_is_due_any_more_when_the_clock_has_gone_back() -> None:
    timeline = Timeline()
    timeline.place("a", 5)
    timeline.place("b", 8)
    assert timeline.take_due(9, 1) == ["a"]
    assert timeline.take_due(7, 1) == []
    assert timeline.next_due() == 8
    assert timeline.take_due(8, 1) == ["b"]


def test_an_entry_that_is_placed_again_has_moved() -> None:
    timeline = Timeline()
    timeline.place("a", 1)
    timeline.place("a", 5)
    assert len(timeline) == 1
    assert timeline.take_due(4, 10) == []
    timeline.place("a", 2)
    assert timeline.take_due(9, 10) == ["a"]
    assert timeline.take_due(9, 10) == []


def test_none_takes_an_entry_out() -> None:
    timeline = Timeline()
    timeline.place("a", 1)
    timeline.place("a", None)
    timeline.place("b", None)
    assert timeline.next_due() is None
    assert len(timeline) == 0


def test_moving_one_entry_for_ever_does_not_fill_the_memory() -> None:
    timeline = Timeline()
    for number in range(10_000):
        timeline.place("a", number)
    assert len(timeline._instants) < 100


steps = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.sampled_from("abcdef"), st.one_of(st.none(), st.integers(0, 30))),
        st.tuples(st.just("take"), st.integers(0, 30), st.integers(0, 4)),
    ),
    max_size=200,
)


def _from_both_ends(due: list[int], limit: int) -> list[int]:
    return due[: limit - limit // 2] + due[len(due) - limit // 2 :]


@given(steps)
def test_a_timeline_behaves_like_a_sorted_table(script: list[tuple[str, object, object]]) -> None:
    timeline, table = Timeline(), dict[str, int]()
    for step in script:
        match step:
            case ("place", str(uid), None):
                timeline.place(uid, None)
                table.pop(uid, None)
            case ("place", str(uid), int(due_at)):
                timeline.place(uid, due_at)
                table[uid] = due_at
            case (_, int(now), int(limit)):
                due = sorted(due_at for due_at in table.values() if due_at <= now)
                expected = due if len(due) <= limit else _from_both_ends(due, limit)
                taken = timeline.take_due(now, limit)
                assert [table.pop(uid) for uid in taken] == expected
        assert timeline.next_due() == min(table.values(), default=None)
        assert len(timeline) == len(table)
