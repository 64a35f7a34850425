"""From due entries to claims: decide what becomes of their fire times, and note what a claim has won."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from qbeat.beat.clock import Clock
from qbeat.beat.decide import Decision, DueAt, decide
from qbeat.beat.dispatcher import Dispatcher
from qbeat.beat.entries import Entry
from qbeat.beat.firing_ids import task_id_of
from qbeat.beat.firing_log import log_fired, log_skips
from qbeat.beat.holding import Holder
from qbeat.beat.observer import SILENT, Observer
from qbeat.beat.publishing.fused import Fusion
from qbeat.beat.roster import Roster, Tracked
from qbeat.beat.store_time import StoreTime
from qbeat.schedules.base import SECOND
from qbeat.schedules.bounds import firings_left, max_runs_of
from qbeat.store.base import Store, StoreUnavailable
from qbeat.store.records import AUTO, Claim, Firing, NewFiring, Settlement, Skip, Won

logger = logging.getLogger("qbeat")

BROKEN_ENTRY_PAUSE: Final = 60 * SECOND
"""How long an entry whose schedule raises is left alone."""
MAX_FIRINGS: Final = 1_000
"""Firings claimed in one step, as far as each entry's first leaves room: entries that catch up have many."""
DECIDE_WITHIN: Final = 0.05
"""Seconds after which a batch is claimed as far as it is decided: after a downtime some schedules think for long."""
QUEUED_PAUSE: Final = 1 * SECOND
"""How long an entry waits if its firings queue in the outbox behind an unsettled one, and it goes on being due."""
PATIENCE: Final = 10
"""Claims of an entry in a row that may queue before it has to wait: it may fire faster than it can be published."""
GROWING_PAUSE: Final = SECOND // 10
"""So much longer does it wait with each further one,"""
LONGEST_PAUSE: Final = 60 * SECOND
"""and at most so long; or until what is before it has gone out here."""
LINE_PAUSE: Final = SECOND // 20
"""How long an entry waits of which as many firings are being published as may be."""
LOCKED_PAUSE: Final = SECOND // 5
"""How long an entry is left alone that nobody has moved, though the claim was lost: somebody else's lock is on it."""

_Known = dict[tuple[int, int, int, int, int | None], Decision]
"""What was decided in one batch: entries with one schedule that have come equally far share it."""


@dataclass(slots=True)
class _Begun:
    """A batch of claims that the store is working on."""

    wishes: list[tuple[Tracked, Claim]]
    claims: list[Claim]
    settlements: list[Settlement]
    started: float
    """By the monotonic clock."""
    finish: Callable[[], list[Won]]


