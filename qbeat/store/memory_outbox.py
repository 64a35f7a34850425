"""The outbox of the store in memory: held firings, whose they are, and what the history keeps of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from qbeat.store.base import MAX_AHEAD
from qbeat.store.records import AUTO, Firing, HistoryRecord, Outcome, Skip


@dataclass(slots=True)
class Held:
    """A firing in the outbox. ``held_since`` is ``None`` once it is released."""

    uid: str
    entry: str
    fire_time: int
    lane: str
    task_id: str
    claimed_at: int
    replica: str | None
    held_since: int | None
    not_before: int = 0
    attempt: int = 1
    error: str | None = None
    uncertain: bool = False

    def is_free(self, now: int, stale_after: int) -> bool:
        if self.held_since is None:
            return not now < self.not_before <= now + MAX_AHEAD
        return now - self.held_since > stale_after or self.is_ahead(now)

    def is_ahead(self, now: int) -> bool:
        """Whether it is held since before the store's clock went back."""
        return self.held_since is not None and self.held_since > now + MAX_AHEAD

    def release(self, not_before: int, error: str | None, *, uncertain: bool) -> None:
        self.held_since, self.not_before, self.error = None, not_before, error
        self.uncertain |= uncertain


def is_elsewhere(held: Held, replica: str) -> bool:
    return held.lane == AUTO and (held.held_since is None or held.replica != replica)


def unblocked(slots: Iterable[Held], now: int, stale_after: int) -> Iterator[Held]:
    """Yield one entry's free firings up to the first of each lane that is not."""
    blocked: set[str] = set()
    for held in sorted(slots, key=attrgetter("fire_time")):
        if held.lane in blocked:
            continue
        if held.is_free(now, stale_after):
            yield held
        else:
            blocked.add(held.lane)


def hand_over(free: Iterable[Held], replica: str, now: int) -> list[Firing]:
    """Give free firings to a replica; one that is held from before the clock went back is held anew instead."""
    firings: list[Firing] = []
    blocked: set[tuple[str, str]] = set()
    for held in free:
        if held.is_ahead(now):
            held.held_since = now
            blocked.add((held.uid, held.lane))
        elif (held.uid, held.lane) not in blocked:
            firings.append(_taken(held, replica, now))
    return firings


def _taken(held: Held, replica: str, now: int) -> Firing:
    held.uncertain |= held.held_since is not None
    held.replica, held.held_since, held.error = replica, now, None
    held.attempt += 1
    return Firing(held.uid, held.entry, held.fire_time, held.lane, held.task_id, held.attempt, held.uncertain)


def ended(
    held: Held,
    outcome: Outcome,
    reason: str | None = None,
    published_at: int | None = None,
) -> HistoryRecord:
    return HistoryRecord(
        uid=held.uid,
        entry=held.entry,
        fire_time=held.fire_time,
        last_fire_time=held.fire_time,
        count=1,
        lane=held.lane,
        outcome=outcome,
        reason=held.error if outcome == "claimed" else reason,
        task_id=held.task_id,
        claimed_at=held.claimed_at,
        published_at=published_at,
        replica=held.replica,
        attempt=held.attempt,
    )


def skipped(uid: str, entry: str, skip: Skip, replica: str | None, now: int) -> HistoryRecord:
    return HistoryRecord(
        uid=uid,
        entry=entry,
        fire_time=skip.first,
        last_fire_time=skip.last,
        count=skip.count,
        lane=AUTO,
        outcome="skipped",
        reason=skip.reason,
        task_id=None,
        claimed_at=now,
        published_at=None,
        replica=replica,
        attempt=1,
    )
