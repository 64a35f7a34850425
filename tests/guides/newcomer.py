"""A newcomer's folder: an app written as a guide says, its worker, its qbeat, and a look at what came of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template
from textwrap import dedent
from typing import Any

from celery import Celery
from celery.result import AsyncResult

from tests.servers import CeleryWorker, QbeatProcess, clean_environment, eventually, run_qbeat
from tests.servers.fixtures import StartQbeat, StartWorker

# Under a loaded machine the first firing may wait for two interpreters to start.
PATIENCE = 60.0


class Newcomer:
    """Writes files into a folder, starts worker and qbeat there, and looks results up by task id.

    `broker` and `backend` are URLs; in the files they stand as `$BROKER` and `$BACKEND`. `store` is where
    this folder's qbeat remembers.
    """

    def __init__(
        self, folder: Path, broker: str, backend: str, start_worker: StartWorker, start_qbeat: StartQbeat
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.backend = backend
        self.store = "qbeat.db"
        self._start_worker = start_worker
        self._start_qbeat = start_qbeat
        self._qbeat: QbeatProcess | None = None
        self._client: Celery | None = None

    def writes(self, name: str, text: str) -> None:
        """Write one file of the app."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(dedent(text)).safe_substitute(BROKER=self.broker, BACKEND=self.backend))

    def runs_worker(self, app: str = "tasks", *arguments: str) -> CeleryWorker:
        """`celery -A APP worker`, ready."""
        return self._start_worker(self.folder, app, arguments=arguments)

    def runs_qbeat(self, app: str = "tasks", *arguments: str) -> QbeatProcess:
        """`qbeat -A APP`, started."""
        self._qbeat = self._start_qbeat(self.folder, "-A", app, *arguments)
        return self._qbeat

    def runs(self, *command: str) -> str:
        """Run a Python module or script to its end, as `python COMMAND`; what it printed."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=clean_environment({"PYTHONPATH": str(self.folder)}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def asks_qbeat(self, command: str, *arguments: str) -> list[dict[str, Any]]:
        """The objects that `qbeat COMMAND --json -s STORE` prints, without the app."""
        done = run_qbeat(self.folder, command, "--json", "-s", self.store, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        if command == "history":
            return [json.loads(line) for line in done.stdout.splitlines()]
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def published(self, *entries: str, count: int = 1) -> dict[str, list[str]]:
        """Wait until `count` firings of each entry were published; their task ids, the oldest first."""
        assert self._qbeat is not None, "qbeat was never started"
        # Its log is cheaper to watch than its history, and a firing is in the history a moment later.
        for entry in entries:
            self._qbeat.wait_for(rf"\b{re.escape(entry)} \(.* fired for ", count=count, within=PATIENCE)

        def task_ids() -> dict[str, list[str]]:
            rows = [row for row in self.asks_qbeat("history") if row["outcome"] == "published"]
            found = {entry: [row["task_id"] for row in rows if row["entry"] == entry] for entry in entries}
            return found if all(len(ids) >= count for ids in found.values()) else {}

        return eventually(task_ids, within=PATIENCE, what=f"{entries} are in the history {count} times")

    def task_ids(self, *entries: str) -> list[str]:
        """The task id of each entry's first firing, as soon as all were published."""
        return [ids[0] for ids in self.published(*entries).values()]

    def result(self, task_id: str) -> AsyncResult[Any]:
        """What a program with the same broker and result backend knows of a task."""
        return self.client.AsyncResult(task_id)

    def finished(self, task_id: str) -> AsyncResult[Any]:
        """The result, once there is one."""
        result = self.result(task_id)
        eventually(result.ready, within=PATIENCE, what=f"task {task_id} has a result")
        return result

    @property
    def client(self) -> Celery:
        """An app that only reads results."""
        if self._client is None:
            self._client = Celery(broker=self.broker, backend=self.backend, set_as_current=False)
        return self._client

    @client.setter
    def client(self, app: Celery) -> None:
        self._client = app

    def declares_reply_queue(self) -> None:
        """Make the queue from which the client reads results of `rpc://`: RabbitMQ drops what has no queue."""
        with self.client.connection_for_read() as connection:
            self.client.backend.binding(connection.default_channel).declare()

    def leaves(self) -> None:
        """Close what the reading of results has opened."""
        if self._client is not None:
            self._client.close()


def succeeded(worker: CeleryWorker, task_ids: Sequence[str]) -> None:
    """Wait until a worker has said of every task that it succeeded, and see that it ran none of them twice."""
    for task_id in task_ids:
        lines = worker.wait_for(rf"\[{task_id}\] succeeded", within=PATIENCE)
        assert len(lines) == 1, lines
