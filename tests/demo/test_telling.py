"""What a person sees of a demo."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from qbeat.beat.demo.journal import Event, Executed, Published, Ready
from qbeat.beat.demo.telling import Teller, in_words
from qbeat.beat.demo.verdict import Verdict

GOOD = Verdict(entries=1, planned=3, published=3, executed=3, tasks_run=4, tasks_failed=1, problems=())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(out: io.StringIO, *events: Event) -> list[str]:
    teller = Teller(out)
    for event in events:
        teller.tell(event)
    return out.getvalue().splitlines()


PUBLISHED = Published(1_800_000_000.012, "tea", "2027-01-15T08:00:00Z", "a")


def test_a_firing_is_told_with_its_lateness() -> None:
    [line] = told(io.StringIO(), Ready(1.0), PUBLISHED)
    assert line.split(maxsplit=1)[1].split() == ["fires", "tea", "12", "ms", "after", "its", "fire", "time"]


def test_an_answer_goes_under_the_name_of_its_entry() -> None:
    step = Executed(1_800_000_001.0, "boil", "a", "a", None, "'hot'", succeeded=True, continues=True)
    last = Executed(
        1_800_000_002.0, "pour", "b", "a", "a", "RuntimeError: no milk", succeeded=False, continues=False
    )
    _, first_line, last_line = told(io.StringIO(), PUBLISHED, step, last)
    assert first_line.split()[1:] == ["answers", "tea", "'hot'", "(the", "chain", "goes", "on)"]
    assert last_line.split()[1:] == ["fails", "tea", "RuntimeError:", "no", "milk"]


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" in told(Terminal(), PUBLISHED)[0]
    assert "\x1b" not in told(io.StringIO(), PUBLISHED)[0]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in told(Terminal(), PUBLISHED)[0]


def test_the_end_says_what_was_wrong_and_what_stays() -> None:
    assert "Every fire time was published once and executed once." in in_words(GOOD, kept=None)
    bad = Verdict(
        entries=1, planned=3, published=2, executed=2, tasks_run=2, tasks_failed=0, problems=("tea is cold",)
    )
    text = in_words(bad, kept=Path("/kept"))
    assert "tea is cold" in text
    assert "not as it should be" in text
    assert "/kept" in text


def test_a_demo_that_ended_before_anything_was_due_says_so() -> None:
    empty = Verdict(entries=0, planned=0, published=0, executed=0, tasks_run=0, tasks_failed=0, problems=())
    assert "before anything was due" in in_words(empty, kept=None)
