"""What a try to publish means for its firing: settled, or back into the outbox. A pure decision."""

from __future__ import annotations

from typing import Final

from qbeat.beat.publishing.base import Result, Verdict
from qbeat.schedules.base import SECOND
from qbeat.store.records import Firing, Release, Settlement

MAX_FAILURES: Final = 5
"""So often may an entry fail by its own fault, with pauses of 1, 2, 4 and 8 seconds."""

UNCERTAIN_SKIP: Final = "uncertain: it may have been published before; on_uncertain='skip' leaves it at that"


def conclude(
    result: Result, *, next_due: int | None, failures: int = 0, exactly_once: bool = False
) -> Settlement | Release:
    """Say what becomes of the firing of ``result``; ``next_due`` is when its entry is due next.

    ``failures`` says how often it has failed by its entry's own fault: the store's count of attempts has those
    too in which the broker was away, or a replica died.

    Where publishing is exactly once, an uncertain firing is simply published again.

    A firing that failed by its entry's own fault is tried again only while the next one is not due: a broken
    entry must not gather a backlog.
    """
    firing = result.submission.firing
    if result.verdict is Verdict.PUBLISHED:
        # By its place, for names would double the time.
        return Settlement(firing.uid, firing.fire_time, firing.lane, "published", result.finished_at)
    if result.verdict is Verdict.FAILED:
        return _failed(result, next_due, failures)
    may_skip = result.submission.entry.policies.on_uncertain == "skip" and not exactly_once
    if result.verdict is Verdict.UNCERTAIN and may_skip:
        return give_up(firing)
    uncertain = result.verdict is Verdict.UNCERTAIN
    return Release(
        firing.uid,
        firing.fire_time,
        firing.lane,
        firing.attempt,
        not_before=result.finished_at + _pause(firing.attempt) if uncertain else 0,
        error=result.error,
        uncertain=uncertain,
    )


def give_up(firing: Firing) -> Settlement:
    """Settle a firing of which nobody knows whether it was published, for an entry that rather skips it."""
    return Settlement(
        firing.uid, firing.fire_time, firing.lane, "failed", reason=UNCERTAIN_SKIP, attempt=firing.attempt
    )


def _pause(attempt: int) -> int:
    """Return the microseconds before the next attempt after a broken connection: 0.2 s, doubling, up to 5 s."""
    return min((SECOND // 5) << min(attempt - 1, 10), 5 * SECOND)


def _failed(result: Result, next_due: int | None, failures: int) -> Settlement | Release:
    firing = result.submission.firing
    again_at = result.finished_at + SECOND * 2 ** (failures - 1)
    if failures < MAX_FAILURES and (next_due is None or again_at < next_due):
        return Release(
            firing.uid, firing.fire_time, firing.lane, firing.attempt, not_before=again_at, error=result.error
        )
    return Settlement(
        firing.uid, firing.fire_time, firing.lane, "failed", reason=result.error, attempt=firing.attempt
    )
