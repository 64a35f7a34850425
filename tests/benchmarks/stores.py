"""How many claims a second a store takes, and how long it takes to load entries.

    python -m tests.benchmarks.stores [URL] [--entries N] [--batch N] [--rounds N]

Each round claims every entry once, in batches of random entries, and settles what the batch before claimed.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from qbeat.store import open_store
from qbeat.store.base import MAX_BATCH, Store
from qbeat.store.records import AUTO, Change, Claim, EntryRecord, NewFiring, Settlement, Won

STEP = 1_000_000


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or str(Path(folder) / "store.db")
        with open_store(url) as store:
            took = _timed(lambda: fill(store, options.entries))
            print(f"{options.entries / took:10,.0f} new entries/s")
            took = _timed(store.entries)
            print(f"{took:10.2f} s to read {options.entries:,} entries")
            for settling in (False, True):
                count = options.entries * options.rounds
                took = _timed(lambda settling=settling: run(store, options.rounds, options.batch, settling))
                with_ = "with" if settling else "without"
                print(f"{count / took:10,.0f} claims/s {with_} settlements, {options.batch:,} at once")


def fill(store: Store, count: int) -> None:
    """Make ``count`` entries of an ordinary width."""
    for start in range(0, count, MAX_BATCH):
        records = [_entry(number) for number in range(start, min(count, start + MAX_BATCH))]
        assert all(store.save([Change(record, None) for record in records]))


def run(store: Store, rounds: int, batch: int, settling: bool) -> None:
    """Claim every entry once in each round."""
    records = store.entries()
    cursors = {record.uid: record.cursor for record in records}
    settlements: list[Settlement] = []
    for _ in range(rounds):
        uids = random.sample(list(cursors), len(cursors))
        for start in range(0, len(uids), batch):
            claims = [_claim(uid, cursors[uid]) for uid in uids[start : start + batch]]
            won = store.claim(claims, settlements, replica="bench")
            assert set(won) == {Won.YES}
            cursors.update({claim.uid: claim.new_cursor for claim in claims})
            if settling:
                settlements = _settlements(claims)
    store.settle(settlements)


def _timed(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started


def _claim(uid: str, cursor: int) -> Claim:
    fire_time = cursor + STEP
    firing = NewFiring(fire_time, "0f9f5a54-7d9d-5dd6-9b4a-5d5ee2b1c1f6")
    return Claim(uid, cursor, 1, fire_time, fire_time + STEP, fire_time + STEP, (firing,))


def _settlements(claims: Sequence[Claim]) -> list[Settlement]:
    return [
        Settlement(claim.uid, claim.new_cursor, AUTO, "published", claim.new_cursor, attempt=1)
        for claim in claims
    ]


def _entry(number: int) -> EntryRecord:
    return EntryRecord(
        name=f"a-periodic-task-{number}",
        uid=uuid4().hex,
        origin="declared",
        task="proj.tasks.refresh",
        schedule={"kind": "interval", "every": STEP, "relative": False},
        timezone="Europe/Berlin",
        definition={
            "args": [number, "x"],
            "kwargs": {"force": True},
            "options": {"queue": "low", "priority": 3},
        },
        fingerprint="f" * 64,
        generation="g" * 64,
        anchor=0,
        cursor=number,
        next_fire_time=number + STEP,
        due_at=number + STEP,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=MAX_BATCH)
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
