"""A real worker becomes ready, runs a task and stops."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from celery import Celery

from tests.servers import CeleryWorker, QbeatProcess, clean_environment, eventually
from tests.servers.fixtures import StartWorker

TASKS = """
from celery import Celery
app = Celery("tasks", broker={url!r}, backend={url!r})

@app.task
def add(x, y):
    print(f"adding {{x}} {{y}}")
    return x + y
"""


@pytest.fixture
def app_folder(tmp_path: Path, redis_url: str) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS.format(url=redis_url))
    return tmp_path


def test_a_task_runs_and_its_output_is_readable(
    app_folder: Path, redis_url: str, start_worker: StartWorker
) -> None:
    worker = start_worker(app_folder)
    with Celery(broker=redis_url, backend=redis_url) as client:
        result = client.send_task("tasks.add", (2, 3))
        eventually(lambda: "adding 2 3" in worker.output, what="the worker prints what it adds")
        eventually(result.ready, what="the result is stored")
        assert result.result == 5


def test_a_worker_stops_warmly_and_starts_again(app_folder: Path) -> None:
    with CeleryWorker(app_folder) as worker:
        assert worker.terminate() == 0
        worker.start()
        assert worker.is_running
    assert not worker.is_running


def test_a_worker_whose_app_does_not_load_is_reported_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no_such_module"), CeleryWorker(tmp_path, "no_such_module"):
        pass


def test_the_environment_is_cleared_of_what_steers_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_APP", "someone_elses")
    monkeypatch.setenv("QBEAT_STORE", "someone_elses")
    environment = clean_environment({"CELERY_BROKER_URL": "mine"})
    assert "CELERY_APP" not in environment
    assert "QBEAT_STORE" not in environment
    assert environment["CELERY_BROKER_URL"] == "mine"


def test_a_beat_process_runs_in_its_folder_with_its_environment(tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.environ['ANSWER'], flush=True); input()"
    beat = QbeatProcess(tmp_path, "-c", code, env={"ANSWER": "42"}, command=[sys.executable])
    with beat:
        beat.wait_for(f"^{tmp_path} 42$")
    assert not beat.is_running
