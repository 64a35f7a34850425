"""What is due next: a heap of entries by due instant, whose cost follows what is due, never how many there are."""

from __future__ import annotations

import heapq


class Timeline:
    """Entries by the instant at which they are due (microseconds since the epoch).

    An entry stands in it at most once: placing it again moves it. Moving costs O(log n); the place that it
    had stays in the heap as a stale item until it surfaces or until stale items outnumber the others.
    """

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._due)

    def place(self, uid: str, due_at: int | None) -> None:
        """Say when the entry is due; ``None`` takes it out."""
        if due_at is None:
            self._due.pop(uid, None)
        elif self._due.get(uid) != due_at:
            self._due[uid] = due_at
            heapq.heappush(self._heap, (due_at, uid))
            self._compact()

    def next_due(self) -> int | None:
        """Return the earliest due instant, ``None`` if nothing is to come."""
        while self._heap:
            due_at, uid = self._heap[0]
            if self._due.get(uid) == due_at:
                return due_at
            heapq.heappop(self._heap)
        return None

    def uids(self) -> list[str]:
        """Return all entries, more or less in the order in which they are due: as they lie in the heap."""
        return [uid for due_at, uid in self._heap if self._due.get(uid) == due_at]

    def take_due(self, now: int, limit: int) -> list[str]:
        """Take out and return at most ``limit`` entries that are due at ``now``, the longest due first."""
        taken: list[str] = []
        heap, due = self._heap, self._due
        while heap and heap[0][0] <= now and len(taken) < limit:
            due_at, uid = heapq.heappop(heap)
            if due.get(uid) == due_at:
                del due[uid]
                taken.append(uid)
        return taken

    def _compact(self) -> None:
        if len(self._heap) > 64 + 2 * len(self._due):
            self._heap = [(due_at, uid) for uid, due_at in self._due.items()]
            heapq.heapify(self._heap)
