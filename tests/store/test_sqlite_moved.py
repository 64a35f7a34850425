"""An SQLite file that is deleted, moved or replaced while a store uses it, and a process that changes its folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from qbeat.store import open_store
from qbeat.store.base import StoreUnusable
from qbeat.store.sql import SqlStore
from tests.beat.apps import APP, HEADER
from tests.servers.fixtures import StartQbeat
from tests.store.making import create, entry, fire, fire_times, history_of, read

MOVED = "was moved, replaced or deleted while in use"
FIRED = r"quick \(tasks\.add\) fired for "


def store_at(path: Path | str) -> SqlStore:
    """A store with an entry."""
    store = open_store(str(path))
    assert isinstance(store, SqlStore)
    create(store, entry())
    return store


def delete(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def replace(path: Path) -> None:
    delete(path)
    store_at(path).close()


def restore(path: Path) -> None:
    shutil.copy(path, path.with_name("backup"))
    path.with_name("backup").replace(path)


def take_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


away = pytest.mark.parametrize("lose", [delete, replace, restore, take_the_folder])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "store.db"


@away
def test_nothing_is_claimed_in_a_file_that_others_do_not_see(
    path: Path, lose: Callable[[Path], None]
) -> None:
    with store_at(path) as store:
        fire(store, "a", 10)
        lose(path)
        for _ in range(2):
            with pytest.raises(StoreUnusable, match=f"store.db {MOVED}: .* start again"):
                fire(store, "a", 20)


@away
def test_a_store_whose_file_is_elsewhere_makes_no_new_one(path: Path, lose: Callable[[Path], None]) -> None:
    with store_at(path) as store:
        lose(path)
        before = path.read_bytes() if path.exists() else None
        store._dialect.engine.dispose()  # the next transaction connects anew
        with pytest.raises(StoreUnusable, match=MOVED):
            store.save([])
        with pytest.raises(StoreUnusable, match=MOVED):
            store.entries()
        assert (path.read_bytes() if path.exists() else None) == before


def test_the_close_of_a_store_whose_file_is_gone_harms_no_new_one(path: Path) -> None:
    with store_at(path) as old:
        delete(path)
        new = store_at(path)
        old.close()
        fire(new, "a", 10)
    with new, open_store(str(path)) as other:
        assert fire_times(history_of(other)) == [10]


def test_a_file_that_is_put_back_is_used_again(path: Path) -> None:
    with store_at(path) as store:
        fire(store, "a", 10)
        take_the_folder(path)
        with pytest.raises(StoreUnusable, match=MOVED):
            fire(store, "a", 20)
        path.parent.with_name("elsewhere").rename(path.parent)
        fire(store, "a", 20)
        assert fire_times(history_of(store)) == [10, 20]


def test_a_link_to_the_file_may_lead_to_it(path: Path) -> None:
    store_at(path).close()
    link = path.with_name("link.db")
    link.symlink_to(path)
    with open_store(str(link)) as store:
        fire(store, "a", 10)
        assert fire_times(history_of(store)) == [10]


def test_stores_that_make_the_file_at_once_share_it(path: Path) -> None:
    count = 4
    barrier = Barrier(count)

    def make_and_fire(number: int) -> None:
        barrier.wait(timeout=20)
        with open_store(str(path)) as store:
            create(store, entry(f"n{number}"))
            fire(store, f"n{number}", 10)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(make_and_fire, range(count)))
    with open_store(str(path)) as store:
        assert len(history_of(store)) == count


def test_a_running_qbeat_whose_file_is_deleted_ends_with_78(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    quick = 'app.add_periodic_task(0.5, add.s(1, 2), name="quick")\n'
    (tmp_path / "tasks.py").write_text(HEADER + APP + quick)
    qbeat = start_qbeat(tmp_path, "-A", "tasks", "-s", "q.db")
    qbeat.wait_for(FIRED, within=40)
    delete(tmp_path / "q.db")
    assert qbeat.wait(within=20) == 78
    assert f"q.db {MOVED}" in qbeat.output
    assert "Traceback" not in qbeat.output


# --- another folder


def from_another_thread(work: Callable[[], object]) -> None:
    """Work while this thread holds its connection, so that another has to be made."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result(timeout=20)


def two_connections_read(store: SqlStore) -> None:
    with store._dialect.engine.begin():
        from_another_thread(lambda: read(store))


@pytest.mark.parametrize("name", ["store.db", "sqlite:///store.db"])
def test_an_app_that_changes_its_folder_changes_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "later").mkdir()
    monkeypatch.chdir(tmp_path)
    with store_at(name) as store:
        monkeypatch.chdir(tmp_path / "later")
        two_connections_read(store)
        fire(store, "a", 10)
    assert not any((tmp_path / "later").iterdir())


def test_a_message_names_the_file_as_its_user_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with store_at("store.db") as store:
        assert store.url == "sqlite:///store.db"
        delete(tmp_path / "store.db")
        with pytest.raises(StoreUnusable, match=rf"^store\.db {MOVED}"):
            read(store)
