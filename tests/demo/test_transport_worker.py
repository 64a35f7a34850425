"""Real Celery workers on the folder transport."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

from celery import Celery

from tests.servers.fixtures import StartWorker
from tests.servers.waiting import eventually

processes = multiprocessing.get_context("spawn")

APP = """
import os
from celery import Celery

app = Celery("tasks", broker="filesystem://localhost")
app.conf.broker_transport = "qbeat.beat.demo.transport:Transport"
app.conf.broker_transport_options = {"folder": "broker", "polling_interval": 0.005}
app.conf.task_acks_late = True
app.conf.worker_prefetch_multiplier = 50

@app.task
def note(number):
    with open("noted", "a") as file:
        file.write(f"{number}\\n")
"""


def client(folder: Path) -> Celery:
    app = Celery(broker="filesystem://localhost", set_as_current=False)
    app.conf.broker_transport = "qbeat.beat.demo.transport:Transport"
    app.conf.broker_transport_options = {"folder": str(folder / "broker")}
    return app


def noted(folder: Path) -> list[int]:
    path = folder / "noted"
    return sorted(map(int, path.read_text().split())) if path.exists() else []


def send_numbers(folder: Path, publisher: int) -> None:
    app = client(folder)
    for number in range(100):
        app.send_task("tasks.note", args=[publisher * 100 + number], kwargs={})


def test_a_real_worker_under_several_publishers_runs_every_task_once(
    tmp_path: Path, start_worker: StartWorker
) -> None:
    (tmp_path / "tasks.py").write_text(APP)
    worker = start_worker(tmp_path)
    writers = [processes.Process(target=send_numbers, args=(tmp_path, number)) for number in range(3)]
    for process in writers:
        process.start()
    eventually(lambda: len(noted(tmp_path)) >= 300, within=60)
    for process in writers:
        process.join(10)
    assert noted(tmp_path) == list(range(300))
    worker.kill()  # a warm shutdown takes Celery seconds


def test_a_real_worker_answers_ping_and_stops_cleanly(tmp_path: Path, start_worker: StartWorker) -> None:
    (tmp_path / "tasks.py").write_text(APP)
    worker = start_worker(tmp_path)
    [answer] = client(tmp_path).control.ping(timeout=10, limit=1)
    assert list(answer.values()) == [{"ok": "pong"}]
    assert worker.terminate() == 0


def test_the_events_of_a_real_worker_are_heard(tmp_path: Path, start_worker: StartWorker) -> None:
    (tmp_path / "tasks.py").write_text(APP)
    worker = start_worker(tmp_path, arguments=["--task-events"])
    app = client(tmp_path)
    heard: list[str] = []
    with app.connection() as conn:
        receiver = app.events.Receiver(conn, handlers={"*": lambda event: heard.append(event["type"])})
        # Celery sends the first heartbeat when it is asked for, and a receiver asks at its start.
        for _ in receiver.itercapture(limit=1, timeout=10, wakeup=True):
            break
    assert any(kind.startswith("worker-") for kind in heard), json.dumps(heard)
    worker.kill()


def test_tasks_that_a_killed_worker_had_in_hand_run_on_the_next_one(
    tmp_path: Path, start_worker: StartWorker
) -> None:
    (tmp_path / "tasks.py").write_text(
        APP.replace("    with", "    if number == 0:\n        os.kill(os.getpid(), 9)\n    with")
    )
    doomed = start_worker(tmp_path)
    app = client(tmp_path)
    for number in [1, 2, 0, 3, 4]:
        app.send_task("tasks.note", args=[number])
    doomed.wait(within=20)
    (tmp_path / "tasks.py").write_text(APP)
    heir = start_worker(tmp_path)
    eventually(lambda: noted(tmp_path) == [0, 1, 2, 3, 4], within=20)
    heir.kill()
