"""Realistic bugs, put into the real code one at a time: the simulator is worth something if it finds them all.

Each takes a promise away where a careless edit could lose it. Only the broker's mark, which is a Lua script in
reality, is changed where the simulation stands in for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest.mock import patch

from qbeat.beat import claiming, decide, registry, store_time
from qbeat.beat.claiming import Claimer
from qbeat.beat.dispatcher import Dispatcher
from qbeat.beat.entries import Entry
from qbeat.beat.holding import Holder
from qbeat.beat.publishing.base import Result, Submission, Verdict
from qbeat.beat.publishing.plain import Answer
from qbeat.beat.registry import Registry
from qbeat.beat.replicas import Shares
from qbeat.beat.scheduler import Scheduler
from qbeat.beat.store_time import StoreTime
from qbeat.store import memory, memory_outbox
from qbeat.store.base import StoreUnavailable
from qbeat.store.memory import MemoryStore
from qbeat.store.records import Claim, EntryRecord, Firing, Release, Settlement, Won
from tests.simulation.broker import Broker, SimulatedPublisher
from tests.simulation.history import run_history

MAX_SEEDS: Final = 2_000
Firings = Iterable[tuple[Firing, Entry]]


@dataclass(frozen=True)
class Mutation:
    """One bug: what takes the place of what."""

    name: str
    patches: tuple[tuple[Any, str, Any], ...]
    first: int = 0
    """The seed with which the hunt begins: one that has found the bug before saves time."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Live with the bug for a while."""
        with ExitStack() as stack:
            for where, name, changed in self.patches:
                stack.enter_context(patch.object(where, name, changed))
            yield

    def hunt(self) -> tuple[int, str] | None:
        """Return a seed whose history shows the bug, and what it shows; ``None`` if none does."""
        with self.applied():
            for seed in (*range(self.first, MAX_SEEDS), *range(self.first)):
                problems = run_history(seed).problems
                if problems:
                    return seed, problems[0]
        return None


MUTATIONS: Final[list[Mutation]] = []


def bug(name: str, *patches: tuple[Any, str, Any], first: int = 0) -> None:
    """Add a mutation."""
    MUTATIONS.append(Mutation(name, patches, first))


def bug_in(where: Any, name: str, first: int = 0) -> Callable[[Any], Any]:
    """Add the mutation in which the decorated function takes the place of ``where.name``."""

    def add(changed: Any) -> Any:
        bug(changed.__name__, (where, name, changed), first=first)
        return changed

    return add


# --- the claim

_claim_one = MemoryStore._claim_one
_wish = Claimer._wish


def _as_it_stands(store: MemoryStore, claim: Claim) -> EntryRecord | None:
    return store._entries.get(store._names.get(claim.uid, ""))


@bug_in(MemoryStore, "_claim_one")
def claim_without_comparing_the_cursor(store: MemoryStore, claim: Claim, replica: str) -> Won:
    stored = _as_it_stands(store, claim)
    return _claim_one(store, claim._replace(cursor=stored.cursor) if stored else claim, replica)


@bug_in(MemoryStore, "_claim_one", first=600)
def claim_without_comparing_the_revision(store: MemoryStore, claim: Claim, replica: str) -> Won:
    stored = _as_it_stands(store, claim)
    return _claim_one(store, claim._replace(revision=stored.revision) if stored else claim, replica)


@bug_in(MemoryStore, "_claim_one")
def publish_a_claim_that_is_queued(store: MemoryStore, claim: Claim, replica: str) -> Won:
    won = _claim_one(store, claim, replica)
    return Won.YES if won is Won.QUEUED else won


@bug_in(Claimer, "_wish")
def move_the_cursor_past_fire_times_that_are_not_claimed(claimer: Claimer, *args: Any) -> Claim | None:
    claim = _wish(claimer, *args)
    return claim._replace(firings=claim.firings[:3]) if claim else None


@bug_in(claiming, "decide")
def fire_all_that_was_missed_whatever_the_policy(schedule: Any, policies: Any, **rest: Any) -> Any:
    return decide.decide(schedule, replace(policies, catch_up="all"), **rest)


@bug_in(claiming, "_due_at")
def measure_lateness_without_jitter(tracked: Any) -> Any:
    return lambda fire_time: fire_time


_take_in = Claimer._take_in


@bug_in(Claimer, "_take_in", first=60)
def go_on_after_claims_whose_answer_is_lost(claimer: Claimer, begun: Any) -> None:
    try:
        outcomes = begun.finish()
    except StoreUnavailable:
        return
    _take_in(claimer, replace(begun, finish=lambda: outcomes))


# --- publishing and settling

