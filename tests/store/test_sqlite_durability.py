"""SQLite: what a claim returned is on the disk, whenever the process is killed."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from qbeat.store import open_store
from tests.store.making import create, entry, history_of, read, take_over

CLAIMER = """
import sys
from qbeat.store import open_store
from tests.store.making import claim_of, read, settled
store, number = open_store(sys.argv[1]), int(sys.argv[2])
while True:
    number += 1
    store.claim([claim_of(read(store), number)], [settled("a", number - 1)], replica="r1")
    print(number, flush=True)
"""


def claim_until_killed(path: Path, start: int, lines: int) -> int:
    """Let a process claim one fire time after another, kill it after some; the last one that it said it won."""
    command = [sys.executable, "-c", CLAIMER, str(path), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.kill()
        said = process.stdout.read().split()
    return int(said[-1]) if said else start + lines


def test_no_claim_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    path, last = tmp_path / "store.db", 0
    with open_store(str(path)) as store:
        create(store, entry())
    for _ in range(5):
        said = claim_until_killed(path, last, random.randint(1, 40))
        with open_store(str(path)) as store:
            cursor = read(store).cursor
            last = len(history_of(store))
            assert [one.fire_time for one in history_of(store)][-1] == cursor
            assert last in {said, said + 1}  # one more: killed between the commit and its word
            assert read(store).total_run_count == last
            assert store.unsettled() == 1
    with open_store(str(path)) as store:
        assert [firing.fire_time for firing in take_over(store, stale_after=-1)] == [cursor]
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "store.db")) as store:
        connection = store._dialect.engine.raw_connection()  # type: ignore[attr-defined]
        pragmas = [
            connection.cursor().execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]
        connection.close()
    assert pragmas == ["wal", 2]
