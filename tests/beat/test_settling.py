"""What a try to publish means for its firing."""

from __future__ import annotations

import pytest

from qbeat.beat.entries import Entry
from qbeat.beat.policies import Policies
from qbeat.beat.publishing.base import Result, Submission, Verdict
from qbeat.beat.settling import MAX_FAILURES, UNCERTAIN_SKIP, conclude, give_up
from qbeat.schedules import Interval
from qbeat.schedules.base import SECOND
from qbeat.store.records import Firing, Release, Settlement

DONE_AT = 100 * SECOND


def result(verdict: Verdict, *, attempt: int = 1, policies: Policies | None = None) -> Result:
    firing = Firing("uid", "feed", 99 * SECOND, "auto", "id", attempt)
    entry = Entry("feed", "tasks.feed", Interval(60), "UTC", policies=policies or Policies())
    return Result(
        Submission(firing, entry), verdict, DONE_AT, None if verdict is Verdict.PUBLISHED else "why"
    )


def test_a_published_firing_is_settled_with_its_time() -> None:
    assert conclude(result(Verdict.PUBLISHED), next_due=None) == Settlement(
        "uid", 99 * SECOND, "auto", "published", published_at=DONE_AT
    )


def test_a_published_firing_is_settled_whoever_took_it_over_in_the_meantime() -> None:
    settlement = conclude(result(Verdict.PUBLISHED, attempt=3), next_due=None)
    assert isinstance(settlement, Settlement)
    assert settlement.attempt is None


@pytest.mark.parametrize("verdict", [Verdict.UNSENT, Verdict.EXPIRED])
def test_what_the_broker_does_not_have_goes_back_into_the_outbox(verdict: Verdict) -> None:
    assert conclude(result(verdict, attempt=7), next_due=0) == Release(
        "uid", 99 * SECOND, "auto", 7, not_before=0, error="why", uncertain=False
    )


@pytest.mark.parametrize(("attempt", "pause"), [(1, 0.2), (2, 0.4), (3, 0.8), (6, 5), (1000, 5)])
def test_an_uncertain_firing_goes_back_marked_as_uncertain_for_a_while(attempt: int, pause: float) -> None:
    assert conclude(result(Verdict.UNCERTAIN, attempt=attempt), next_due=0) == Release(
        "uid",
        99 * SECOND,
        "auto",
        attempt,
        not_before=DONE_AT + round(pause * SECOND),
        error="why",
        uncertain=True,
    )


def test_where_publishing_is_exactly_once_an_uncertain_firing_is_published_again_whatever_the_entry_says() -> (
    None
):
    uncertain = result(Verdict.UNCERTAIN, policies=Policies(on_uncertain="skip"))
    assert isinstance(conclude(uncertain, next_due=0, exactly_once=True), Release)


def test_an_uncertain_firing_is_given_up_where_the_entry_says_so() -> None:
    uncertain = result(Verdict.UNCERTAIN, attempt=2, policies=Policies(on_uncertain="skip"))
    settlement = conclude(uncertain, next_due=0)
    assert settlement == give_up(uncertain.submission.firing)
    assert settlement == Settlement("uid", 99 * SECOND, "auto", "failed", reason=UNCERTAIN_SKIP, attempt=2)


@pytest.mark.parametrize(("failures", "pause"), [(1, 1), (2, 2), (3, 4), (4, 8)])
def test_a_failing_entry_is_tried_again_with_growing_pauses(failures: int, pause: int) -> None:
    assert conclude(result(Verdict.FAILED, attempt=9), next_due=None, failures=failures) == Release(
        "uid", 99 * SECOND, "auto", 9, not_before=DONE_AT + pause * SECOND, error="why"
    )


def test_a_failing_entry_is_given_up_after_the_last_attempt() -> None:
    assert conclude(result(Verdict.FAILED, attempt=9), next_due=None, failures=MAX_FAILURES) == Settlement(
        "uid", 99 * SECOND, "auto", "failed", reason="why", attempt=9
    )


def test_a_failing_entry_is_given_up_when_the_next_fire_time_would_come_first() -> None:
    failed = result(Verdict.FAILED)
    assert isinstance(conclude(failed, next_due=DONE_AT + SECOND, failures=1), Settlement)
    assert isinstance(conclude(failed, next_due=DONE_AT + SECOND + 1, failures=1), Release)
