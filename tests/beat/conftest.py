"""Fixtures for the tests of the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.beat.apps import Apps, apps_in


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