_publish = Dispatcher.publish
_send = SimulatedPublisher._send


@bug_in(Dispatcher, "publish")
def settle_before_publishing(self: Dispatcher, firings: Firings, claimed_at: float) -> None:
    firings = list(firings)
    now = self._time.now()
    if firings:
        self._store.settle(
            [Settlement(one.uid, one.fire_time, one.lane, "published", now) for one, _ in firings]
        )
    _publish(self, firings, claimed_at)


@bug_in(Dispatcher, "publish")
def publish_again_under_a_fresh_task_id(self: Dispatcher, firings: Firings, claimed_at: float) -> None:
    fresh = [
        (one._replace(task_id=uuid.UUID(int=one.attempt).hex) if one.attempt > 1 else one, entry)
        for one, entry in firings
    ]
    _publish(self, fresh, claimed_at)


def _let_go_of_settlements(self: Dispatcher) -> list[Settlement]:
    settlements, self._settlements = self._settlements, []
    return settlements


bug(
    "lose_the_settlements_of_a_failed_claim",
    (Dispatcher, "settlements_to_claim_with", _let_go_of_settlements),
    (Dispatcher, "claimed_with", lambda self, settlements: None),
)


@bug_in(Dispatcher, "collect", first=65)
def claim_before_releases_are_written(self: Dispatcher) -> None:
    self._take_in(self._publisher.collect())


@bug_in(Dispatcher, "_counted")
def release_under_the_first_attempt(self: Dispatcher, result: Result) -> Result:
    return result


@bug_in(Holder, "renew")
def hold_on_after_a_lost_answer(self: Holder) -> None: ...


bug("let_claims_overtake_the_publisher", (Dispatcher, "is_publishing", lambda self, uid: False))


@bug_in(Broker, "_moves_mark")
def mark_without_comparing(self: Broker, firing: Firing) -> bool:
    return True


def _send_after_the_mark(self: SimulatedPublisher, submission: Submission) -> Answer:
    if self._broker.way != "plain" and not self._broker._moves_mark(submission.firing):
        return Verdict.PUBLISHED, None
    return _send(self, submission)


bug(
    "move_the_mark_before_the_push",
    (SimulatedPublisher, "_send", _send_after_the_mark),
    (Broker, "push", Broker.take_in),
)


# --- the outbox

_settle = MemoryStore.settle
_taken = memory_outbox._taken


@bug_in(MemoryStore, "settle", first=150)
def release_whoever_holds_it(
    store: MemoryStore, settlements: Iterable[Settlement], releases: Iterable[Release] = ()
) -> None:
    def now_held(release: Release) -> Release:
        held = store._outbox.get(release.uid, {}).get((release.lane, release.fire_time))
        return replace(release, attempt=held.attempt) if held else release

    _settle(store, list(settlements), [now_held(release) for release in releases])


@bug_in(memory, "unblocked")
def take_over_in_any_order(slots: Iterable[Any], now: int, stale_after: int) -> Iterator[Any]:
    return (held for held in slots if held.is_free(now, stale_after))


@bug_in(memory_outbox, "_taken")
def forget_that_a_firing_is_uncertain(held: Any, replica: str, now: int) -> Firing:
    return _taken(held, replica, now)._replace(uncertain=False)


bug("leave_what_is_gone_to_others", (Dispatcher, "_set_aside", lambda self, firings: None), first=100)


# --- time

bug("go_by_the_wall_clock", (StoreTime, "now", lambda self: self._clock.now()))
bug("trust_the_monotonic_clock", (store_time, "DRIFT", 0.0))


# --- replicas and declarations

_sweep_overdue = Scheduler._sweep_overdue


def _sweep_at_once(self: Scheduler) -> None:
    timings, self._timings = self._timings, replace(self._timings, takeover_delay=0.0)
    try:
        _sweep_overdue(self)
    finally:
        self._timings = timings


bug(
    "sweep_what_others_are_about_to_fire",
    (Scheduler, "_sweep_overdue", _sweep_at_once),
    (Scheduler, "_is_fair_game", lambda self, record, now: True),
)
bug("think_that_everything_is_mine", (Shares, "is_mine", lambda self, uid, generation: True))
bug("wait_for_silent_replicas", (Shares, "is_looked_after", lambda self, uid, generation: True))
bug("leave_without_a_word", (MemoryStore, "leave", lambda self, replica: None))
bug("retire_without_accounting", (registry, "_superseded", lambda record, until: ()))
bug(
    "adopt_only_what_the_dying_declared",
    (Registry, "is_concerned", lambda self, records, live: False),
    first=55,
)


@bug_in(Scheduler, "_wait")
def never_wait(self: Scheduler) -> float:
    return 0.0
