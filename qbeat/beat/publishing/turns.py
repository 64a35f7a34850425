"""Whose turn it is to be published: the submissions that wait, those of one entry one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Submission

MAX_REMEMBERED: Final = 250_000
"""Entries that are known to be sent alone; when there are more, they are found out anew."""


class Turns:
    """A queue of submissions for each entry. An entry has a turn when none of its submissions is under way.

    Entries that may be slow have their turns alone, the others many at a time; both kinds take turns, too.
    """

    def __init__(self) -> None:
        self._queues: dict[str, deque[Submission]] = {}
        self._together: deque[str] = deque()
        self._alone: deque[str] = deque()
        self._loners: dict[str, Entry] = {}
        self._alone_is_next = False

    def __bool__(self) -> bool:
        """Whether any entry has a turn."""
        return bool(self._together or self._alone)

    def add(self, submission: Submission) -> None:
        """Put a submission at the end of its entry's queue."""
        uid = submission.firing.uid
        queue = self._queues.get(uid)
        if queue is None:
            self._queues[uid] = deque((submission,))
            self._give_turn(uid)
        else:
            queue.append(submission)

    def take(self, limit: int) -> list[Submission]:
        """Take a submission of one entry that goes alone, or one of each of at most ``limit`` others."""
        if self._alone and (self._alone_is_next or not self._together):
            self._alone_is_next = False
            return [self._queues[self._alone.popleft()].popleft()]
        self._alone_is_next = True
        together = self._together
        return [self._queues[together.popleft()].popleft() for _ in range(min(limit, len(together)))]

    def put_back(self, submission: Submission) -> None:
        """Give a submission that was taken another turn, alone."""
        uid = submission.firing.uid
        if len(self._loners) >= MAX_REMEMBERED:
            self._loners.clear()
        self._loners[uid] = submission.entry
        self._queues[uid].appendleft(submission)
        self._give_turn(uid)

    def done(self, uid: str) -> None:
        """Note that the submission of an entry that was taken has ended: the next one has its turn."""
        if self._queues[uid]:
            self._give_turn(uid)
        else:
            del self._queues[uid]

    def give_up(self, uid: str) -> Iterator[Submission]:
        """Take all submissions of an entry that still wait."""
        queue = self._queues[uid]
        while queue:
            yield queue.popleft()

    def give_up_turns(self) -> Iterator[str]:
        """Take away all turns, for the caller to give up each entry's submissions and to be done with it."""
        for turns in (self._together, self._alone):
            while turns:
                yield turns.popleft()

    def _give_turn(self, uid: str) -> None:
        entry = self._queues[uid][0].entry
        together = entry.is_quick and self._loners.get(uid) is not entry
        (self._together if together else self._alone).append(uid)
