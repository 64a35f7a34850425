"""The name under which a replica holds the firings that it has claimed or taken over."""

from __future__ import annotations


class Holder:
    """A replica's id, and after each call to the store that failed another name.

    The store lets a replica fire on while an earlier firing of the entry is unsettled, if the replica itself
    holds that one, because its publisher keeps their order. A firing that a replica was given in an answer
    that never came is in no publisher's hands. So a replica does not hold on under its old name, and whatever
    it may have been given keeps the later firings waiting in the outbox until somebody takes it over.
    """

    def __init__(self, replica: str) -> None:
        self._replica = replica
        self._renewed = 0
        self.name = replica

    def renew(self) -> None:
        """Hold what comes from now on under a name of its own."""
        self._renewed += 1
        self.name = f"{self._replica}+{self._renewed}"

    def names(self) -> list[str]:
        """Return the names under which something may be held that others should not have to wait for."""
        return list(dict.fromkeys((self.name, self._replica)))
