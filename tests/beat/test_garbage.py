"""The garbage collector of qbeat's own process: held while entries are read, then kept off them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import closing

import pytest
from celery import Celery

from qbeat.beat.app.reading import read_entries
from qbeat.beat.garbage import LOADING, OLD, YOUNG, hold_collector
from qbeat.beat.service import Service
from qbeat.beat.settings import read_settings
from qbeat.store import open_store


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_once_the_entries_are_loaded_the_collector_leaves_them_alone() -> None:
    app = Celery("tasks", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"a": {"task": "tasks.a", "schedule": 60}}
    with closing(open_store("memory://")) as store:
        service = Service(app, store, read_entries(app), read_settings(app, store="memory://"))
        hold_collector()
        assert gc.get_threshold()[0] == LOADING
        service.start()
        service.turn()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert (gc.get_threshold()[0], gc.get_threshold()[2]) == (YOUNG, OLD)
        frozen = gc.get_freeze_count()
        service.turn()  # what comes later is collected as ever
        assert gc.get_freeze_count() <= frozen
        service.finish()
