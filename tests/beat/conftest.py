"""Fixtures for the tests of the service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import celery._state
import pytest
from hypothesis import HealthCheck, settings

from qbeat.beat.service import keep_off_result_backend
from tests.beat.apps import Apps, apps_in
from tests.beat.confirmed import MakeSender, senders
from tests.beat.publishing import KeepOff
from tests.beat.world import World

# The same examples in every run, and as long as it takes; HYPOTHESIS_PROFILE=thorough draws many fresh ones.
_CALM = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=100, suppress_health_check=_CALM
)
settings.register_profile("thorough", deadline=None, max_examples=3000, suppress_health_check=_CALM)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Apps]:
    """A place to write apps, in a folder of the test's own; the environment is as it was afterwards."""
    for variable in (
        "CELERY_LOADER", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND",
        "CELERY_CONFIG_MODULE", "CELERY_SKIP_CHECKS", "QBEAT_STORE",
    ):  # fmt: skip
        monkeypatch.setenv(variable, "")  # so that whatever a test sets there is undone
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    with apps_in(tmp_path) as found:
        yield found


@pytest.fixture
def world() -> World:
    """A store, a broker and replicas on a clock that the test moves."""
    return World()


@pytest.fixture
def off_result_backend(monkeypatch: pytest.MonkeyPatch) -> KeepOff:
    """What the service does in its own process, undone afterwards."""
    monkeypatch.setattr(celery._state, "_task_join_will_block", False)
    return keep_off_result_backend


@pytest.fixture
def make_sender() -> Iterator[MakeSender]:
    """`make_sender(app)`: a sender with confirmations for this thread, closed after the test."""
    with senders() as make:
        yield make