class Claimer:
    """Claims due entries for one replica and hands what was won to the dispatcher."""

    def __init__(
        self,
        store: Store,
        roster: Roster,
        dispatcher: Dispatcher,
        *,
        holder: Holder,
        clock: Clock,
        time: StoreTime,
        fusion: Fusion | None,
        observer: Observer = SILENT,
    ) -> None:
        self._store = store
        self._roster = roster
        self._dispatcher = dispatcher
        self._holder = holder
        self._clock = clock
        self._time = time
        self._fusion = fusion
        self._observer = observer
        self._queued: dict[str, int] = {}
        """How many claims in a row have queued, of entries whose last one has."""
        self.has_lost_track = False
        """Whether the store did not know an entry that was in it."""

    @property
    def publishes(self) -> bool:
        """Whether claims push the messages of ordinary entries themselves."""
        return self._fusion is not None

    def claim(self, due: Iterable[Tracked], now: int) -> int:
        """Claim all that is due in one step; publish what was won, read again what was lost.

        Returns how many claims were tried.
        """
        return self.claim_batches([(due, now)])

    def claim_batches(self, batches: Iterable[tuple[Iterable[Tracked], int]]) -> int:
        """Claim one batch after the other; while the store works on one, the next is made ready and sent.

        Each batch comes with the instant at which it is due. Returns how many claims were tried.
        """
        tried = 0
        under_way: deque[_Begun] = deque()
        try:
            for due, now in batches:
                wishes = self._wishes(due, now)
                tried += len(wishes)
                if wishes:
                    under_way.append(self._begin(wishes, alone=not under_way))
                if len(under_way) > 1:
                    self._take_in(under_way.popleft())
        finally:
            self._take_in_all(under_way)
        return tried

    def _take_in_all(self, under_way: deque[_Begun]) -> None:
        """Take in each batch, whatever becomes of the others; then raise what went wrong with one."""
        failure: StoreUnavailable | None = None
        while under_way:
            try:
                self._take_in(under_way.popleft())
            except StoreUnavailable as error:
                failure = error
        if failure is not None:
            raise failure

    def _wishes(self, due: Iterable[Tracked], now: int) -> list[tuple[Tracked, Claim]]:
        if self._fusion is not None:
            self._fusion.refresh()
        known: _Known = {}
        due = [*due]
        at_most = max(1, min(MAX_FIRINGS, self._dispatcher.room) // max(1, len(due)))
        until = self._clock.monotonic() + DECIDE_WITHIN
        wishes = []
        for place, tracked in enumerate(due):
            if place and self._clock.monotonic() >= until:
                for later in due[place:]:
                    self._roster.put_back(later)
                break
            claim = self._wish(tracked, now, at_most, known)
            if claim is not None:
                wishes.append((tracked, claim))
        return wishes

    def _begin(self, wishes: list[tuple[Tracked, Claim]], *, alone: bool) -> _Begun:
        started = self._clock.monotonic()
        settlements = self._dispatcher.settlements_to_claim_with() if alone else []
        claims = [claim for _, claim in wishes]
        finish = self._store.begin_claim(claims, settlements, replica=self._holder.name)
        return _Begun(wishes, claims, settlements, started, finish)

    def close(self) -> None:
        """Let go of what claiming has opened."""
        if self._fusion is not None:
            self._fusion.close()

    def _wish(self, tracked: Tracked, now: int, at_most: int, known: _Known) -> Claim | None:
        if self._dispatcher.has_long_line(tracked.uid):
            self._roster.postpone(tracked, now + LINE_PAUSE)
            return None
        decision = self._decide(tracked, now, at_most, known)
        if decision is None:
            return None
        upcoming = decision.next_fire_time
        entry = tracked.entry
        due_at = entry.policies.due_at(tracked.uid, entry.schedule, upcoming, tracked.anchor)
        if not decision.fire_times and not decision.skips and upcoming is not None:
            self._roster.advance(tracked, tracked.cursor, upcoming, due_at)
            return None
        firings = self._firings(tracked, decision.fire_times)
        # By their places, for names would double the time.
        return Claim(
            tracked.uid,
            tracked.cursor,
            tracked.revision,
            decision.cursor,
            upcoming,
            due_at,
            firings,
            decision.skips,
        )

    def _firings(self, tracked: Tracked, fire_times: Iterable[int]) -> tuple[NewFiring, ...]:
        """Return the firings, with their messages as long as nothing that goes the slower way comes before."""
        uid = tracked.uid
        fusion = None if self._dispatcher.is_publishing(uid) else self._fusion
        found = []
        for fire_time in fire_times:
            task_id, message = task_id_of(uid, fire_time, AUTO), None
            if fusion is not None:
                message = fusion.message(tracked.entry, uid, fire_time, task_id)
                fusion = fusion if message is not None else None
            found.append(NewFiring(fire_time, task_id, message))
        return tuple(found)

    def _decide(self, tracked: Tracked, now: int, at_most: int, known: _Known) -> Decision | None:
        entry = tracked.entry
        schedule, policies = entry.schedule, entry.policies
        key = id(schedule), id(policies), tracked.anchor, tracked.cursor, tracked.next_fire_time
        decision = known.get(key)
        if decision is not None:
            return decision
        most = max_runs_of(schedule)
        try:
            decision = decide(
                schedule,
                policies,
                anchor=tracked.anchor,
                cursor=tracked.cursor,
                now=now,
                upcoming=tracked.next_fire_time,
                firings_left=firings_left(most, tracked.fired),
                due_at=_due_at(tracked) if policies.jitter else None,
                at_most=at_most,
            )
        except Exception:
            # A schedule of the user's own may raise anything; the other entries must run on.
            logger.exception(
                "entry %r: its schedule cannot say when it fires; looking again later.", entry.name
            )
            self._roster.postpone(tracked, now + BROKEN_ENTRY_PAUSE)
            return None
        if most is None and not policies.jitter:
            known[key] = decision
        return decision

    def _take_in(self, begun: _Begun) -> None:
        """Wait for the store's answer; publish what was won, read again what was lost."""
        outcomes = begun.finish()
        if begun.settlements:
            self._dispatcher.claimed_with(begun.settlements)
        self._observer.claimed(begun.claims, outcomes, self._time.now())
        firings: list[tuple[Firing, Entry]] = []
        lost: dict[str, Claim] = {}
        skipped: list[tuple[Entry, Skip]] = []
        for (tracked, claim), won in zip(begun.wishes, outcomes, strict=True):
            if won is Won.LOST:
                lost[tracked.entry.name] = claim
                continue
            self._roster.advance(
                tracked, claim.new_cursor, claim.next_fire_time, claim.due_at, len(claim.firings)
            )
            if claim.skips:
                skipped += [(tracked.entry, skip) for skip in claim.skips]
            if won is Won.YES:
                self._queued.pop(tracked.uid, None)
                firings += self._to_publish(tracked, claim)
            else:
                self._dispatcher.check_outbox_now()
                self._let_queue(tracked)
        self._dispatcher.publish(firings, begun.started)
        log_skips(skipped)
        if lost:
            self._read_again(lost)

    def _read_again(self, lost: Mapping[str, Claim]) -> None:
        """Read how far entries have come of which a claim was lost, by their names."""
        until = self._time.now() + LOCKED_PAUSE
        records = self._store.entries(lost.keys())
        self.has_lost_track |= len(records) < len(lost)
        for tracked in self._roster.follow(records):
            claim = lost[tracked.entry.name]
            if (tracked.uid, tracked.cursor, tracked.revision) == (claim.uid, claim.cursor, claim.revision):
                self._roster.postpone(tracked, until)

    def _let_queue(self, tracked: Tracked) -> None:
        """Keep an entry from filling the outbox with what cannot go out yet."""
        count = self._queued[tracked.uid] = self._queued.get(tracked.uid, 0) + 1
        now = self._time.now()
        is_due = tracked.due_at is not None and tracked.due_at <= now
        if is_due or count > PATIENCE:
            pause = min(max(QUEUED_PAUSE, (count - PATIENCE) * GROWING_PAUSE), LONGEST_PAUSE)
            self._roster.postpone(tracked, now + pause)

    def _to_publish(self, tracked: Tracked, claim: Claim) -> list[tuple[Firing, Entry]]:
        """Return the firings of a won claim that the claim has not pushed itself."""
        found: list[tuple[Firing, Entry]] = []
        for new in claim.firings:
            if new.message is None:
                found.append((_firing(tracked, new), tracked.entry))
            elif logger.isEnabledFor(logging.INFO):
                log_fired(tracked.entry, _firing(tracked, new), self._time.now())
        return found


def _due_at(tracked: Tracked) -> DueAt:
    """Return what says when a fire time of the entry is due."""
    entry = tracked.entry

    def due_at(fire_time: int) -> int:
        return entry.policies.due_at(tracked.uid, entry.schedule, fire_time, tracked.anchor) or fire_time

    return due_at


def _firing(tracked: Tracked, new: NewFiring) -> Firing:
    return Firing(tracked.uid, tracked.entry.name, new.fire_time, AUTO, new.task_id)
