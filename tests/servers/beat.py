"""A real `qbeat` process, started as its users start it."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.servers.process import Process
from tests.servers.worker import clean_environment

QBEAT = Path(sys.executable).with_name("qbeat")


class QbeatProcess(Process):
    """`qbeat ARGUMENTS` in a folder; a context manager that starts it and ends it.

    `start` does not wait: what to wait for is the test's own business (`wait_for`, `wait`).
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        command: Sequence[str | Path] = (QBEAT,),
    ) -> None:
        log = directory / f"qbeat-{uuid.uuid4().hex[:8]}.log"
        super().__init__([*command, *arguments], directory=directory, log=log, env=clean_environment(env))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def run_qbeat(
    directory: Path, *arguments: str, env: Mapping[str, str] | None = None, within: float = 30.0
) -> subprocess.CompletedProcess[str]:
    """Run a short `qbeat` command to its end; `returncode`, `stdout` and `stderr` apart."""
    return subprocess.run(
        [QBEAT, *arguments],
        cwd=directory,
        env=clean_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
