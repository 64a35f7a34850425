"""A process that claims the entries of a store step by step, as fast as it can, against others.

    python -m tests.store.racer URL REPLICA STEPS

It says "ready", waits for a line, and then prints a JSON object: how often it won which fire time.
"""

from __future__ import annotations

import json
import random
import sys

from qbeat.store import open_store
from qbeat.store.base import Store, StoreUnavailable
from qbeat.store.records import Claim, EntryRecord, NewFiring, Settlement, Won


def main(url: str, replica: str, steps: str) -> None:
    with open_store(url) as store:
        store.entries()
        print("ready", flush=True)
        sys.stdin.readline()
        won = []
        while records := [record for record in store.entries() if record.cursor - record.anchor < int(steps)]:
            won += race(store, replica, records)
        print(json.dumps(won), flush=True)


def race(store: Store, replica: str, records: list[EntryRecord]) -> list[tuple[str, int]]:
    """Claim the next step of entries, in an order of its own; return what was won."""
    random.shuffle(records)
    claims = [_next(record) for record in records]
    try:
        results = store.claim(claims, replica=replica)
    except StoreUnavailable:
        return []  # nothing was written
    won = [claim for claim, result in zip(claims, results, strict=True) if result is not Won.LOST]
    store.settle([_settled(claim) for claim in won])
    return [(claim.uid, claim.new_cursor) for claim in won]


def _next(record: EntryRecord) -> Claim:
    instant = record.cursor + 1
    firing = NewFiring(instant, f"{record.uid}@{instant}")
    return Claim(record.uid, record.cursor, record.revision, instant, instant + 1, instant + 1, (firing,))


def _settled(claim: Claim) -> Settlement:
    return Settlement(claim.uid, claim.new_cursor, "auto", "published", claim.new_cursor)


if __name__ == "__main__":
    main(*sys.argv[1:])
