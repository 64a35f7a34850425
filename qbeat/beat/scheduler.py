"""One replica's scheduler: each tick turns due entries into claims, won claims into published firings.

A tick, in order:

1. tell the store that this replica lives, learn what others have changed, and which share is this one's;
   after a start, declare and read some of the entries, until all are;
2. collect what became of the firings that are being published;
3. take the due entries from the timeline, decide, and claim them, settling the collected ones on the way;
4. publish what was won; read again what was lost to another replica;
5. sweep up overdue entries that another replica should have fired, or this one's own timeline has missed;
6. publish from the outbox what crashed or broken replicas left there;
7. if nothing is due, prune the history a little and make some messages ready for their first firing;
8. say when the next tick has something to do.

No step waits for a broker, and none costs more because entries exist that are not due.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from qbeat.beat.claiming import Claimer
from qbeat.beat.clock import Clock
from qbeat.beat.dispatcher import Dispatcher
from qbeat.beat.entries import Entry
from qbeat.beat.holding import Holder
from qbeat.beat.observer import SILENT, Observer
from qbeat.beat.publishing.base import Publisher
from qbeat.beat.publishing.fused import Fusion
from qbeat.beat.registry import Registry
from qbeat.beat.replicas import Shares, generations
from qbeat.beat.retention import Keep, Retention
from qbeat.beat.roster import Roster, Tracked
from qbeat.beat.store_time import StoreTime
from qbeat.beat.timings import Timings
from qbeat.beat.warmup import Warmup
from qbeat.schedules.base import SECOND
from qbeat.store.base import Store
from qbeat.store.records import EntryRecord, Pulse, ReplicaRecord

logger = logging.getLogger("qbeat")

OFFSET_STEP: Final = 10
"""Milliseconds by which a clock's offset has to change to be told anew."""
BATCH: Final = 500
"""Entries claimed in one step: what falls due during a burst waits for no more than two such steps."""
LOADED_AT_ONCE: Final = 500
"""Entries declared and read in one tick: some tens of milliseconds."""
BURST: Final = 0.2
"""Seconds for which one tick goes on to claim batches, before it looks after everything else."""


