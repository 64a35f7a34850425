"""What becomes of the fire times between an entry's cursor and now: a pure decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final, NamedTuple

from qbeat.beat.policies import CATCH_UP_GRACE, Policies
from qbeat.schedules.base import Schedule, Span
from qbeat.store.records import Reason, Skip

CATCH_UP_BATCH: Final = 100
"""With ``catch_up="all"``, at most so many firings are claimed at a time; the rest is due at once again."""

_MICROSECOND: Final = timedelta(microseconds=1)
_GRACE: Final = CATCH_UP_GRACE // _MICROSECOND

DueAt = Callable[[int], int]


class Decision(NamedTuple):
    """What to claim: firings to publish, skips to record, where the cursor goes, and what comes next."""

    fire_times: tuple[int, ...]
    skips: tuple[Skip, ...]
    cursor: int
    next_fire_time: int | None


def decide(
    schedule: Schedule,
    policies: Policies,
    *,
    anchor: int,
    cursor: int,
    now: int,
    upcoming: int | None = None,
    firings_left: int | None = None,
    due_at: DueAt | None = None,
    at_most: int | None = None,
) -> Decision:
    """Account for the fire times in ``(cursor, now]`` by the entry's policies.

    All instants are microseconds since the epoch. A fire time that lies further back than the catch-up
    window is ``missed``; of the others, ``catch_up`` says which are fired and which are ``coalesced``.
    ``upcoming`` is the first fire time after the cursor, where the caller knows it. After ``firings_left`` more
    firings (``None``: any number) the entry is finished. With jitter, ``due_at`` says when a fire time is due,
    and it is late only from then on; a fire time that is not due yet stays for later. ``at_most`` bounds the
    firings where there is time for fewer than ``CATCH_UP_BATCH``.
    """
    if due_at is None and upcoming is not None and upcoming <= now:
        following = schedule.next_us(upcoming, anchor)
        in_time = policies.catch_up_window is None and (
            policies.catch_up != "skip" or now - upcoming < _GRACE
        )
        if in_time and (following is None or following > now) and firings_left is None:
            # By far the most common case: one fire time is due, and nothing was missed.
            return Decision((upcoming,), (), upcoming, following)
    at_most = CATCH_UP_BATCH if at_most is None else min(at_most, CATCH_UP_BATCH)
    decision = _account(schedule, policies, anchor, cursor, now=now, due_at=due_at, at_most=at_most)
    return decision if firings_left is None else _limited(decision, firings_left)


def _limited(decision: Decision, firings_left: int) -> Decision:
    fire_times = decision.fire_times[:firings_left]
    if len(fire_times) < firings_left:
        return decision
    cursor = fire_times[-1] if fire_times else decision.cursor
    return Decision(fire_times, decision.skips, cursor, None)


def _account(
    schedule: Schedule,
    policies: Policies,
    anchor: int,
    cursor: int,
    *,
    now: int,
    due_at: DueAt | None,
    at_most: int,
) -> Decision:
    until, window_start = now, _window_start(policies, now)
    edge = cursor if window_start is None else max(cursor, window_start - 1)
    if due_at is not None:
        until = _due_until(schedule, anchor, cursor, now, due_at)
        edge = _due_until(schedule, anchor, cursor, edge, due_at)
    missed, rest = schedule.span(cursor, edge, anchor), schedule.span(edge, until, anchor)
    skips = _skip(missed, "missed")
    if rest is None:
        return _decision(schedule, anchor, (), skips, missed.last if missed else cursor)
    if policies.catch_up == "all":
        fire_times = tuple(_first_times(schedule, anchor, rest, at_most))
        return _decision(schedule, anchor, fire_times, skips, fire_times[-1])
    skips += _skip(_without_last(schedule, anchor, rest), "coalesced")
    return _decision(schedule, anchor, (rest.last,), skips, rest.last)


def account_for(
    schedule: Schedule, *, anchor: int, cursor: int, until: int, reason: Reason
) -> tuple[Skip, ...]:
    """Return the skips that account for all fire times in ``(cursor, until]``."""
    return _skip(schedule.span(cursor, until, anchor), reason)


def is_too_late(policies: Policies, due_at: int, now: int) -> bool:
    """Whether what was due at ``due_at`` is no longer to be fired at ``now``."""
    start = _window_start(policies, now)
    return start is not None and due_at < start


def _window_start(policies: Policies, now: int) -> int | None:
    if policies.catch_up == "skip":
        grace = CATCH_UP_GRACE
        if policies.catch_up_window is not None:
            grace = min(grace, policies.catch_up_window)
        return now - grace // _MICROSECOND
    if policies.catch_up_window is not None:
        return now - policies.catch_up_window // _MICROSECOND
    return None


def _due_until(schedule: Schedule, anchor: int, cursor: int, instant: int, due_at: DueAt) -> int:
    """Return up to which instant the fire times are due at ``instant``: jitter may hold the last one back."""
    span = schedule.span(cursor, instant, anchor)
    return instant if span is None or due_at(span.last) <= instant else span.last - 1


def _skip(span: Span | None, reason: Reason) -> tuple[Skip, ...]:
    return () if span is None else (Skip(span.first, span.last, span.count, reason),)


def _without_last(schedule: Schedule, anchor: int, span: Span) -> Span | None:
    if span.first == span.last:
        return None
    return schedule.span(span.first - 1, span.last - 1, anchor)


def _first_times(schedule: Schedule, anchor: int, span: Span, at_most: int) -> Iterator[int]:
    fire_time: int | None = span.first
    for _ in range(at_most):
        if fire_time is None or fire_time > span.last:
            return
        yield fire_time
        fire_time = schedule.next_us(fire_time, anchor)


def _decision(
    schedule: Schedule, anchor: int, fire_times: tuple[int, ...], skips: tuple[Skip, ...], cursor: int
) -> Decision:
    return Decision(fire_times, skips, cursor, schedule.next_us(cursor, anchor))
