"""Tables: made once whoever comes first, brought up to date step by step, refused where too new."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from qbeat.store import open_store
from qbeat.store.base import StoreUnusable
from qbeat.store.sql import entries, migrations
from qbeat.store.sql.migrations import VERSION, Step
from qbeat.store.sql.sqlite_file import APPLICATION_ID
from tests.store.making import create, entry, read, replica

OPEN = """
import sys
from qbeat.store import open_store
from tests.store.making import entry
from qbeat.store.records import Change
print("ready", flush=True)
sys.stdin.readline()
with open_store(sys.argv[1]) as store:
    print(store.save([Change(entry(sys.argv[2]), None)]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def number_of(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as raw:
        (version,) = raw.execute("SELECT version FROM qbeat_store").fetchone()
        (mark,) = raw.execute("PRAGMA user_version").fetchone()
        return version, mark


def pretend(path: Path, **columns: int) -> None:
    """Set what the store says of its version."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for column, value in columns.items():
            raw.execute(f"UPDATE qbeat_store SET {column} = {value}")


def with_steps(monkeypatch: pytest.MonkeyPatch, steps: Mapping[int, Step]) -> None:
    """Let this program be as many versions further as there are steps."""
    monkeypatch.setattr(migrations, "STEPS", steps)
    monkeypatch.setattr(migrations, "VERSION", VERSION + len(steps))


def add_column(name: str) -> Step:
    def step(connection: Connection) -> None:
        connection.execute(text(f"ALTER TABLE qbeat_entry ADD COLUMN {name} TEXT"))

    return step


def test_a_new_store_is_marked_as_ours(path: Path) -> None:
    open_store(str(path)).close()
    assert number_of(path) == (VERSION, VERSION)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_processes_that_open_a_fresh_file_at_once_share_one_store(path: Path) -> None:
    count = 4
    with ExitStack() as ending:
        running = [
            ending.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", OPEN, str(path), f"n{number}"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(count)
        ]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate(timeout=60)[0] for process in running] == ["[True]\n"] * count
    with open_store(str(path)) as store:
        assert [record.name for record in store.entries()] == [f"n{number}" for number in range(count)]


def test_an_older_store_is_brought_up_to_date_and_keeps_its_content(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(str(path)) as store:
        create(store, entry())
    with_steps(monkeypatch, {VERSION + 1: add_column("colour"), VERSION + 2: add_column("smell")})
    with open_store(str(path)) as store:
        assert read(store).name == "a"
    assert number_of(path) == (VERSION + 2, VERSION + 2)
    with open_store(str(path)) as store:  # a step run twice would fail
        assert read(store).name == "a"


def test_a_step_that_fails_leaves_the_store_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(str(path)).close()

    def fail(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE absent ADD COLUMN x TEXT"))

    with monkeypatch.context() as patch:
        with_steps(patch, {VERSION + 1: add_column("colour"), VERSION + 2: fail})
        with pytest.raises(StoreUnusable):
            open_store(str(path))
    assert number_of(path) == (VERSION, VERSION)
    with_steps(monkeypatch, {VERSION + 1: add_column("colour")})
    open_store(str(path)).close()


def test_a_tool_does_not_migrate(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(str(path)).close()
    with_steps(monkeypatch, {VERSION + 1: add_column("colour")})
    with pytest.raises(StoreUnusable, match="start qbeat once"):
        open_store(str(path), create=False)
    assert number_of(path) == (VERSION, VERSION)


def test_a_newer_store_that_is_still_compatible_is_used(path: Path) -> None:
    open_store(str(path)).close()
    pretend(path, version=VERSION + 5)
    with open_store(str(path)) as store:
        create(store, entry())
    assert number_of(path)[0] == VERSION + 5


def test_a_newer_store_that_is_not_compatible_is_refused(path: Path) -> None:
    open_store(str(path)).close()
    pretend(path, version=VERSION + 5, compatible_from=VERSION + 3)
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match=r"written by a newer qbeat.*upgrade qbeat here"):
        open_store(str(path))
    assert path.read_bytes() == before


def test_a_running_program_stops_once_the_store_has_gone_past_it(path: Path) -> None:
    with open_store(str(path)) as store:
        store.heartbeat(replica(), live_within=10)
        pretend(path, version=VERSION + 5, compatible_from=VERSION + 3)
        with pytest.raises(StoreUnusable, match="upgrade qbeat here"):
            store.heartbeat(replica(), live_within=10)


def test_a_store_without_its_version_is_said(path: Path) -> None:
    with open_store(str(path)) as store:
        create(store, entry())
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("DELETE FROM qbeat_store")
    with pytest.raises(StoreUnusable, match="qbeat_store is empty"):
        open_store(str(path))


def test_a_row_that_cannot_be_read_is_left_out_logged_and_kept(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(str(path)) as store:
        create(store, *(entry(name) for name in "abcde"))
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("UPDATE qbeat_entry SET schedule = '{torn' WHERE name = 'a'")
            raw.execute("UPDATE qbeat_entry SET definition = '[]' WHERE name = 'b'")
            raw.execute(
                "UPDATE qbeat_progress SET cursor = 'x' WHERE id = (SELECT id FROM qbeat_entry WHERE name = 'd')"
            )
        assert [record.name for record in store.entries()] == ["c", "e"]
        assert [record.name for record in store.scan()] == ["c", "e"]
        assert [record.name for record in store.overdue(2**60, 10)] == ["c", "e"]
        assert [name in caplog.text for name in ("'a'", "'b'", "'c'", "'d'")] == [True, True, False, True]
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("SELECT count(*) FROM qbeat_entry").fetchone() == (5,)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_scan_goes_on_after_a_page_that_cannot_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(entries, "SCAN_PAGE", 2)
    with open_store(str(path)) as store:
        for name in "abcde":  # one by one, for in a batch their ids are in no order
            create(store, entry(name))
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("UPDATE qbeat_entry SET schedule = '{torn' WHERE id <= ?", (count,))
        assert {record.name for record in store.scan()} == set("abcde"[count:])
