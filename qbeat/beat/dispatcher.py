"""Between the store's outbox and the publisher: what was claimed is published, what was published is settled."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from qbeat.beat.clock import Clock
from qbeat.beat.decide import is_too_late
from qbeat.beat.entries import Entry
from qbeat.beat.firing_log import log_result
from qbeat.beat.holding import Holder
from qbeat.beat.instants import iso
from qbeat.beat.observer import SILENT, Observer
from qbeat.beat.publishing.base import Publisher, Result, Submission, Verdict
from qbeat.beat.roster import Roster, Tracked
from qbeat.beat.settling import conclude, give_up
from qbeat.beat.store_time import StoreTime
from qbeat.beat.timings import Timings
from qbeat.schedules.base import SECOND
from qbeat.store.base import MAX_BATCH, Store
from qbeat.store.records import Firing, Release, Settlement

logger = logging.getLogger("qbeat")

MAX_IN_FLIGHT: Final = 1_000
"""Firings being published at a time; more are left unclaimed, for other replicas to take."""
MAX_IN_LINE: Final = 50
"""Firings of one entry being published at a time: one that is slow to publish must leave room for the others."""
MAX_LOOKS: Final = 10
"""Batches taken from the outbox at a time while there is nothing in them that is this replica's to publish."""
FAILURES_REMEMBERED: Final = 10_000
"""Firings of which is known how often they have failed; beyond that, they are tried a few times more."""
BACKLOG_CHECK: Final = 0.05
"""Seconds between looks at a publisher that has work."""


