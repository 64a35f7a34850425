"""One running qbeat, as the examples in deploy/ start it, for all tests that ask what it really exports."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from tests.deploy.exported import Exported, parse
from tests.deploy.files import DEPLOY
from tests.servers import QbeatProcess, eventually


@pytest.fixture(scope="session")
def health_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a running qbeat tells its health."""
    folder = tmp_path_factory.mktemp("deploy")
    environment = {"CELERY_APP": "tasks", "CELERY_BROKER_URL": "memory://", "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = ["--workdir", str(DEPLOY / "example"), "-s", str(folder / "qbeat.db")]
    # The watchdog looks into the store four times within its bound, so a short one shows its metrics soon.
    arguments += ["--health", "127.0.0.1:0", "qbeat_watchdog_after=2"]
    with QbeatProcess(folder, *arguments, env=environment) as qbeat:
        (line,) = qbeat.wait_for(r"http://\S+/healthz")
        yield line.partition("at ")[2].partition("/healthz")[0]


@pytest.fixture(scope="session")
def exported(health_url: str) -> Exported:
    """What it exports, once the watchdog has looked into the store and the store has answered each verb."""

    def complete() -> Exported | None:
        with urlopen(f"{health_url}/metrics") as answer:
            found = parse(answer.read().decode())
        return found if {"qbeat_replicas", "qbeat_store_seconds_bucket"} <= set(found.samples) else None

    seen = eventually(complete, within=20)
    assert seen is not None
    return seen
