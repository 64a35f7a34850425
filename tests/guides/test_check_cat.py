"""The guide's periodic hook: one task each minute and on Monday morning, through two Mondays of a virtual clock."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery, _state

from qbeat.beat.app.loading import AppOptions, load_app
from qbeat.beat.app.reading import read_entries
from qbeat.beat.clock import VirtualClock
from qbeat.beat.instants import iso
from qbeat.beat.service import Service
from qbeat.beat.settings import read_settings
from qbeat.schedules.base import to_us
from qbeat.store import open_store
from tests.guides.newcomer import PATIENCE, Newcomer, succeeded
from tests.servers import eventually

# A module name of its own: this app is imported into the test's process.
MODULE = "check_cat_of_the_guide"
CHECK_CAT = """
    from celery import Celery
    from celery.schedules import crontab

    app = Celery('check_cat', broker='$BROKER')

    @app.on_after_configure.connect
    def setup_periodic_tasks(sender, **kwargs):
        sender.add_periodic_task(60, check_cat.s())
        sender.add_periodic_task(crontab(hour=7, minute=30, day_of_week=1), check_cat.s())

    @app.task(name='check_cat')
    def check_cat():
        return 'meow'
"""

EACH_MINUTE = "check_cat()"
ON_MONDAYS = "check_cat() [30 7 * * 1]"
MONDAY = datetime(2026, 3, 2, 7, 28, 30, tzinfo=UTC)
WEEK = timedelta(days=7)


@pytest.fixture
def app(newcomer: Newcomer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    newcomer.writes(f"{MODULE}.py", CHECK_CAT)
    monkeypatch.syspath_prepend(newcomer.folder)
    monkeypatch.chdir(newcomer.folder)
    before = _state._tls.current_app
    with load_app(AppOptions(app=MODULE)) as app:
        yield app
    _state._set_current_app(before)
    sys.modules.pop(MODULE)


def _run(app: Celery, clock: VirtualClock, end: datetime) -> None:
    """Start qbeat on a virtual clock, let the clock come to `end`, and stop."""
    with closing(open_store("qbeat.db", clock=clock.now)) as store:
        scheduler = Service(app, store, read_entries(app), read_settings(app), clock).scheduler

        def done_for_now() -> float | None:
            """Tick; how long to wait, once everything that is due was published."""
            wait = scheduler.tick()
            late = any(
                record.due_at is not None and record.due_at <= clock.now() for record in store.entries()
            )
            return None if late or store.unsettled() else max(wait, 1e-6)

        scheduler.start()
        while clock.now() < to_us(end):
            wait = eventually(done_for_now, within=PATIENCE) or 0.0
            clock.advance(min(wait, (to_us(end) - clock.now()) / 1e6))
        eventually(done_for_now, within=PATIENCE)
        scheduler.stop(timeout=PATIENCE)


def test_both_entries_of_one_task_fire_at_their_times_and_run(newcomer: Newcomer, app: Celery) -> None:
    clock = VirtualClock(to_us(MONDAY))
    _run(app, clock, MONDAY + timedelta(minutes=4))
    clock.jump(to_us(MONDAY + WEEK))
    _run(app, clock, MONDAY + WEEK + timedelta(minutes=2))

    half_past_seven = MONDAY.replace(minute=30, second=0)
    mondays = newcomer.asks_qbeat("history", ON_MONDAYS)
    assert [row["fire_time"] for row in mondays] == _iso(half_past_seven, half_past_seven + WEEK)
    assert {row["outcome"] for row in mondays} == {"published"}

    minutes = newcomer.asks_qbeat("history", EACH_MINUTE)
    published = [row for row in minutes if row["outcome"] == "published"]
    first_minutes = [MONDAY + timedelta(minutes=minute) for minute in range(1, 5)]
    next_minutes = [MONDAY + WEEK + timedelta(minutes=minute) for minute in range(3)]
    assert [row["fire_time"] for row in published] == _iso(*first_minutes, *next_minutes)
    [while_away] = [row for row in minutes if row["outcome"] == "skipped"]
    assert while_away["reason"] == "coalesced"
    assert while_away["count"] == WEEK // timedelta(minutes=1) - 5

    worker = newcomer.runs_worker(MODULE)
    succeeded(worker, [row["task_id"] for row in (*mondays, *published)])


def _iso(*instants: datetime) -> list[str]:
    return [iso(to_us(instant)) for instant in instants]


def test_the_minute_entry_fires_in_real_time_too(newcomer: Newcomer) -> None:
    newcomer.writes("tasks.py", CHECK_CAT.replace("add_periodic_task(60,", "add_periodic_task(1,"))
    newcomer.runs_qbeat()
    worker = newcomer.runs_worker()
    succeeded(worker, newcomer.task_ids(EACH_MINUTE))
    names = {entry["name"] for entry in newcomer.asks_qbeat("list")}
    assert names == {EACH_MINUTE, ON_MONDAYS, "celery.backend_cleanup"}
