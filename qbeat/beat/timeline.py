"""What is due next: entries by due instant, whose cost follows what is due, never how many there are."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class Timeline:
    """Entries by the instant at which they are due (microseconds since the epoch).

    An entry stands in it at most once: placing it again moves it. Entries that are due in one instant lie
    together, so that a placing costs O(log of the different instants), and nothing where others lie already.
    The place that an entry had is stale; stale ones go when they surface, or when they outnumber the others.
    """

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._together: dict[int, list[str]] = {}
        self._instants: list[int] = []  # a heap of the keys of `_together`
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
        while self._instants:
            due_at = self._instants[0]
            together = self._together[due_at]
            while together:
                if self._due.get(together[-1]) == due_at:
                    return due_at
                together.pop()
                self._stale -= 1
            del self._together[heapq.heappop(self._instants)]
        return None

    def uids(self) -> Iterator[str]:
        """Yield all entries as they are now, more or less in the order in which they are due.

        It is a snapshot, for another thread may go through it while entries move: it may name an entry twice,
        and some that have gone since.
        """
        return iter([uid for due_at in self._instants for uid in self._together[due_at]])

    def take_due(self, now: int, limit: int) -> list[str]:
        """Take out and return at most ``limit`` entries that are due at ``now``, the longest due first."""
        taken: list[str] = []
        while len(taken) < limit and (due_at := self.next_due()) is not None and due_at <= now:
            together = self._together[due_at]
            while together and len(taken) < limit:
                uid = together.pop()
                if self._due.get(uid) == due_at:
                    del self._due[uid]
                    taken.append(uid)
                else:
                    self._stale -= 1
        return taken

    def _sweep(self) -> None:
        """Forget stale places."""
        self._together, self._stale = {}, 0
        for uid, due_at in self._due.items():
            self._together.setdefault(due_at, []).append(uid)
        self._instants = list(self._together)
        heapq.heapify(self._instants)
