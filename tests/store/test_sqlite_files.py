"""SQLite files that are no store, or cannot be one now: one sentence with the cure, the file left as it is."""

from __future__ import annotations

import dbm.dumb
import os
import pickle
import shelve
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from qbeat.store import open_store
from qbeat.store.base import StoreError, StoreUnavailable, StoreUnusable
from qbeat.store.sql import sqlite, sqlite_file
from tests.store.making import START, create, entry, fire, history_of, read

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def full(path: Path) -> Path:
    """A closed store with an entry and a firing."""
    with open_store(str(path)) as store:
        create(store, entry())
        fire(store, "a", 10)
    return path


@contextmanager
def left_alone(folder: Path) -> Iterator[None]:
    """Check that the files in a folder are byte for byte what they were."""
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    yield
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before


def refuses(
    path: Path | str, sentence: str, kind: type[StoreError] = StoreUnusable, *, create: bool = True
) -> None:
    with pytest.raises(kind, match=sentence) as caught:
        open_store(str(path), create=create)
    assert "\n" not in str(caught.value)


# --- what is not a store


def test_another_programs_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE kombu_queue (id INTEGER PRIMARY KEY)")
    with left_alone(path.parent):
        refuses(path, "database of another program: name another file with -s")


def test_another_programs_database_with_its_tables_still_in_the_log_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE letters (text)")
        with left_alone(path.parent):
            refuses(path, "database of another program")


def test_another_programs_database_with_a_mark_but_no_tables_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA application_id = 77")
    with left_alone(path.parent):
        refuses(path, "database of another program")


