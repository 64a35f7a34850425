"""The demo's two child processes: a Celery worker and a qbeat, each with its output in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

APP: Final = "qbeat.beat.demo.app"


class ChildError(Exception):
    """A child process ended when it should run; the text has its last lines."""


class Child:
    """A Python module run in a process of its own, apart from the terminal's Ctrl-C."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self._stopped = False
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, with arguments from this module
                [sys.executable, "-m", *arguments],
                cwd=folder,
                env=_environment(folder),
                stdin=subprocess.PIPE,  # it ends with this process: see ``recorder.follow_parent``
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise ``ChildError`` if the process has ended without being asked to."""
        code = self._process.poll()
        if code is not None and not self._stopped:
            raise ChildError(f"the {self.name} ended with exit code {code}; its last lines:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """Return the last lines that it wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, within: float) -> int | None:
        """Ask it to end; return its exit code, ``None`` if it had to be killed after ``within`` seconds."""
        self._stopped = True
        self._process.terminate()
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        return code

    def kill(self) -> None:
        """End it and all of its children at once; nothing happens if they are gone."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


def start_worker(folder: Path) -> Child:
    """Start the demo's worker, with Celery's ordinary pool."""
    options = ["--concurrency", "2", "--loglevel", "INFO", "--hostname", "demo@%h"]
    return Child("worker", ["celery", "-A", APP, "worker", *options], folder)


def start_qbeat(folder: Path, store: Path) -> Child:
    """Start the demo's qbeat on the SQLite file ``store``."""
    return Child("qbeat", ["qbeat.beat.cli", "-A", APP, "-s", str(store), "-l", "INFO"], folder)


def _environment(folder: Path) -> dict[str, str]:
    # A broker or store that the user has set for his own app is none of the demo's business.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CELERY", "QBEAT")) and name != "APP"
    }
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(folder),  # a killed worker leaves a folder there
        "QBEAT_DEMO_FOLDER": str(folder),
        "QBEAT_DEMO_JOURNAL": str(folder / "journal.jsonl"),
    }
