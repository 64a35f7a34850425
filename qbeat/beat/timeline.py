"""What is due next: entries by due instant, whose cost follows what is due, never how many there are."""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Iterator
from typing import Final

OLDEST: Final = 0
LATEST: Final = -1


class Timeline:
    """Entries by the instant at which they are due (microseconds since the epoch).

    An entry stands in it at most once: placing it again moves it. Entries that are due in one instant lie
    together, so that a placing costs O(log of the different instants), and nothing where others lie already.
    The place that an entry had is stale; stale ones go when they surface, or when they outnumber the others.

    Who asks for less than what is due gets half of it from either end: what is the longest due must not wait
    for ever, and what has just fallen due must not wait until a burst before it is through.
    """

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._together: dict[int, list[str]] = {}
        self._instants: list[int] = []  # a heap of those keys of `_together` that were still to come
        self._ripe: deque[int] = deque()  # in order, those that had come when somebody last took what is due
        self._stale = 0

    def __len__(self) -> int:
        return len(self._due)

    def place(self, uid: str, due_at: int | None) -> None:
        """Say when the entry is due; ``None`` takes it out."""
        before = self._due.get(uid)
        if before == due_at:
            return
        if due_at is None:
            del self._due[uid]
        else:
            self._due[uid] = due_at
            together = self._together.get(due_at)
            if together is None:
                self._together[due_at] = [uid]
                heapq.heappush(self._instants, due_at)
            else:
                together.append(uid)
        if before is not None:
            self._stale += 1
            if self._stale > 64 + len(self._due):
                self._sweep()

    def sort(self) -> None:
        """Order those that are due together by their uids: so they will be taken, and placed again."""
        for together in self._together.values():
            together.sort()

    def next_due(self) -> int | None:
        """Return the earliest due instant, ``None`` if nothing is to come."""
        while self._ripe and not self._holds_some(self._ripe[OLDEST]):
            self._ripe.popleft()
        while self._instants and not self._holds_some(self._instants[0]):
            heapq.heappop(self._instants)
        return min((instants[0] for instants in (self._ripe, self._instants) if instants), default=None)

    def uids(self) -> Iterator[str]:
        """Yield all entries as they are now, more or less in the order in which they are due.

        It is a snapshot, for another thread may go through it while entries move: it may name an entry twice,
        and some that have gone since.
        """
        return iter([uid for due_at in (*self._ripe, *self._instants) for uid in self._together[due_at]])

    def take_due(self, now: int, limit: int) -> list[str]:
        """Take out and return at most ``limit`` entries that are due at ``now``, in the order of their instants.

        If there are more, half of those returned are the longest due, the others have fallen due last.
        """
        self._ripen(now)
        latest = limit // 2
        return [*self._take(limit - latest, OLDEST), *self._take(latest, LATEST)]

    def _ripen(self, now: int) -> None:
        """Tell the instants that have come from those to come: a clock may also have gone back."""
        while self._ripe and self._ripe[LATEST] > now:
            heapq.heappush(self._instants, self._ripe.pop())
        while self._instants and self._instants[0] <= now:
            due_at = heapq.heappop(self._instants)
            if self._ripe and due_at < self._ripe[LATEST]:  # an entry was placed where the clock had been
                insort(self._ripe, due_at)
            else:
                self._ripe.append(due_at)

    def _take(self, limit: int, end: int) -> list[str]:
        """Take out at most ``limit`` entries, from one end of what is due."""
        groups: list[list[str]] = []
        while limit and self._ripe:
            due_at = self._ripe[end]
            if self._holds_some(due_at):
                groups.append(self._cut(due_at, limit))
                limit -= len(groups[-1])
            else:
                del self._ripe[end]
        ordered = groups if end == OLDEST else reversed(groups)
        return [uid for group in ordered for uid in group]

    def _cut(self, due_at: int, limit: int) -> list[str]:
        """Take out at most ``limit`` entries that are due in one instant."""
        together, taken = self._together[due_at], list[str]()
        while together and len(taken) < limit:
            uid = together.pop()
            if self._due.get(uid) == due_at:
                del self._due[uid]
                taken.append(uid)
            else:
                self._stale -= 1
        return taken

    def _holds_some(self, due_at: int) -> bool:
        """Whether an entry is due in this instant; if there is none any more, the instant is forgotten."""
        together = self._together[due_at]
        while together:
            if self._due.get(together[-1]) == due_at:
                return True
            together.pop()
            self._stale -= 1
        del self._together[due_at]
        return False

    def _sweep(self) -> None:
        """Forget stale places."""
        self._together, self._stale = {}, 0
        for uid, due_at in self._due.items():
            self._together.setdefault(due_at, []).append(uid)
        self._ripe.clear()
        self._instants = list(self._together)
        heapq.heapify(self._instants)
