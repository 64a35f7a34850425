"""One replica's scheduler: each tick turns due entries into claims, won claims into published firings.

A tick, in order:

1. tell the store that this replica lives, and learn what others have changed;
2. collect what became of the firings that are being published;
3. take the due entries from the timeline, decide, and claim them, settling the collected ones on the way;
4. publish what was won; read again what was lost to another replica;
5. publish from the outbox what crashed or broken replicas left there;
6. say when the next tick has something to do.

No step waits for a broker, and none costs more because entries exist that are not due.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from qbeat.beat.clock import Clock
from qbeat.beat.decide import Decision, decide
from qbeat.beat.entries import Entry, generation_of
from qbeat.beat.firing_ids import task_id_of
from qbeat.beat.instants import iso
from qbeat.beat.publishing.base import Job, Publisher, Result, Verdict
from qbeat.beat.registry import Registry
from qbeat.beat.settling import conclude, give_up
from qbeat.beat.timeline import Timeline
from qbeat.schedules.base import SECOND
from qbeat.store.base import Store
from qbeat.store.records import (
    AUTO,
    Claim,
    EntryRecord,
    Firing,
    NewFiring,
    Pulse,
    Release,
    ReplicaRecord,
    Settlement,
    Won,
)

logger = logging.getLogger("qbeat")

BATCH: Final = 500
"""Entries claimed in one step: a burst delays whatever is due next by no more than one such step."""
MAX_IN_FLIGHT: Final = 1_000
"""Firings being published at a time; more are left unclaimed, for other replicas to take."""
BACKLOG_CHECK: Final = 0.05
"""Seconds between looks at a publisher that has work."""
BROKEN_ENTRY_PAUSE: Final = 60 * SECOND
"""How long an entry whose schedule raises is left alone."""


@dataclass(frozen=True)
class Timings:
    """The intervals of a replica, in seconds."""

    heartbeat: float = 1.0
    live_within: float = 5.0
    """A replica that has been silent for longer is taken for dead."""
    uncertain_after: float = 10.0
    """A claimed firing that nobody has settled for so long is published again."""
    settle_within: float = 0.05
    """Published firings are settled with the next claim, or after so long."""
    max_wait: float = 1.0
    """The longest wait, so that a jump of the wall clock is noticed."""


@dataclass(slots=True)
class Tracked:
    """An entry that this replica may fire, with what it last read of it from the store."""

    entry: Entry
    uid: str
    anchor: int
    cursor: int
    revision: int
    due_at: int | None


class Scheduler:
    """Fires the entries of one replica. Single-threaded: ``tick`` and ``stop`` are called by one thread."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        clock: Clock,
        entries: Mapping[str, Entry],
        replica: ReplicaRecord,
        timings: Timings | None = None,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._entries = entries
        self._replica = replica
        self._timings = timings or Timings()
        self._registry = Registry(store, entries, generation_of(entries.values()))
        self._timeline = Timeline()
        self._tracked: dict[str, Tracked] = {}
        self._settlements: list[Settlement] = []
        self._releases: list[Release] = []
        self._unsettled_since: float | None = None
        self._declared = False
        self._loaded = False
        self._change = 0
        self._live: frozenset[str] = frozenset()
        self._next_heartbeat = 0.0
        self._next_outbox_check = 0.0

    def start(self) -> None:
        """Begin to look for the broker; the first tick reads the store."""
        self._publisher.start()

    def tick(self) -> float:
        """Do what is due; return after how many seconds there may be more to do.

        Raises ``StoreUnavailable`` when the store cannot be reached; the next tick then begins by reading
        everything anew.
        """
        try:
            return self._tick()
        except Exception:
            self._loaded = False
            raise

    def stop(self, timeout: float) -> None:
        """Finish the firings that are being published, settle them and leave. Call it once, after the last tick."""
        self._take_in(self._publisher.close(timeout))
        self._settle()
        self._store.leave(self._replica.id)

    def _tick(self) -> float:
        monotonic = self._clock.monotonic()
        if not self._loaded:
            self._load()
        elif monotonic >= self._next_heartbeat:
            self._follow(self._beat())
        self._take_in(self._publisher.collect())
        if self._publisher.ready:
            self._fire_due()
            self._work_off_outbox(monotonic)
        self._settle_in_time(monotonic)
        return self._wait()

    # --- what others do

    def _beat(self) -> Pulse:
        self._next_heartbeat = self._clock.monotonic() + self._timings.heartbeat
        return self._store.heartbeat(self._replica, live_within=round(self._timings.live_within * SECOND))

    def _load(self) -> None:
        """Declare this replica's entries, once, and read the state of all."""
        pulse = self._beat()
        self._live = _generations(pulse)
        if not self._declared:
            self._registry.declare(self._clock.now())
            self._declared = True
        self._registry.adopt(self._live, self._clock.now())
        self._tracked.clear()
        self._timeline = Timeline()
        self._change = pulse.change
        self._track(self._store.entries())
        self._loaded = True

    def _follow(self, pulse: Pulse) -> None:
        """Take in what other replicas have changed since the last heartbeat."""
        live = _generations(pulse)
        if not live >= self._live:
            self._registry.adopt(live, self._clock.now())
        self._live = live
        if pulse.change != self._change:
            self._track(self._store.entries(changed_after=self._change))
            self._change = pulse.change

    def _track(self, records: Iterable[EntryRecord]) -> None:
        """Follow the entries of which this replica has the definition that is in force, and drop others."""
        for record in records:
            entry = self._entries.get(record.name)
            if entry is None or record.retired_at is not None or record.fingerprint != entry.fingerprint:
                self._timeline.place(record.uid, None)
                self._tracked.pop(record.uid, None)
                continue
            self._tracked[record.uid] = Tracked(
                entry, record.uid, record.anchor, record.cursor, record.revision, record.due_at
            )
            self._timeline.place(record.uid, record.due_at)

    # --- firing

    def _fire_due(self) -> None:
        """Claim due entries, a batch at a time, and publish what was won."""
        room = MAX_IN_FLIGHT - self._publisher.in_flight
        now = self._clock.now()
        due = self._timeline.take_due(now, min(BATCH, max(0, room)))
        claims = [claim for uid in due if (claim := self._claim_for(self._tracked[uid], now)) is not None]
        if not claims:
            return
        started = self._clock.monotonic()
        settlements, releases = self._settlements, self._releases
        won = self._store.claim(claims, settlements, replica=self._replica.id)
        self._settlements = []
        if releases:
            self._store.settle((), releases)
            self._releases = []
        self._unsettled_since = None
        self._after_claims(claims, won, started)

    def _claim_for(self, tracked: Tracked, now: int) -> Claim | None:
        decision = self._decide(tracked, now)
        if decision is None:
            return None
        if not decision.fire_times and not decision.skips:
            self._advance(tracked, tracked.cursor, decision.next_fire_time)
            return None
        return Claim(
            uid=tracked.uid,
            cursor=tracked.cursor,
            revision=tracked.revision,
            new_cursor=decision.cursor,
            next_fire_time=decision.next_fire_time,
            due_at=decision.next_fire_time,
            firings=tuple(
                NewFiring(fire_time, task_id_of(tracked.uid, fire_time, AUTO))
                for fire_time in decision.fire_times
            ),
            skips=decision.skips,
        )

    def _decide(self, tracked: Tracked, now: int) -> Decision | None:
        entry = tracked.entry
        try:
            return decide(
                entry.schedule, entry.policies, anchor=tracked.anchor, cursor=tracked.cursor, now=now
            )
        except Exception:
            # A schedule of the user's own may raise anything; the other entries must run on.
            logger.exception(
                "entry %r: its schedule cannot say when it fires; looking again later.", entry.name
            )
            self._timeline.place(tracked.uid, now + BROKEN_ENTRY_PAUSE)
            return None

    def _after_claims(self, claims: list[Claim], outcomes: list[Won], started: float) -> None:
        jobs: list[Job] = []
        lost: list[str] = []
        start_before = started + self._timings.uncertain_after / 2
        for claim, won in zip(claims, outcomes, strict=True):
            tracked = self._tracked[claim.uid]
            if won is Won.LOST:
                lost.append(tracked.entry.name)
                continue
            self._advance(tracked, claim.new_cursor, claim.due_at)
            _log_skips(tracked.entry, claim)
            if won is Won.YES:
                jobs += [
                    Job(_firing(claim.uid, tracked.entry.name, new), tracked.entry, start_before)
                    for new in claim.firings
                ]
            else:
                self._next_outbox_check = 0.0
        if lost:
            self._track(self._store.entries(lost))
        self._publisher.submit(jobs)

    def _advance(self, tracked: Tracked, cursor: int, due_at: int | None) -> None:
        tracked.cursor, tracked.due_at = cursor, due_at
        self._timeline.place(tracked.uid, due_at)

    def _work_off_outbox(self, monotonic: float) -> None:
        """Publish what is in the outbox and nobody is publishing."""
        if monotonic < self._next_outbox_check:
            return
        self._next_outbox_check = monotonic + self._timings.heartbeat
        room = min(BATCH, MAX_IN_FLIGHT - self._publisher.in_flight)
        if room <= 0:
            return
        taken = self._store.take_over(
            replica=self._replica.id,
            stale_after=round(self._timings.uncertain_after * SECOND),
            limit=room,
        )
        if len(taken) == room:
            self._next_outbox_check = 0.0
        start_before = monotonic + self._timings.uncertain_after / 2
        self._publisher.submit(
            [
                Job(firing, tracked.entry, start_before)
                for firing in taken
                if (tracked := self._publishable(firing)) is not None
            ]
        )

    def _publishable(self, firing: Firing) -> Tracked | None:
        """Return the entry of a firing from the outbox if it is to be published now and here."""
        if self._publisher.holds(firing):
            return None
        tracked = self._tracked.get(firing.uid)
        if tracked is None:
            self._set_aside(firing)
            return None
        if firing.uncertain and tracked.entry.policies.on_uncertain == "skip":
            self._note(give_up(firing))
            return None
        if firing.uncertain:
            logger.warning(
                "%s: publishing it again under the same id, as a crash left open whether it was.", firing
            )
        return tracked

    def _set_aside(self, firing: Firing) -> None:
        """Leave a firing to a replica that has its entry's definition; settle it if the entry is gone."""
        records = self._store.entries([firing.entry])
        gone = not records or records[0].uid != firing.uid or records[0].retired_at is not None
        if gone:
            self._note(Settlement(firing.uid, firing.fire_time, firing.lane, "skipped", reason="superseded"))
        else:
            self._note(
                Release(
                    firing.uid,
                    firing.fire_time,
                    firing.lane,
                    firing.attempt,
                    not_before=self._clock.now() + round(self._timings.live_within * SECOND),
                    uncertain=firing.uncertain,
                )
            )

    # --- settling

    def _take_in(self, results: Iterable[Result]) -> None:
        for result in results:
            tracked = self._tracked.get(result.job.firing.uid)
            ending = conclude(result, next_due=tracked.due_at if tracked else None)
            self._note(ending)
            _log_result(result, final=isinstance(ending, Settlement))
            if isinstance(ending, Release) and result.verdict is Verdict.UNSENT:
                self._next_outbox_check = 0.0

    def _note(self, ending: Settlement | Release) -> None:
        if isinstance(ending, Settlement):
            self._settlements.append(ending)
        else:
            self._releases.append(ending)
        if self._unsettled_since is None:
            self._unsettled_since = self._clock.monotonic()

    def _settle_in_time(self, monotonic: float) -> None:
        if self._unsettled_since is None:
            return
        if self._publisher.in_flight == 0 or monotonic - self._unsettled_since >= self._timings.settle_within:
            self._settle()

    def _settle(self) -> None:
        if self._settlements or self._releases:
            self._store.settle(self._settlements, self._releases)
            self._settlements, self._releases = [], []
        self._unsettled_since = None

    # --- waiting

    def _wait(self) -> float:
        """Return the seconds until there may be something to do; zero while entries are due."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        waits = [self._timings.max_wait, self._next_heartbeat - monotonic]
        next_due = self._timeline.next_due()
        if next_due is not None and self._publisher.ready and self._publisher.in_flight < MAX_IN_FLIGHT:
            waits.append((next_due - now) / SECOND)
        if self._publisher.ready:
            waits.append(self._next_outbox_check - monotonic)
        if self._publisher.in_flight:
            waits.append(BACKLOG_CHECK)
        if self._unsettled_since is not None:
            waits.append(self._unsettled_since + self._timings.settle_within - monotonic)
        return max(0.0, min(waits))


def _generations(pulse: Pulse) -> frozenset[str]:
    return frozenset(replica.generation for replica in pulse.replicas)


def _firing(uid: str, name: str, new: NewFiring) -> Firing:
    return Firing(uid, name, new.fire_time, AUTO, new.task_id)


def _log_skips(entry: Entry, claim: Claim) -> None:
    for skip in claim.skips:
        logger.warning(
            "%s: %s fire times from %s to %s are %s.",
            entry.name,
            "many" if skip.count is None else skip.count,
            iso(skip.first),
            iso(skip.last),
            skip.reason,
        )


def _log_result(result: Result, *, final: bool) -> None:
    firing, entry = result.job.firing, result.job.entry
    if result.verdict is Verdict.PUBLISHED:
        late = (result.finished_at - firing.fire_time) / 1_000
        logger.info(
            "%s (%s) fired for %s, %.0f ms late, id %s", entry.name, entry.task, iso(firing.fire_time), late,
            firing.task_id,
        )  # fmt: skip
    elif result.verdict is Verdict.FAILED:
        logger.error(
            "%s cannot be published for %s: %s (%s)",
            entry.name,
            iso(firing.fire_time),
            result.error,
            "given up" if final else "it is tried again",
        )
    elif result.error is not None:
        logger.warning("%s for %s waits in the outbox: %s", entry.name, iso(firing.fire_time), result.error)
