"""Two workers with qbeat inside, one store, and `kill -9` for one of them: each fire time is executed once.

By default it takes some forty seconds; `QBEAT_TWO_WORKERS=120` makes it two minutes.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.plugin.apps import MARK, embedded_pids, lines, marked_processes, write_app
from tests.servers import QbeatProcess, RedisServer, eventually
from tests.servers.fixtures import StartWorker
from tests.torture.oracle import Ledger

SECONDS = int(os.environ.get("QBEAT_TWO_WORKERS", "24"))
PATIENCE = SECONDS + 90

APP = """
    import json

    @app.task(bind=True, name="tasks.note")
    def note(self):
        # One line that is written as a whole, or not at all.
        request = self.request
        line = json.dumps({"id": request.id, **request.qbeat})
        file = os.open("executed.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, (line + "\\n").encode())
        os.close(file)

    # Many, so that each of the two surely has a share of them.
    for number in range(20):
        app.add_periodic_task(0.5 + 0.3 * number, note.s(), name=f"entry-{number}")
"""

Workers = tuple[QbeatProcess, QbeatProcess]


@pytest.fixture
def mark() -> str:
    """What the processes of the two workers carry in their environment."""
    return uuid.uuid4().hex


@pytest.fixture
def workers(tmp_path: Path, redis_url: str, mark: str) -> Iterator[Workers]:
    """Two workers, not yet started."""
    write_app(tmp_path, redis_url, APP)
    quick = ("-l", "INFO", "-c", "2", "--without-mingle", "--without-gossip")
    one, other = (
        QbeatProcess(tmp_path, "-A", "tasks", "worker", "-B", *quick, "-n", f"{name}@here", env={MARK: mark})
        for name in ("one", "other")
    )
    yield one, other
    for worker in (one, other):
        worker.end()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(2 * PATIENCE)
def test_every_fire_time_is_executed_exactly_once_though_one_worker_is_killed(  # noqa: PLR0917 - fixtures
    workers: Workers,
    mark: str,
    tmp_path: Path,
    redis_url: str,
    redis_server: RedisServer,
    start_worker: StartWorker,
) -> None:
    one, other = workers
    executed = tmp_path / "executed.jsonl"

    def executions() -> int:
        """How often the entry was executed that fires twice a second."""
        return sum(line["entry"] == "entry-0" for line in lines(executed))

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.wait_for("fired for", within=60)
    eventually(lambda: executions() >= SECONDS, within=PATIENCE)
    _take_off_the_queue("one@here", redis_url)
    # Its last look into the queue, which lasts a second at most, may still take a message, and put it back.
    before = executions()
    eventually(lambda: executions() >= before + 6, within=30)
    # The worker alone, not its group: its children must notice by themselves.
    os.kill(one.pid, 9)
    eventually(lambda: len(marked_processes(mark)) == 4, within=15, what="only the other worker's are left")
    before = executions()
    eventually(lambda: executions() >= before + SECONDS, within=PATIENCE)
    assert other.terminate(within=30) == 0
    assert marked_processes(mark) == []
    assert len(embedded_pids(tmp_path)) == 2

    # What the last tick has sent is left to a worker without qbeat.
    start_worker(tmp_path)
    ledger = Ledger(str(tmp_path / "qbeat.db"))
    published = ledger.task_ids("published")
    eventually(lambda: published <= {line["id"] for line in lines(executed)}, within=30)
    seen = lines(executed)
    assert {line["id"] for line in seen} == published
    assert Counter((line["entry"], line["fire_time"]) for line in seen).most_common(1)[0][1] == 1
    assert len(seen) == len(published) == ledger.count("published")
    assert ledger.problems() == []
    assert ledger.count("claimed") == ledger.count("failed") == 0
    assert redis_server.client.llen("celery") == 0


def _take_off_the_queue(node: str, broker: str) -> None:
    """Have a worker consume no more, and wait until it is idle: what it has begun would die with it."""
    with Celery(broker=broker, set_as_current=False) as app:
        eventually(lambda: app.control.cancel_consumer("celery", destination=[node], reply=True), within=20)
        inspect = app.control.inspect(destination=[node])
        eventually(lambda: inspect.active() == {node: []} and inspect.reserved() == {node: []}, within=20)