class Dispatcher:
    """Publishes claimed firings of one replica and writes back how they ended."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        roster: Roster,
        *,
        holder: Holder,
        clock: Clock,
        time: StoreTime,
        timings: Timings,
        observer: Observer = SILENT,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._roster = roster
        self._holder = holder
        self._clock = clock
        self._time = time
        self._timings = timings
        self._observer = observer
        self._settlements: list[Settlement] = []
        self._is_urgent = False
        self._releases: list[Release] = []
        self._publishing: Counter[str] = Counter()
        """How many firings of each entry are being published."""
        self._attempts: dict[tuple[str, int, str], int] = {}
        """What the store counts for firings that were taken over while they are still being published here."""
        self._failures: dict[tuple[str, int, str], int] = {}
        """How often firings that are not settled have failed here by their entries' own fault."""
        self._unsettled_since: float | None = None
        self._next_outbox_check = 0.0
        self._look_after_settling = False
        """Whether firings that are still to be settled may stand in the way of others in the outbox."""

    def start(self) -> None:
        """Begin to look for the broker."""
        self._publisher.start()

    @property
    def ready(self) -> bool:
        """Whether the broker is thought to be there: while it is not, nothing should be claimed."""
        return self._publisher.ready

    @property
    def room(self) -> int:
        """How many more firings may be claimed."""
        return max(0, MAX_IN_FLIGHT - self._publisher.in_flight)

    def get_ready(self) -> None:
        """Have messages of this replica's share made ready while nothing is due, those due next first."""
        self._publisher.get_ready((tracked.entry, tracked.uid) for tracked in self._roster.by_due())

    def publish(self, firings: Iterable[tuple[Firing, Entry]], claimed_at: float) -> None:
        """Publish what was claimed at ``claimed_at`` by the monotonic clock, and is this replica's."""
        # Half of the time is left for the publishing itself, before others may take the firing over.
        start_before = claimed_at + self._timings.uncertain_after / 2
        submissions = [Submission(firing, entry, start_before) for firing, entry in firings]
        self._publishing.update(submission.firing.uid for submission in submissions)
        self._publisher.submit(submissions)

    def is_publishing(self, uid: str) -> bool:
        """Whether a firing of this entry is being published: what bypasses the publisher would overtake it."""
        return uid in self._publishing

    def has_long_line(self, uid: str) -> bool:
        """Whether as many firings of this entry are being published as may be."""
        return self._publishing[uid] >= MAX_IN_LINE

    def collect(self) -> None:
        """Take in what became of the firings that are being published.

        What did not go out is written at once, whether it goes back into the outbox or is given up: should that
        get lost after the next claims of its entry, it would be published behind the later firings.
        """
        self._take_in(self._publisher.collect())
        if self._is_urgent:
            self.settle()

    def check_outbox_now(self) -> None:
        """Look into the outbox with the next tick: something is known to be there."""
        self._next_outbox_check = 0.0

    def work_off_outbox(self, *, alone: bool) -> None:
        """Publish what is in the outbox and nobody is publishing.

        Unless this replica is ``alone``, another may die at any time, and what it was publishing is soon taken
        over where that does no harm.
        """
        monotonic = self._clock.monotonic()
        limit = min(self.room, MAX_BATCH)
        if monotonic < self._next_outbox_check or not limit:
            return
        expected = self._next_outbox_check == 0.0
        # Otherwise a slow store could hand out again what is known here to be published.
        self.settle()
        waits_long = alone or not self._publisher.exactly_once
        self._next_outbox_check = monotonic + (self._timings.outbox if waits_long else self._timings.sweep)
        ours, foreign, full = self._take_over(limit)
        # What stands behind firings that are being published here is free as soon as they are settled.
        blocked = expected and not ours and self._publisher.in_flight > 0
        self._look_after_settling = blocked or full
        if full and ours:
            self.check_outbox_now()
        elif foreign and not ours:
            # Those who can publish it look more often.
            self._next_outbox_check = monotonic + self._timings.live_within
        ready = ((firing, entry) for firing in ours if (entry := self._publishable(firing)) is not None)
        in_line = self._in_line(ready)
        if self._is_urgent:
            # What is skipped must not be open any more when later ones have gone out: they move the mark beyond it.
            self.settle()
        self.publish(in_line, monotonic)

    def settlements_to_claim_with(self) -> list[Settlement]:
        """Return settlements that the next claim can write on its way; tell ``claimed_with`` when it has."""
        return self._settlements[:MAX_BATCH]

    def claimed_with(self, settlements: list[Settlement]) -> None:
        """Note that a claim has written these settlements."""
        self._observer.settled(settlements)
        del self._settlements[: len(settlements)]
        if settlements:
            self._look_if_blocked()

    def settle_in_time(self) -> None:
        """Settle if nothing is under way, or if something has waited long enough for a claim to go with."""
        if self._unsettled_since is None:
            return
        waited_enough = self._clock.monotonic() >= self._unsettled_since + self._timings.settle_within
        if self._publisher.in_flight == 0 or waited_enough:
            self.settle()

    def settle(self) -> None:
        """Write how firings ended."""
        ended = bool(self._settlements)
        while self._settlements or self._releases:
            settlements, releases = self._settlements[:MAX_BATCH], self._releases[:MAX_BATCH]
            self._store.settle(settlements, releases)
            self._observer.settled(settlements, releases)
            del self._settlements[: len(settlements)]
            del self._releases[: len(releases)]
        self._unsettled_since = None
        self._is_urgent = False
        if ended:
            self._look_if_blocked()

    def waits(self) -> list[float]:
        """Return after how many seconds there may be something to do here."""
        monotonic = self._clock.monotonic()
        found = []
        if self._publisher.ready and self.room:
            found.append(self._next_outbox_check - monotonic)
        if self._publisher.in_flight:
            found.append(BACKLOG_CHECK)
        if self._unsettled_since is not None:
            found.append(self._unsettled_since + self._timings.settle_within - monotonic)
        return found

    def close(self, timeout: float) -> None:
        """Finish what is being published within ``timeout`` seconds, and settle it."""
        self._take_in(self._publisher.close(timeout))
        self.settle()

    @property
    def _stale_after(self) -> float:
        """Seconds after which a claimed firing is taken over: soon where publishing it again does no harm."""
        timings = self._timings
        return timings.takeover_delay if self._publisher.exactly_once else timings.uncertain_after

    def _take_over(self, limit: int) -> tuple[list[Firing], bool, bool]:
        """Take firings from the outbox; say whether others' were among them, and whether there may be more.

        Those that only others can publish go back with the next settlement: as long as they are in hand, they
        do not hide what lies behind them.
        """
        stale_after = round(self._stale_after * SECOND)
        ours: list[Firing] = []
        foreign = full = False
        for _ in range(MAX_LOOKS):
            taken = self._store.take_over(replica=self._holder.name, stale_after=stale_after, limit=limit)
            ours = [firing for firing in taken if not self._is_foreign(firing)]
            self._set_aside([firing for firing in taken if self._is_foreign(firing)])
            foreign, full = foreign or len(ours) < len(taken), len(taken) == limit
            if ours or not full:
                break
        self._observer.taken_over(ours)
        return ours, foreign, full

    def _publishable(self, firing: Firing) -> Entry | None:
        """Return the entry of a firing from the outbox if it is to be published now and here."""
        if self._publisher.holds(firing):
            self._attempts[_key(firing)] = firing.attempt
            return None
        tracked = self._roster.get(firing.uid)
        if tracked is None:
            return None
        if not firing.uncertain and self._is_too_late(firing, tracked):
            slot = firing.uid, firing.fire_time, firing.lane
            self._note(Settlement(*slot, "skipped", reason="missed"))
            return None
        if self._publisher.exactly_once:
            return tracked.entry
        if firing.uncertain and tracked.entry.policies.on_uncertain == "skip":
            self._note(give_up(firing))
            return None
        if firing.uncertain:
            logger.warning(
                "%s for %s: a crash left open whether it was published; it goes out under the same id %s.",
                firing.entry,
                iso(firing.fire_time),
                firing.task_id,
            )
        return tracked.entry

    def _is_too_late(self, firing: Firing, tracked: Tracked) -> bool:
        """Whether the firing has waited for longer than its entry lets it."""
        policies, schedule, now = tracked.entry.policies, tracked.entry.schedule, self._time.now()
        if not is_too_late(policies, firing.fire_time, now):
            return False
        try:
            due_at = policies.due_at(tracked.uid, schedule, firing.fire_time, tracked.anchor)
        except Exception:  # noqa: BLE001 - a user's own schedule may raise anything; claiming its entry tells of it
            return False
        return due_at is not None and is_too_late(policies, due_at, now)

    def _in_line(self, ready: Iterable[tuple[Firing, Entry]]) -> list[tuple[Firing, Entry]]:
        """Return what goes out now; what would make the line of its entry too long goes back, behind that line."""
        lines = Counter(self._publishing)
        found = []
        for firing, entry in ready:
            if lines[firing.uid] < MAX_IN_LINE:
                lines[firing.uid] += 1
                found.append((firing, entry))
            else:
                slot = firing.uid, firing.fire_time, firing.lane
                self._note(Release(*slot, firing.attempt, not_before=0, uncertain=firing.uncertain))
        return found

    def _is_foreign(self, firing: Firing) -> bool:
        """Whether this replica does not have the definition of the firing's entry."""
        return self._roster.get(firing.uid) is None and not self._publisher.holds(firing)

    def _set_aside(self, firings: Sequence[Firing]) -> None:
        """Leave firings to a replica that has their entries' definitions; settle those whose entry is gone."""
        if not firings:
            return
        names = {firing.entry for firing in firings}
        standing = {record.uid for record in self._store.entries(names) if record.retired_at is None}
        for firing in firings:
            slot = firing.uid, firing.fire_time, firing.lane
            if firing.uid in standing:
                self._note(Release(*slot, firing.attempt, not_before=0, uncertain=firing.uncertain))
            else:
                self._note(Settlement(*slot, "skipped", reason="superseded"))

    def _look_if_blocked(self) -> None:
        """Look into the outbox again if something waits there for what has just been settled."""
        if self._look_after_settling:
            self._look_after_settling = False
            self.check_outbox_now()

    def _take_in(self, results: Iterable[Result]) -> None:
        for result in map(self._counted, results):
            self._forget(result.submission.firing.uid)
            ending = self._conclude(result)
            self._note(ending)
            log_result(result, final=isinstance(ending, Settlement))
            if isinstance(ending, Release) and result.verdict is not Verdict.FAILED:
                self.check_outbox_now()

    def _conclude(self, result: Result) -> Settlement | Release:
        """Say what becomes of a firing, and remember how often it has failed until it is settled."""
        key, failures = _key(result.submission.firing), 0
        if result.verdict is Verdict.FAILED:
            if len(self._failures) >= FAILURES_REMEMBERED:  # others have settled what failed here at first
                self._failures.clear()
            failures = self._failures[key] = self._failures.get(key, 0) + 1
        tracked = self._roster.get(result.submission.firing.uid)
        next_due = tracked.due_at if tracked else None
        exactly_once = self._publisher.exactly_once
        ending = conclude(result, next_due=next_due, failures=failures, exactly_once=exactly_once)
        if self._failures and isinstance(ending, Settlement):
            self._failures.pop(key, None)
        return ending

    def _forget(self, uid: str) -> None:
        """Note that one firing of the entry is no longer being published."""
        left = self._publishing.pop(uid) - 1
        if left:
            self._publishing[uid] = left
        else:
            self._roster.resume(uid)

    def _counted(self, result: Result) -> Result:
        """Return the result with the attempt that the store counts, so that it takes the firing back."""
        if not self._attempts:
            return result
        firing = result.submission.firing
        attempt = self._attempts.pop(_key(firing), firing.attempt)
        if attempt == firing.attempt:
            return result
        return result._replace(submission=result.submission._replace(firing=firing._replace(attempt=attempt)))

    def _note(self, ending: Settlement | Release) -> None:
        if isinstance(ending, Settlement):
            self._settlements.append(ending)
            if ending.outcome != "published":
                self._is_urgent = True
        else:
            self._releases.append(ending)
            self._is_urgent = True
        if self._unsettled_since is None:
            self._unsettled_since = self._clock.monotonic()


def _key(firing: Firing) -> tuple[str, int, str]:
    return firing.uid, firing.fire_time, firing.lane
