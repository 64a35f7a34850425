"""Which store `-s` means in a command of Celery's."""

from __future__ import annotations

import shelve
import sqlite3
from pathlib import Path

import pytest
from celery import Celery

from qbeat.beat.plugin.store_choice import is_celerys, store_of
from qbeat.store import open_store


@pytest.fixture
def app() -> Celery:
    return Celery("tasks", broker="memory://", set_as_current=False)


@pytest.mark.parametrize("filename", [None, "", "celerybeat-schedule"])
def test_celerys_default_leaves_the_choice_to_qbeats_settings(app: Celery, filename: str | None) -> None:
    assert store_of(app, filename) is None


def test_the_file_that_the_app_has_for_celerys_scheduler_is_not_qbeats(app: Celery) -> None:
    app.conf.beat_schedule_filename = "/var/run/celery/beat"
    assert store_of(app, "/var/run/celery/beat") is None


@pytest.mark.parametrize(
    "given", ["redis://host/1", "postgresql://host/name", "my.db", "/var/lib/qbeat/store"]
)
def test_what_the_user_gives_is_the_store(app: Celery, given: str) -> None:
    assert store_of(app, given) == given


def test_a_url_in_the_setting_for_celerys_file_is_meant_for_qbeat(app: Celery) -> None:
    app.conf.beat_schedule_filename = "redis://host/1"
    assert store_of(app, "redis://host/1") == "redis://host/1"


def test_beside_the_file_of_celerys_scheduler_there_is_a_place_for_a_store(
    app: Celery, tmp_path: Path
) -> None:
    with shelve.open(str(tmp_path / "state")) as shelf:
        shelf["entries"] = {}
    assert store_of(app, str(tmp_path / "state")) == str(tmp_path / "qbeat.db")
    assert store_of(app, "/var/lib/celery/celerybeat-schedule.db") == "/var/lib/celery/qbeat.db"


def test_a_shelf_of_python_3_13_is_told_from_a_store_of_qbeats(tmp_path: Path) -> None:
    shelf, store = tmp_path / "shelf", tmp_path / "store"
    with sqlite3.connect(shelf) as connection:
        connection.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
    open_store(str(store)).close()
    assert is_celerys(shelf)
    assert not is_celerys(store)
    assert not is_celerys(tmp_path / "new")
