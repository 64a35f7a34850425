"""A store in this process's memory: the contract in its plainest form, for tests, demos and simulations.

Several replicas (and threads) may share one object; everything is forgotten when it goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from threading import RLock

from qbeat.store.base import MAX_AHEAD, Store
from qbeat.store.checks import check_changes, check_claims, check_length
from qbeat.store.memory_outbox import Held, ended, hand_over, is_elsewhere, skipped, unblocked
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
    Skip,
    Won,
)

_Slot = tuple[str, int]
"""Lane and fire time of a firing of one entry."""


class MemoryStore(Store):
    """Keeps everything in dictionaries, under one lock.

    ``clock`` returns microseconds since the epoch; without one it is the system's clock.
    """

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        self._clock = clock or _system_clock
        self._lock = RLock()
        self._entries: dict[str, EntryRecord] = {}
        self._names: dict[str, str] = {}
        self._outbox: dict[str, dict[_Slot, Held]] = {}
        self._history: dict[tuple[int, str, str], HistoryRecord] = {}
        self._published: dict[str, tuple[int, int | None]] = {}
        self._replicas: dict[str, ReplicaRecord] = {}
        self._change = 0

    @property
    def url(self) -> str:
        return "memory://"

    def now(self) -> int:
        return self._clock()

    # --- entries

    def entries(self, names: Collection[str] | None = None, *, changed_after: int = 0) -> list[EntryRecord]:
        with self._lock:
            wanted = self._entries if names is None else set(names) & self._entries.keys()
            found = (self._entries[name] for name in sorted(wanted))
            return [self._with_published(record) for record in found if record.change > changed_after]

    def save(self, changes: Sequence[Change]) -> list[bool]:
        check_changes(changes)
        with self._lock:
            number = self._change + 1
            written = [self._save_one(change, number) for change in changes]
            self._change += any(written)
            return written

    def remove(self, names: Collection[str]) -> int:
        check_length(names)
        with self._lock:
            gone = [self._entries.pop(name) for name in dict.fromkeys(names) if name in self._entries]
            for record in gone:
                del self._names[record.uid]
                self._published.pop(record.uid, None)
                for held in self._outbox.pop(record.uid, {}).values():
                    self._record(ended(held, "skipped", reason="superseded"))
            self._change += bool(gone)
            return len(gone)

    def overdue(self, before: int, limit: int) -> list[EntryRecord]:
        with self._lock:
            due = [
                (record.due_at, record.uid, record)
                for record in self._entries.values()
                if record.due_at is not None and record.due_at <= before and record.retired_at is None
            ]
        return [record for _, _, record in sorted(due, key=lambda found: found[:2])[:limit]]

    def _with_published(self, record: EntryRecord) -> EntryRecord:
        published = self._published.get(record.uid)
        return record if published is None else replace(record, last_published_at=published[1])

    def _save_one(self, change: Change, number: int) -> bool:
        record, stored = change.record, self._entries.get(change.record.name)
        if change.expected_revision is None:
            if stored is not None or record.uid in self._names:
                return False
            self._put(replace(record, revision=1, change=number, last_published_at=None))
        else:
            if stored is None or not _as_expected(stored, change):
                return False
            self._put(
                replace(
                    record,
                    revision=stored.revision + 1,
                    change=number,
                    last_published_at=None,
                    total_run_count=stored.total_run_count,
                    last_fire_time=stored.last_fire_time,
                )
            )
        self._record_skips(record.uid, record.name, change.skips, replica=None)
        return True

    def _put(self, record: EntryRecord) -> None:
        self._entries[record.name] = record
        self._names[record.uid] = record.name

    # --- firings

    def claim(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement] = (), *, replica: str
    ) -> list[Won]:
        check_claims(claims)
        with self._lock:
            self.settle(settlements)
            return [self._claim_one(claim, replica) for claim in claims]

    def settle(self, settlements: Sequence[Settlement], releases: Sequence[Release] = ()) -> None:
        check_length(settlements)
        check_length(releases)
        with self._lock:
            for settlement in settlements:
                self._settle_one(settlement)
            for release in releases:
                held = self._outbox.get(release.uid, {}).get((release.lane, release.fire_time))
                if held is not None and held.attempt == release.attempt:
                    held.release(release.not_before, release.error, uncertain=release.uncertain)

    def take_over(self, *, replica: str, stale_after: int, limit: int) -> list[Firing]:
        with self._lock:
            now = self._clock()
            free = [
                held
                for slots in self._outbox.values()
                for held in unblocked(slots.values(), now, stale_after)
            ]
            free.sort(key=attrgetter("fire_time", "uid", "lane"))
            return hand_over(free[:limit], replica, now)

    def unsettled(self) -> int:
        with self._lock:
            return sum(len(slots) for slots in self._outbox.values())

    def history(
        self,
        *,
        entries: Collection[str] | None = None,
        since: int | None = None,
        until: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[HistoryRecord]:
        with self._lock:
            held = [ended(held, "claimed") for slots in self._outbox.values() for held in slots.values()]
            found = [
                record
                for record in (*self._history.values(), *held)
                if (entries is None or record.entry in entries)
                and (since is None or record.last_fire_time >= since)
                and (until is None or record.fire_time <= until)
            ]
        found.sort(key=attrgetter("fire_time", "uid", "lane"), reverse=newest_first)
        return iter(found[:limit])

    def prune(self, before: int, limit: int) -> int:
        with self._lock:
            old = sorted(
                key
                for key, record in self._history.items()
                if record.last_fire_time < before and not self._is_newest_published(record)
            )
            for key in old[:limit]:
                del self._history[key]
            return len(old[:limit])

    def history_before(self, count: int) -> int | None:
        with self._lock:
            times = sorted((fire_time for fire_time, _, _ in self._history), reverse=True)
        return times[count - 1] if len(times) > count and times[-1] < times[count - 1] else None

    def _claim_one(self, claim: Claim, replica: str) -> Won:
        stored = self._entries.get(self._names.get(claim.uid, ""))
        if stored is None or stored.retired_at is not None:
            return Won.LOST
        if (stored.cursor, stored.revision) != (claim.cursor, claim.revision):
            return Won.LOST
        slots = self._outbox.get(claim.uid, {})
        queued = bool(claim.firings) and any(is_elsewhere(held, replica) for held in slots.values())
        self._advance(stored, claim)
        self._add_firings(stored, claim, replica, queued=queued)
        self._record_skips(stored.uid, stored.name, claim.skips, replica)
        return Won.QUEUED if queued else Won.YES

    def _advance(self, stored: EntryRecord, claim: Claim) -> None:
        last = claim.firings[-1].fire_time if claim.firings else stored.last_fire_time
        self._entries[stored.name] = replace(
            stored,
            cursor=claim.new_cursor,
            next_fire_time=claim.next_fire_time,
            due_at=claim.due_at,
            total_run_count=stored.total_run_count + len(claim.firings),
            last_fire_time=last,
        )

    def _add_firings(self, stored: EntryRecord, claim: Claim, replica: str, *, queued: bool) -> None:
        now = self._clock()
        for new in claim.firings:
            self._outbox.setdefault(stored.uid, {})[AUTO, new.fire_time] = Held(
                uid=stored.uid,
                entry=stored.name,
                fire_time=new.fire_time,
                lane=AUTO,
                task_id=new.task_id,
                claimed_at=now,
                replica=replica,
                held_since=None if queued else now,
            )

    def _settle_one(self, settlement: Settlement) -> None:
        slots = self._outbox.get(settlement.uid, {})
        held = slots.get((settlement.lane, settlement.fire_time))
        if held is None or settlement.attempt not in {None, held.attempt}:
            return
        del slots[settlement.lane, settlement.fire_time]
        if not slots:
            del self._outbox[settlement.uid]
        published_at = settlement.published_at
        self._record(ended(held, settlement.outcome, settlement.reason, published_at))
        newest = self._published.get(settlement.uid)
        if settlement.outcome == "published" and (newest is None or newest[0] <= held.fire_time):
            self._published[settlement.uid] = held.fire_time, published_at

    def _record(self, record: HistoryRecord) -> None:
        self._history.setdefault((record.fire_time, record.uid, record.lane), record)

    def _record_skips(self, uid: str, name: str, skips: Iterable[Skip], replica: str | None) -> None:
        for skip in skips:
            self._record(skipped(uid, name, skip, replica, self._clock()))

    def _is_newest_published(self, record: HistoryRecord) -> bool:
        if record.outcome != "published":
            return False
        newest = self._published.get(record.uid)
        return newest is not None and record.fire_time >= newest[0]

    # --- replicas

    def heartbeat(self, replica: ReplicaRecord, *, live_within: int) -> Pulse:
        with self._lock:
            now = self._clock()
            self._replicas[replica.id] = replace(replica, heartbeat_at=now)
            self._replicas = {
                known.id: replace(known, heartbeat_at=now) if known.heartbeat_at > now + MAX_AHEAD else known
                for known in self._replicas.values()
                if now - known.heartbeat_at <= live_within
            }
            return Pulse(now=now, change=self._change, replicas=tuple(self.replicas()))

    def leave(self, replica: str) -> None:
        with self._lock:
            self._replicas.pop(replica, None)
            for slots in self._outbox.values():
                for held in slots.values():
                    if held.replica == replica and held.held_since is not None:
                        held.release(0, None, uncertain=True)

    def replicas(self) -> list[ReplicaRecord]:
        with self._lock:
            return sorted(self._replicas.values(), key=attrgetter("id"))

    def close(self) -> None:
        """Do nothing: there is no connection to let go of, and what is remembered stays."""


def _system_clock() -> int:
    return time.time_ns() // 1_000


def _as_expected(stored: EntryRecord, change: Change) -> bool:
    expected = change.record.uid, change.expected_revision, change.expected_cursor
    return expected == (stored.uid, stored.revision, stored.cursor)
