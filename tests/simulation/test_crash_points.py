"""A replica is killed before and after each call to store and broker; the next one loses and doubles nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import pytest

from qbeat.store import open_store
from qbeat.store.memory import MemoryStore
from tests.simulation.crash_points import (
    SCENARIOS,
    Broker,
    Crash,
    FileBroker,
    Pushing,
    RedisBroker,
    Scenario,
    Scene,
    Tripwire,
    ordinary_tick,
    recover,
)
from tests.simulation.mutations import MUTATIONS
from tests.store.conftest import KINDS, world_of
from tests.store.making import Clock

MAX_STEPS = 200
scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


@pytest.fixture(params=[*KINDS, "memory, exactly once"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """An empty store of each kind, and a broker; its marks are its own matter, so one store with them is enough."""
    kind, _, exactly_once = request.param.partition(", ")
    with ExitStack() as opened:
        world = world_of(kind, request, tmp_path, opened)
        yield Scene(world.connect(), Broker(exactly_once=bool(exactly_once)), world.clock)


def hold(scenario: Scenario, scene: Scene) -> None:
    """Crash at each step of the scenario in turn, and have a new replica recover each time."""
    for step in range(MAX_STEPS):
        scene.clear()
        wire = Tripwire(step)
        try:
            scenario(scene, wire)
        except Crash:
            scene.store.close()
            assert recover(scene) == [], f"step {step}: {wire.steps[-1]}"
        else:
            assert step >= 2
            return
    pytest.fail(f"{MAX_STEPS} steps did not suffice")


@scenarios
def test_nothing_is_lost_or_doubled_wherever_a_replica_ends(scenario: Scenario, scene: Scene) -> None:
    hold(scenario, scene)


@scenarios
def test_nothing_is_lost_or_doubled_where_claims_push(
    scenario: Scenario, redis_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with ExitStack() as opened:
        world = world_of("redis", request, tmp_path, opened)
        hold(scenario, Scene(world.connect(), RedisBroker(redis_url), world.clock, Pushing()))


# --- a process of its own, killed with SIGKILL


def live_until(step: int, scenario: Scenario, folder: Path, started_at: int) -> None:
    """Play a scenario in this process and kill it at a step."""
    wire = Tripwire(step, end=lambda: os.kill(os.getpid(), signal.SIGKILL))
    clock = Clock(started_at)
    with open_store(str(folder / "store.db"), clock=clock) as store:
        scenario(Scene(store, FileBroker(folder / "broker"), clock), wire)


@scenarios
def test_nothing_is_lost_when_the_process_is_killed(scenario: Scenario, tmp_path: Path) -> None:
    clock = Clock()
    for step in range(MAX_STEPS):
        clock.now += 60_000_000
        process = get_context("fork").Process(target=live_until, args=(step, scenario, tmp_path, clock.now))
        process.start()
        process.join()
        clock.now += 10_000_000
        with open_store(str(tmp_path / "store.db"), clock=clock) as store:
            scene = Scene(store, FileBroker(tmp_path / "broker"), clock)
            assert recover(scene) == [], f"step {step}"
            scene.clear()
        if process.exitcode == 0:
            assert step >= 2
            return
        assert process.exitcode == -signal.SIGKILL
    pytest.fail(f"{MAX_STEPS} steps did not suffice")


def test_a_bug_shows() -> None:
    clock = Clock()
    scene = Scene(MemoryStore(clock), Broker(exactly_once=True), clock)
    (settling_first,) = (one for one in MUTATIONS if one.name == "settle_before_publishing")
    with settling_first.applied(), pytest.raises(AssertionError, match="published 0 times"):
        hold(ordinary_tick, scene)
