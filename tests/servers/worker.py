"""A real Celery worker, started as its users start it."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.servers.process import Process

_OURS = ("CELERY", "QBEAT")


def clean_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would steer Celery or qbeat, and with `changes`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_OURS) and key != "APP"}
    # Celery refuses some set-ups as root, and containers run tests as root.
    return kept | {"PYTHONUNBUFFERED": "1", "C_FORCE_ROOT": "1"} | dict(changes or {})


class CeleryWorker(Process):
    """`celery -A APP worker` in a folder; a context manager that waits until the worker is ready.

    `arguments` are appended to the command line and so win over the defaults (INFO, `--pool solo`, one
    process, no gossip or mingle, which only cost start-up time here).
    """

    def __init__(
        self,
        directory: Path,
        app: str = "tasks",
        *,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        name = f"w{uuid.uuid4().hex[:8]}"
        quick = ["--pool", "solo", "--concurrency", "1", "--without-mingle", "--without-gossip"]
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "-l", "INFO", "-n", f"{name}@%h"]
        super().__init__(
            [*command, *quick, *arguments],
            directory=directory,
            log=directory / f"{name}.log",
            env=clean_environment(env),
        )

    def start(self, *, within: float = 30.0) -> None:
        """Start it and wait for its line `ready.`."""
        super().start()
        self.wait_for(r" ready\.$", within=within)

    def stop(self) -> None:
        """A warm shutdown: running tasks are finished."""
        self.end()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
