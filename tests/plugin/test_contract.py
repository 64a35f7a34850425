"""What Celery's service expects of the class behind `-S qbeat`: built twice, turned, closed, forked."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from celery import _state
from celery.beat import Scheduler as CeleryScheduler
from celery.beat import Service
from celery.schedules import BaseSchedule

from qbeat.beat.errors import DeclarationError
from qbeat.beat.plugin.scheduler import QbeatScheduler
from tests.plugin.apps import messages
from tests.plugin.conftest import Plugged, ticking
from tests.servers import RedisServer, eventually

SOON = 0.2


class Stop(BaseException):
    """What a signal handler raises."""


def fired(plugged: Plugged, name: str) -> int:
    """How often an entry has fired, by the store."""
    record = plugged.records().get(name)
    return 0 if record is None else record.total_run_count


# --- built


def test_the_entry_point_leads_to_the_class(plugged: Plugged) -> None:
    service = Service(plugged.app, scheduler_cls="qbeat", schedule_filename="celerybeat-schedule")
    assert isinstance(service.get_scheduler(lazy=True), QbeatScheduler)
    assert issubclass(QbeatScheduler, CeleryScheduler)


def test_built_lazily_it_tells_the_banner_and_touches_nothing(plugged: Plugged, tmp_path: Path) -> None:
    plugged.declares("a", 60)
    gc.collect()  # what tests before have left open must not go in between
    before = set(Path("/proc/self/fd").iterdir())
    scheduler = plugged.scheduler(lazy=True)
    assert scheduler.info == f"    . store -> {plugged.store}"
    assert scheduler.max_interval == 1.0
    assert scheduler.schedule == {}
    scheduler.close()
    assert list(tmp_path.iterdir()) == []
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_built_for_real_it_opens_its_store_with_the_first_tick(plugged: Plugged, tmp_path: Path) -> None:
    plugged.declares("a", 60)
    scheduler = plugged.scheduler()
    assert list(scheduler.schedule) == ["a"]
    assert list(tmp_path.iterdir()) == []
    scheduler.tick()
    assert list(plugged.records()) == ["a"]


def test_the_password_of_the_store_stays_out_of_the_banner(plugged: Plugged) -> None:
    scheduler = plugged.scheduler(lazy=True, schedule_filename="postgresql://me:sec/ret@host/name")
    assert scheduler.info == "    . store -> postgresql://me:**@host/name"


def test_an_entry_that_cannot_be_is_refused_when_it_is_built(plugged: Plugged) -> None:
    plugged.declares("a", "often")
    with pytest.raises(DeclarationError, match=r"'a'.*often"):
        plugged.scheduler()


@pytest.mark.parametrize(("asked", "found"), [(None, 1.0), (0, 1.0), (300, 1.0), (0.5, 0.5)])
def test_the_longest_wait_is_a_second_whatever_is_asked(
    plugged: Plugged, asked: float | None, found: float
) -> None:
    scheduler = plugged.scheduler(max_interval=asked)
    assert scheduler.max_interval == found
    assert 0 <= scheduler.tick() <= found


def test_outside_of_a_service_it_changes_nothing_in_the_process(plugged: Plugged) -> None:
    plugged.declares("a", SOON)
    before = signal.getsignal(signal.SIGTERM), _state.task_join_will_block()
    scheduler = plugged.scheduler()
    scheduler.tick()
    assert (signal.getsignal(signal.SIGTERM), _state.task_join_will_block()) == before


def test_as_a_thread_in_a_process_of_others_it_changes_nothing_either(plugged: Plugged) -> None:
    service = Service(plugged.app, scheduler_cls=plugged.scheduler, max_interval=1)
    before = signal.getsignal(signal.SIGTERM), _state.task_join_will_block()
    plugged.declares("a", SOON)
    thread = threading.Thread(target=service.start, daemon=True)
    thread.start()
    try:
        eventually(lambda: fired(plugged, "a") > 0, within=20)
        assert (signal.getsignal(signal.SIGTERM), _state.task_join_will_block()) == before
    finally:
        service.stop(wait=True)
    thread.join(10)
    assert not thread.is_alive()


# --- turned and closed


def test_ticks_fire_what_is_due(plugged: Plugged, redis_server: RedisServer) -> None:
    plugged.declares("a", SOON, 1)
    scheduler = plugged.scheduler()
    eventually(ticking(scheduler, lambda: len(messages(redis_server)) >= 3))
    scheduler.close()
    sent = messages(redis_server)
    assert {one["periodic_task_name"] for one in sent} == {"a"}
    assert len({one["qbeat"]["fire_time"] for one in sent}) == len(sent) == fired(plugged, "a")


def test_it_can_be_closed_at_any_time_and_again(plugged: Plugged) -> None:
    plugged.declares("a", SOON)
    scheduler = plugged.scheduler()
    scheduler.close()
    scheduler.tick()
    scheduler.close()
    scheduler.close()
    scheduler.tick()
    assert list(plugged.records()) == ["a"]


class ClosingSchedule(BaseSchedule):
    """Calls something in the middle of a tick, once the engine asks when it is due."""

    act: Callable[[], object] | None = None

    def is_due(self, last_run_at: datetime) -> tuple[bool, float]:
        act, self.act = self.act, None
        if act is not None:
            act()
        return False, 0.05


def test_closed_in_the_middle_of_a_tick_it_ends_after_it(plugged: Plugged) -> None:
    schedule = ClosingSchedule(app=plugged.app)
    plugged.declares("a", SOON)
    plugged.declares("b", schedule)
    scheduler = plugged.scheduler()
    schedule.act = scheduler.close
    scheduler.tick()
    assert scheduler._engine is None
    assert set(plugged.records()) == {"a", "b"}


def test_a_signal_during_a_tick_is_handled_after_it(plugged: Plugged) -> None:
    schedule = ClosingSchedule(app=plugged.app)
    plugged.declares("a", schedule)
    scheduler = plugged.scheduler()
    seen: list[bool] = []

    def handle(number: int, frame: object) -> None:
        scheduler.close()
        seen.append(scheduler._engine is None)
        raise Stop

    def ask_twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        seen.append(scheduler._engine is None)

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        scheduler._deferral.install()
        schedule.act = ask_twice
        with pytest.raises(Stop):
            scheduler.tick()
    finally:
        signal.signal(signal.SIGTERM, previous)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert seen == [False, True]


def test_a_second_signal_during_a_tick_goes_through_at_once(plugged: Plugged) -> None:
    schedule = ClosingSchedule(app=plugged.app)
    plugged.declares("a", schedule)
    scheduler = plugged.scheduler()
    seen: list[str] = []

    def handle(number: int, frame: object) -> None:
        seen.append("handled")
        if len(seen) == 2:
            raise Stop

    def ask_twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        seen.append("held")
        os.kill(os.getpid(), signal.SIGTERM)

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        scheduler._deferral.install()
        schedule.act = ask_twice
        with pytest.raises(Stop):
            scheduler.tick()
    finally:
        signal.signal(signal.SIGTERM, previous)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert seen[:2] == ["held", "handled"]


def test_a_store_that_is_away_is_waited_for(plugged: Plugged, redis_server: RedisServer) -> None:
    plugged.declares("a", 60)
    plugged.app.conf.qbeat_store = redis_server.database_url(3)
    scheduler = plugged.scheduler()
    redis_server.stop()
    try:
        assert 0 < scheduler.tick() <= 1
    finally:
        redis_server.start()
    eventually(ticking(scheduler, lambda: scheduler._engine is not None and scheduler._engine.progress()))


def test_a_forked_child_opens_its_own_store_and_leaves_the_parents_alone(plugged: Plugged) -> None:
    plugged.declares("a", SOON, "from", os.getpid())
    scheduler = plugged.scheduler()
    eventually(ticking(scheduler, lambda: fired(plugged, "a") >= 1))
    inherited = scheduler._engine
    child = os.fork()
    if child == 0:
        # Whatever happens here must not come back into pytest.
        try:
            scheduler.tick()
            own = scheduler._engine is not inherited
            scheduler.close()
            os._exit(0 if own else 1)
        except BaseException:  # noqa: BLE001 - as it says
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    count = fired(plugged, "a")
    eventually(ticking(scheduler, lambda: fired(plugged, "a") > count))
    assert scheduler._engine is inherited


def test_a_guest_leaves_the_garbage_collector_of_its_host_alone(plugged: Plugged) -> None:
    plugged.declares("a", 60)
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    scheduler = plugged.scheduler()
    scheduler.tick()
    scheduler.tick()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (thresholds, frozen)