def test_an_empty_database_becomes_a_store(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE letters (text)")
        other.execute("DROP TABLE letters")
    with open_store(str(path)) as store:
        create(store, entry())


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    with open_store(str(path)) as store:
        create(store, entry())


@pytest.mark.parametrize("content", [b"hello, world\n" * 1_000, b"x", b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_file_that_is_no_database_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with left_alone(path.parent):
        refuses(path, "not an SQLite database|damaged|cannot be used")


def test_celerys_own_schedule_file_is_called_by_its_name(path: Path) -> None:
    if not _make_celery_schedule(path):
        pytest.skip("this Python has no dbm that keeps a shelf in a single file")
    with left_alone(path.parent):
        refuses(path, "celerybeat-schedule")


def _make_celery_schedule(path: Path) -> bool:
    """Write what ``celery beat`` writes, into one file if this Python can."""
    for module in ("dbm.gnu", "dbm.ndbm"):
        backend = pytest.importorskip(module) if _has(module) else None
        if backend is not None:
            with closing(shelve.Shelf[object](backend.open(str(path), "n"))) as shelf:
                shelf["entries"] = {}
                shelf["__version__"] = "5.4.0"
    return path.exists()


def _has(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def test_a_gnu_dbm_file_is_called_a_dbm_file(path: Path) -> None:
    path.write_bytes(bytes.fromhex("ce9a5713") + pickle.dumps({}) + bytes(4_000))
    with left_alone(path.parent):
        refuses(path, "dbm file, such as celery beat's own celerybeat-schedule")


def test_a_dumb_dbm_beside_the_name_does_no_harm(path: Path) -> None:
    with dbm.dumb.open(str(path), "n") as shelf:
        shelf["entries"] = b"x"
    with open_store(str(path)) as store:
        create(store, entry())


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    refuses(tmp_path, "is not a file: name another")


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    refuses(tmp_path / "absent" / "store.db", "the folder .*absent does not exist: make it")
    assert list(tmp_path.iterdir()) == []


# --- create=False


def test_nothing_is_made_where_nothing_is_to_be_made(path: Path) -> None:
    refuses(path, "there is no store at .*: start qbeat once, or name it with -s", create=False)
    assert not path.exists()
    path.touch()
    refuses(path, "empty: start qbeat once", create=False)
    assert path.read_bytes() == b""


def test_a_store_that_is_there_opens_without_making_anything(full: Path) -> None:
    with open_store(str(full), create=False) as store:
        assert read(store).cursor == START + 10
        fire(store, "a", 20)


def test_a_store_is_read_while_another_process_writes(full: Path) -> None:
    with writing(full), open_store(str(full), create=False) as store:
        assert [record.fire_time for record in store.history()] == [START + 10]


# --- locked


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the write lock, as a stuck process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.1)


@pytest.mark.usefixtures("impatient")
def test_a_locked_store_is_unavailable_and_then_works_again(full: Path) -> None:
    with writing(full):
        refuses(full, "locked by another process", StoreUnavailable)
    with open_store(str(full)) as store:
        with writing(full), pytest.raises(StoreUnavailable, match="locked by another process"):
            fire(store, "a", 20)
        fire(store, "a", 20)
        assert read(store).cursor == START + 20


@pytest.mark.usefixtures("impatient")
def test_a_fresh_file_that_another_program_locks_is_unavailable(path: Path) -> None:
    path.touch()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refuses(path, "locked by another process", StoreUnavailable)


@contextmanager
def held_by_a_writer(path: Path) -> Iterator[sqlite3.Connection]:
    """A store that is not in WAL mode yet, while another process writes; any thread may end that."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN IMMEDIATE")
        yield other


@pytest.mark.usefixtures("impatient")
def test_a_store_that_others_never_let_into_wal_mode_is_unavailable(full: Path) -> None:
    dialect = sqlite.Sqlite(full, None, create=True)
    with held_by_a_writer(full), pytest.raises(StoreUnavailable, match="locked by another process"):
        dialect.finish_opening()
    dialect.engine.dispose()


def test_a_store_is_put_into_wal_mode_once_others_let_it(full: Path) -> None:
    dialect = sqlite.Sqlite(full, None, create=True)
    with held_by_a_writer(full) as other:
        letting_go = threading.Timer(0.3, other.rollback)
        letting_go.start()
        dialect.finish_opening()
        letting_go.join()
    dialect.engine.dispose()
    with closing(sqlite3.connect(full)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# --- half written


@contextmanager
def half_written(path: Path) -> Iterator[sqlite3.Connection]:
    """A fresh file, some of whose pages are written and some are not: its first transaction is under way."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA cache_size = 1")
        other.execute("BEGIN")
        other.execute("CREATE TABLE qbeat_half (text)")
        other.executemany("INSERT INTO qbeat_half VALUES (?)", [("x" * 3000,)] * 50)
        assert path.stat().st_size > 0
        yield other


def test_a_file_that_another_process_is_just_making_is_waited_for(path: Path) -> None:
    with half_written(path) as other:
        undoing = threading.Timer(0.3, other.rollback)
        undoing.start()
        with open_store(str(path)) as store:
            assert store.entries() == []
        undoing.join()


def test_what_a_crash_has_left_half_written_is_undone(path: Path, tmp_path: Path) -> None:
    with half_written(tmp_path / "killed.db"):
        shutil.copy(tmp_path / "killed.db-journal", f"{path}-journal")
        shutil.copy(tmp_path / "killed.db", path)
    with open_store(str(path)) as store:
        assert store.entries() == []


# --- half copied from its log


@pytest.fixture
def grown(path: Path, tmp_path: Path) -> Path:
    """A folder with a store as it was killed after it had grown: ``old`` without the log, ``log``, ``new`` with it."""
    folder = tmp_path / "grown"
    folder.mkdir()
    with open_store(str(path)):
        pass
    shutil.copy(path, folder / "old")
    with closing(sqlite3.connect(path)) as keeping, open_store(str(path)) as store:
        keeping.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the last to go copies the log
        create(store, *(entry(f"n{number}") for number in range(200)))
        shutil.copy(f"{path}-wal", folder / "log")
    shutil.copy(path, folder / "new")
    path.unlink()
    return folder


def leave_half_copied(grown: Path, path: Path, pages: int) -> None:
    """Leave what a kill leaves after so many pages were copied from the log to the file, or a disk that is full."""
    copied = (grown / "new").read_bytes()[: pages * 4096]
    path.write_bytes(copied + (grown / "old").read_bytes()[len(copied) :])
    shutil.copy(grown / "log", f"{path}-wal")


def is_whole(path: Path) -> bool:
    """Whether the file alone, without its log, passes SQLite's own look at it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
        except sqlite3.DatabaseError:
            return False


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("pages", [1, 5, 15, 30])
def test_a_store_that_is_whole_only_with_its_log_is_opened(
    grown: Path, path: Path, pages: int, create: bool
) -> None:
    leave_half_copied(grown, path, pages)
    assert not is_whole(path)
    with open_store(str(path), create=create) as store:
        assert len(store.entries()) == 200
    assert is_whole(path)


def test_a_store_that_its_log_does_not_make_whole_is_said_and_left_alone(grown: Path, path: Path) -> None:
    leave_half_copied(grown, path, 1)
    Path(f"{path}-wal").write_bytes(b"\xa5" * 100_000)
    file, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    refuses(path, "damaged: restore it from a backup")
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == (file, log)


def test_another_programs_database_that_is_whole_only_with_its_log_is_left_alone(
    path: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.executescript("".join(f"CREATE TABLE letters{n} (text);" for n in range(200)))
        log = (tmp_path / "other.db-wal").read_bytes()
    path.write_bytes((tmp_path / "other.db").read_bytes()[:4096])
    Path(f"{path}-wal").write_bytes(log)
    assert not is_whole(path)
    file = path.read_bytes()
    refuses(path, "database of another program")
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == (file, log)


# --- read-only


OPEN = """
import os, sys, tempfile
from qbeat.store import open_store
from qbeat.store.base import StoreUnusable
with tempfile.TemporaryDirectory() as folder:  # imports all that the user may not be able to read
    open_store(folder + "/store.db").entries()
os.setgid({nobody}); os.setuid({nobody})
try:
    with open_store(sys.argv[1], create=sys.argv[2] == "create") as store:
        print(len(store.entries()), "entries")
except StoreUnusable as error:
    print("unusable:", error)
"""


def as_nobody(path: Path, create: str = "create") -> str:
    """Open a store as a user without rights; what came of it."""
    command = [sys.executable, "-c", OPEN.format(nobody=NOBODY), str(path), create]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that other users can enter."""
    folder = Path("/tmp") / f"qbeat-{os.getpid()}-{tmp_path_factory.mktemp('x').name}"
    folder.mkdir()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@as_root
def test_a_read_only_file_is_said_and_left_alone(shared: Path, full: Path) -> None:
    path = shared / "store.db"
    shutil.copy(full, path)
    path.chmod(0o444)
    shared.chmod(0o777)
    before = path.read_bytes()
    assert "read-only: make it and its folder writable" in as_nobody(path)
    assert "1 entries" in as_nobody(path, "read")
    assert path.read_bytes() == before


@as_root
def test_a_file_in_a_read_only_folder_is_said_and_left_alone(shared: Path, full: Path) -> None:
    path = shared / "store.db"
    shutil.copy(full, path)
    path.chmod(0o666)
    with left_alone(shared):
        assert "unusable: " in (said := as_nobody(path))
        assert "folder" in said
    with left_alone(shared):
        assert "make it and its folder readable and writable" in as_nobody(shared / "absent.db")


@as_root
def test_a_half_copied_file_in_a_read_only_folder_is_not_called_damaged(shared: Path, grown: Path) -> None:
    path = shared / "store.db"
    leave_half_copied(grown, path, 1)
    for file in shared.iterdir():
        file.chmod(0o666)
    with left_alone(shared):
        for how in ("create", "read"):
            assert "make it and its folder readable and writable" in as_nobody(path, how)


@as_root
def test_a_file_that_may_not_be_read_is_said(shared: Path, full: Path) -> None:
    path = shared / "store.db"
    shutil.copy(full, path)
    path.chmod(0o600)
    assert "make it and its folder readable" in as_nobody(path)


@as_root
@pytest.mark.parametrize("how", ["create", "read"])
def test_a_folder_that_may_not_be_entered_is_said(shared: Path, how: str) -> None:
    shared.chmod(0o700)
    for path in (shared / "store.db", shared / "absent" / "store.db"):
        assert as_nobody(path, how).startswith(f"unusable: {path} cannot be looked at (Permission denied): ")


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    refuses(tmp_path / ("x" * 300), r"cannot be looked at \(File name too long\): let this user")


# --- damaged and full


def test_a_damaged_store_is_said_and_left_alone(full: Path) -> None:
    content = bytearray(full.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    full.write_bytes(content)
    with left_alone(full.parent), pytest.raises(StoreUnusable, match="damaged: restore it from a backup"):
        open_store(str(full)).entries()


def test_a_truncated_store_is_said_and_left_alone(full: Path) -> None:
    full.write_bytes(full.read_bytes()[:9_000])
    with left_alone(full.parent), pytest.raises(StoreUnusable, match=r"damaged|not an SQLite database"):
        open_store(str(full)).entries()


def test_a_full_disk_is_said_and_nothing_is_lost(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = len(full.read_bytes()) // 4096
    monkeypatch.setattr(sqlite, "PRAGMAS", (*sqlite.PRAGMAS, f"PRAGMA max_page_count = {pages}"))
    with open_store(str(full)) as store:
        with pytest.raises(StoreUnusable, match="the disk is full: make room and start again"):
            create(store, *(entry(f"n{number}") for number in range(1_000)))
        assert [record.name for record in store.entries()] == ["a"]
        assert len(history_of(store)) == 1


def test_every_error_of_sqlite_becomes_one_sentence() -> None:
    for code in ("SQLITE_PROTOCOL", "SQLITE_IOERR_WRITE", "SQLITE_SOMETHING", ""):
        error = sqlite3.OperationalError("what happened")
        error.sqlite_errorname = code
        said = sqlite_file.explain(error, Path("store.db"))
        assert isinstance(said, StoreUnusable)
        assert str(said).startswith("store.db ")


# --- names


@pytest.mark.parametrize(
    "name", ["with blank.db", "wïth ümlaut.db", "per%cent.db", "quest?ion#.db", "a&b='c'.db"]
)
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    with open_store(str(tmp_path / name)) as store:
        create(store, entry())
        assert store.url == f"sqlite:///{tmp_path / name}"
    assert (tmp_path / name).exists()


def test_a_url_names_the_same_file_as_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("store.db") as store:
        create(store, entry())
    for url in (
        "sqlite:///store.db",
        f"sqlite:////{str(tmp_path)[1:]}/store.db",
        "sqlite+pysqlite:///store.db",
    ):
        with open_store(url, create=False) as store:
            assert read(store).name == "a"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_url_without_a_file_is_refused(url: str) -> None:
    refuses(url, "an SQLite store needs a file")
