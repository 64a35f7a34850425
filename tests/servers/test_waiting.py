"""Waiting has a deadline and says what it waited for."""

from __future__ import annotations

import itertools

import pytest

from tests.servers import eventually


def test_the_first_true_answer_is_returned() -> None:
    answers = iter([0, None, "", "here"])
    assert eventually(lambda: next(answers)) == "here"


def test_a_failed_assertion_inside_the_predicate_means_not_yet() -> None:
    count = itertools.count()

    def third_time() -> bool:
        assert next(count) >= 2
        return True

    assert eventually(third_time)


def test_the_deadline_says_what_was_awaited_and_seen() -> None:
    with pytest.raises(AssertionError, match=r"not within 0.05 s: the moon; last seen: .*7 of 8"):
        eventually(_seven, within=0.05, what="the moon")


def _seven() -> bool:
    raise AssertionError("7 of 8")


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError):
        eventually({}.popitem)
