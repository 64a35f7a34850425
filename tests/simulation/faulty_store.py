"""The store as one process reaches it: over a network that delays, loses questions and loses answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

from qbeat.schedules.base import SECOND
from qbeat.store.base import Store, StoreUnavailable
from qbeat.store.memory import MemoryStore
from qbeat.store.records import (
    AUTO,
    Change,
    Claim,
    EntryRecord,
    Firing,
    HistoryRecord,
    Pulse,
    Release,
    ReplicaRecord,
    Settlement,
    Won,
)
from tests.simulation.broker import Broker
from tests.simulation.ledger import Claimed, Ledger, Saved, Slot
from tests.simulation.plan import Entries
from tests.simulation.world import Process

T = TypeVar("T")
TIMEOUT: Final = 2 * SECOND


class Fate(Enum):
    """What becomes of a call."""

    ANSWERED = "answered"
    REFUSED = "refused: nothing was done"
    LOST = "done, but the answer is lost"
    LATE = "given up by the caller, and done later"


class FaultyStore(Store):
    """Passes each verb on to the store that all share, some way off."""

    def __init__(
        self, store: MemoryStore, broker: Broker, process: Process, ledger: Ledger, entries: Entries
    ) -> None:
        self._store = store
        self._entries = entries
        self._broker = broker
        self._process = process
        self._ledger = ledger

    @property
    def url(self) -> str:
        return self._store.url

    def now(self) -> int:
        return self._ask("now", self._store.now)

    def pushes_to(self, broker_url: str) -> bool:
        return self._store.pushes_to(broker_url)

    def entries(self, names: Collection[str] | None = None, *, changed_after: int = 0) -> list[EntryRecord]:
        return self._ask("entries", lambda: self._store.entries(names, changed_after=changed_after))

    def save(self, changes: Sequence[Change]) -> list[bool]:
        return self._ask("save", lambda: self._save(changes))

    def remove(self, names: Collection[str]) -> int:
        return self._ask("remove", lambda: self._store.remove(names))

    def overdue(self, before: int, limit: int) -> list[EntryRecord]:
        return self._ask("overdue", lambda: self._store.overdue(before, limit))

    def claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> list[Won]:
        settlements = list(settlements)
        return self._ask("claim", lambda: self._claim(claims, settlements, replica))

    def begin_claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> Callable[[], list[Won]]:
        """Have all done by now, as some stores do, or let the claim be under way until its answer is asked for."""
        if self._process.world.chance(0.3):
            return super().begin_claim(claims, settlements, replica=replica)
        settlements = list(settlements)
        return self._begin("claim", lambda: self._claim(claims, settlements, replica))

    def settle(self, settlements: Sequence[Settlement], releases: Sequence[Release] = ()) -> None:
        settlements = list(settlements)
        self._ask("settle", lambda: self._settle(settlements, releases))

    def take_over(self, *, replica: str, stale_after: int, limit: int) -> list[Firing]:
        return self._ask(
            "take_over",
            lambda: self._take_over(replica, stale_after, limit),
        )

    def unsettled(self) -> int:
        return self._ask("unsettled", self._store.unsettled)

    def history(self, **query: Any) -> Iterator[HistoryRecord]:
        return self._ask("history", lambda: self._store.history(**query))

    def prune(self, before: int, limit: int) -> int:
        return self._ask("prune", lambda: self._store.prune(before, limit))

    def history_before(self, count: int) -> int | None:
        return self._ask("history_before", lambda: self._store.history_before(count))

    def heartbeat(self, replica: ReplicaRecord, *, live_within: int) -> Pulse:
        return self._ask("heartbeat", lambda: self._store.heartbeat(replica, live_within=live_within))

    def leave(self, replica: str) -> None:
        self._ask("leave", lambda: self._leave(replica))

    def replicas(self) -> list[ReplicaRecord]:
        return self._ask("replicas", self._store.replicas)

    def close(self) -> None:
        """Nothing to let go of."""

    def _ask(self, what: str, effect: Callable[[], T]) -> T:
        process = self._process
        world = process.world
        process.sleep(world.latency())
        fate = self._fate()
        if fate is Fate.ANSWERED or fate is Fate.LOST:
            answer = effect()
            process.sleep(world.latency())
            if fate is Fate.ANSWERED:
                return answer
        if fate is Fate.LATE:
            self._have_done_later(effect)
        raise self._failure(what, fate)

    def _begin(self, what: str, effect: Callable[[], T]) -> Callable[[], T]:
        """Send a question; what comes of it shows only when the function returned waits for the answer.

        Each goes a way of its own: what is asked meanwhile may come first.
        """
        process = self._process
        world = process.world
        process.sleep(0)
        # Few batches are under way together; more trouble on the way makes up for it.
        fate, arrives_at = self._fate(trouble=3), world.now + world.latency()
        answers: list[T] = []

        def arrive() -> None:
            if not world.store_away:
                answers.append(effect())

        def finish() -> T:
            process.sleep(max(0, arrives_at - world.now) + world.latency())
            if fate is Fate.ANSWERED and answers:
                return answers[0]
            is_done_or_late = answers or fate is Fate.LATE
            raise self._failure(f"{what} under way", fate if is_done_or_late else Fate.REFUSED)

        if fate is Fate.LATE:
            self._have_done_later(effect)
        elif fate is not Fate.REFUSED:
            world.after(arrives_at - world.now, arrive)
        return finish

    def _have_done_later(self, effect: Callable[[], object]) -> None:
        world = self._process.world
        delay = world.random.randrange(1, 6 * SECOND)
        world.expect_trouble(delay)
        world.after(delay, effect)

    def _failure(self, what: str, fate: Fate) -> StoreUnavailable:
        """Return what the caller hears of a call that has failed, after the time that it takes to notice."""
        process = self._process
        world = process.world
        world.tell(process.name, f"{what}: {fate.value}")
        if fate is Fate.LATE or world.chance(0.3):
            process.sleep(TIMEOUT)
        return StoreUnavailable(fate.value)

    def _fate(self, trouble: int = 1) -> Fate:
        world = self._process.world
        if world.store_away:
            return Fate.REFUSED
        if world.chance(trouble * world.weather.store_fails):
            return world.random.choice((Fate.REFUSED, Fate.LOST, Fate.LATE))
        return Fate.ANSWERED

    # --- the effects that the invariants judge

    def _save(self, changes: Sequence[Change]) -> list[bool]:
        saved = self._store.save(changes)
        world = self._process.world
        for change, written in zip(changes, saved, strict=True):
            if written:
                (record,) = self._store.entries([change.record.name])
                self._ledger.saved.append(Saved(world.now, record))
                world.tell(self._process.name, f"saves {record.name}: {_state(record)}")
        return saved

    def _claim(self, claims: Sequence[Claim], settlements: Sequence[Settlement], replica: str) -> list[Won]:
        won = self._store.claim(claims, settlements, replica=replica)
        self._note_skips(settlements)
        world = self._process.world
        for claim, outcome in zip(claims, won, strict=True):
            self._ledger.claimed.append(Claimed(world.now, replica, claim, outcome))
            if outcome is not Won.LOST:
                self._judge_definition(claim)
            if outcome is Won.YES:
                self._hold([(claim.uid, new.fire_time, AUTO) for new in claim.firings])
                self._push(claim)
            world.tell(
                self._process.name, f"claims {claim.uid[:4]} {_times(claim, world.start)}: {outcome.value}"
            )
        return won

    def _judge_definition(self, claim: Claim) -> None:
        """Whoever fires an entry must know it as it is in force."""
        record = self._store._entries[self._store._names[claim.uid]]
        if record.fingerprint != self._entries[record.name].fingerprint:
            self._ledger.errors.append(f"{self._process.name} fires {record.name} as it was before")

    def _settle(self, settlements: Sequence[Settlement], releases: Sequence[Release]) -> None:
        self._store.settle(settlements, releases)
        self._note_skips(settlements)
        for release in releases:
            slot = release.uid, release.fire_time, release.lane
            if self._ledger.holds.get(slot, ("", 0))[0] == self._process.name:
                del self._ledger.holds[slot]

    def _note_skips(self, settlements: Sequence[Settlement]) -> None:
        """Note when firings that were claimed were left out after all."""
        for one in settlements:
            if one.outcome == "skipped":
                self._ledger.skipped_at[one.uid, one.fire_time, one.lane] = self._store.now()

    def _take_over(self, replica: str, stale_after: int, limit: int) -> list[Firing]:
        taken = self._store.take_over(replica=replica, stale_after=stale_after, limit=limit)
        slots = [(firing.uid, firing.fire_time, firing.lane) for firing in taken]
        me, now = self._process.name, self._process.world.now
        for slot in slots:
            holder, since = self._ledger.holds.get(slot, (me, 0))
            if holder != me and now - since <= stale_after:
                self._ledger.errors.append(f"{me} takes over what {holder} has held for {now - since} µs")
        self._hold(slots)
        if taken:
            start = self._process.world.start
            told = ", ".join(
                f"{firing.uid[:4]} {(firing.fire_time - start) / SECOND:.3f}" for firing in taken
            )
            self._process.world.tell(me, f"takes over {told}")
        return taken

    def _leave(self, replica: str) -> None:
        self._store.leave(replica)
        holds, me = self._ledger.holds, self._process.name
        self._ledger.holds = {slot: held for slot, held in holds.items() if held[0] != me}

    def _hold(self, slots: Iterable[Slot]) -> None:
        self._ledger.holds.update((slot, (self._process.name, self._process.world.now)) for slot in slots)

    def _push(self, claim: Claim) -> None:
        """Publish, in the claim's own step, what has its message with it."""
        for new in claim.firings:
            if new.message is not None:
                firing = Firing(claim.uid, claim.uid, new.fire_time, AUTO, new.task_id)
                self._broker.take_in(firing, self._process.name)
                now = self._process.world.now
                self._store.settle([Settlement(claim.uid, new.fire_time, AUTO, "published", now)])


def _state(record: EntryRecord) -> str:
    return "retired" if record.retired_at is not None else f"{record.schedule}"


def _times(claim: Claim, start: int) -> str:
    times = ", ".join(f"{(firing.fire_time - start) / SECOND:.3f}" for firing in claim.firings)
    skips = ", ".join(f"{skip.count} {skip.reason}" for skip in claim.skips)
    return f"[{times}] {skips}"