@dataclass(frozen=True, slots=True)
class Loading:
    """A load that is under way."""

    records: Iterator[EntryRecord]
    """What is still to be declared and read."""
    writes_before: int
    """What the registry had written when it began."""


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
        time: StoreTime | None = None,
        fusion: Fusion | None = None,
        observer: Observer = SILENT,
        keep: Keep | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._replica = replica
        self._timings = timings or Timings()
        self._time = time or StoreTime(store, clock)
        self._observer = observer
        self._holder = Holder(replica.id)
        self._registry = Registry(store, entries, replica.generation)
        self._shares = Shares(replica.id)
        self._roster = Roster(entries, self._shares)
        self._dispatcher = Dispatcher(
            store,
            publisher,
            self._roster,
            holder=self._holder,
            clock=clock,
            time=self._time,
            timings=self._timings,
            observer=observer,
        )
        self._claimer = Claimer(
            store,
            self._roster,
            self._dispatcher,
            holder=self._holder,
            clock=clock,
            time=self._time,
            fusion=fusion,
            observer=observer,
        )
        self._warmup = Warmup(fusion, self._roster, clock)
        self._retention = Retention(store, keep or Keep(), clock, self._time.now)
        self._declared = False
        self._loading: Loading | None = None
        self._is_lost = True
        self._change = 0
        self._live: frozenset[str] = frozenset()
        self._next_heartbeat = 0.0
        self._next_sweep = 0.0

    def start(self) -> None:
        """Begin to look for the broker; the first tick reads the store."""
        self._dispatcher.start()

    def tick(self) -> float:
        """Do what is due; return after how many seconds there may be more to do.

        Raises ``StoreUnavailable`` when the store cannot be reached; the next tick then begins by reading
        everything anew.
        """
        try:
            return self._tick()
        except Exception:
            self._is_lost = True
            self._holder.renew()
            raise

    def progress(self) -> list[tuple[str, int, int]]:
        """Return of each entry its name, its last fire time accounted for, and how often it has fired.

        Of another replica's entries it is what this one knew last.
        """
        return self._roster.progress()

    @property
    def waits_for_broker(self) -> bool:
        """Whether nothing is claimed because the broker is away, or still has too much to answer for."""
        return not (self._dispatcher.ready and self._dispatcher.room)

    @property
    def has_loaded(self) -> bool:
        """Whether all entries are read; until then it fires those that are."""
        return self._loading is None and not self._is_lost

    def outlook(self) -> tuple[int, int | None]:
        """Return how many entries this replica may fire, and when the next one of its share is due."""
        return len(self._roster), self._roster.next_due()

    def is_postponed(self, uid: str, now: int) -> bool:
        """Whether an entry is left alone at ``now`` because its schedule fails; callable from any thread."""
        return self._roster.is_postponed(uid, now)

    def stop(self, timeout: float) -> None:
        """Finish the firings that are being published, settle them and leave; after the last tick, once."""
        self._dispatcher.close(timeout)
        self._claimer.close()
        for name in self._holder.names():
            self._store.leave(name)

    def _tick(self) -> float:
        if self._is_lost:
            self._begin_loading(self._beat())
        elif self._clock.monotonic() >= self._next_heartbeat:
            self._follow(self._beat())
        if self._loading is not None:
            self._load_some(self._loading)
        self._dispatcher.collect()
        if self._dispatcher.ready:
            self._fire_due()
            self._sweep_overdue()
            self._dispatcher.work_off_outbox(alone=self._shares.alone)
        self._dispatcher.settle_in_time()
        lull = self._lull()
        self._retention.work(lull=lull)
        if not self.waits_for_broker:
            self._warmup.work(lull=lull)
        return self._wait()

    # --- what others do

    def _beat(self) -> Pulse:
        pulse = self._store.heartbeat(self._replica, live_within=round(self._timings.live_within * SECOND))
        jump = self._time.observe()
        if jump:
            self._observer.clock_jumped()
            logger.warning(
                "The store's clock jumped by %+.1f s; nothing that has fired fires again.", jump / SECOND
            )
        self._tell_clock_offset()
        return pulse

    def _tell_clock_offset(self) -> None:
        """Let the next heartbeat say by how many milliseconds this machine's clock is ahead of the store's."""
        offset = (self._clock.now() - self._time.now()) // 1_000
        details = self._replica.details
        told = details.get("clock_offset_ms")
        if told is None or abs(offset - told) >= OFFSET_STEP:
            self._replica = replace(self._replica, details={**details, "clock_offset_ms": offset})

    def _begin_loading(self, pulse: Pulse) -> None:
        """Forget everything, and begin to declare this replica's entries, once, and to read the state of all."""
        self._live, self._change = generations(pulse), pulse.change
        self._shares.follow(pulse, silent_after=self._timings.silent_after)
        self._roster.clear()
        self._claimer.has_lost_track = False
        reconcile = self._registry.adopt if self._declared else self._registry.declare
        records = reconcile(self._store.scan(), self._live, self._time.now())
        self._loading = Loading(records, self._registry.writes)
        self._is_lost = False
        self._plan_heartbeat()

    def _load_some(self, loading: Loading) -> None:
        """Go on with the load, for no longer than what falls due meanwhile can wait."""
        if self._roster.load(islice(loading.records, LOADED_AT_ONCE)) == LOADED_AT_ONCE:
            return
        self._loading = None
        self._declared = True
        self._roster.sort()
        self._warmup.restart()
        if not self._claimer.publishes:
            self._dispatcher.get_ready()
        # What others have written since the load began is read again with the next heartbeat.
        own = self._registry.writes - loading.writes_before
        if own and self._beat().change == self._change + own:
            self._change += own

    def _follow(self, pulse: Pulse) -> None:
        """Take in what other replicas have changed since the last heartbeat."""
        if self._loading is None and (pulse.change < self._change or self._claimer.has_lost_track):
            logger.warning("The store has gone back, as to a backup: all that it knows is read anew.")
            self._begin_loading(pulse)
            return
        if self._shares.follow(pulse, silent_after=self._timings.silent_after):
            self._roster.divide()
        if self._loading is None:
            self._take_in_changes(pulse)
        self._plan_heartbeat()

    def _take_in_changes(self, pulse: Pulse) -> None:
        live = generations(pulse)
        changed = self._store.entries(changed_after=self._change) if pulse.change != self._change else []
        self._roster.follow(changed)
        if not live >= self._live or self._registry.is_concerned(changed, live):
            self._roster.follow(self._registry.adopt(self._store.scan(), live, self._time.now()))
        self._live, self._change = live, pulse.change

    def _plan_heartbeat(self) -> None:
        timings = self._timings
        pause = timings.heartbeat if self._shares.alone else timings.heartbeat_among_others
        self._next_heartbeat = self._clock.monotonic() + pause

    # --- firing

    def _fire_due(self) -> None:
        """Claim due entries of this replica's share, and publish what was won."""
        self._claimer.claim_batches(self._batches())

    def _batches(self) -> Iterator[tuple[list[Tracked], int]]:
        """Take what is due off the timeline, a batch at a time; only one where it has to be published then."""
        until = self._clock.monotonic() + BURST
        while True:
            now = self._time.now()
            due = self._roster.take_due(now, min(BATCH, self._dispatcher.room))
            stale = [tracked.entry.name for tracked in due if not tracked.fresh]
            if stale:
                # They were somebody else's until now: read how far they have come, then they are due or not.
                self._roster.follow(self._store.entries(stale))
            yield [tracked for tracked in due if tracked.fresh], now
            if len(due) < BATCH or not self._claimer.publishes or self._clock.monotonic() >= until:
                return

    def _sweep_overdue(self) -> None:
        """Claim what is overdue in the store: left behind by a silent replica, or missed by a timeline."""
        monotonic, timings = self._clock.monotonic(), self._timings
        room = min(BATCH, self._dispatcher.room)
        if monotonic < self._next_sweep or not room or self._is_behind():
            return
        self._next_sweep = monotonic + (timings.heartbeat if self._shares.alone else timings.sweep)
        now = self._time.now()
        overdue = self._store.overdue(now - round(timings.takeover_delay * SECOND), room)
        ours = [record for record in overdue if self._is_fair_game(record, now)]
        tried = self._claimer.claim(self._roster.follow(ours), now)
        if tried and len(overdue) == room:
            self._next_sweep = monotonic

    def _is_behind(self) -> bool:
        """Whether this replica cannot keep up with its own share; then it sweeps for nobody else."""
        next_due = self._roster.next_due()
        return next_due is not None and next_due < self._time.now() - round(self._timings.sweep * SECOND)

    def _is_fair_game(self, record: EntryRecord, now: int) -> bool:
        if self._roster.is_postponed(record.uid, now):
            return False
        if not self._shares.is_looked_after(record.uid, record.generation):
            return True
        assert record.due_at is not None
        return record.due_at < now - round(self._timings.watchdog_delay * SECOND)

    # --- waiting

    def _lull(self) -> float:
        """Return for how many seconds there is nothing to claim."""
        next_due = self._roster.next_due()
        if self.waits_for_broker or next_due is None:
            return math.inf
        return self._time.until(next_due)

    def _wait(self) -> float:
        """Return the seconds until there may be something to do; zero while entries are due."""
        if self._loading is not None:
            return 0.0
        monotonic = self._clock.monotonic()
        waits = [self._timings.max_wait, self._next_heartbeat - monotonic, self._retention.wait()]
        waits += self._dispatcher.waits()
        if not self.waits_for_broker:
            waits.append(self._warmup.wait(lull=self._lull()))
        if self._dispatcher.ready and self._dispatcher.room:
            waits.append(self._next_sweep - monotonic)
            next_due = self._roster.next_due()
            if next_due is not None:
                waits.append(self._time.until(next_due))
        return max(0.0, min(waits))
