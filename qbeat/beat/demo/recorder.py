"""Included by the demo's app: writes what each process publishes and executes into the demo's journal.

Outside a demo (without ``QBEAT_DEMO_JOURNAL``) it does nothing.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celery import signals

from qbeat.beat.demo.journal import Executed, Published, Ready, append


def record(journal: Path) -> None:
    """Connect to Celery's signals and write to ``journal``."""

    def on_ready(**_: Any) -> None:
        append(journal, Ready(time.time()))

    def on_publish(headers: Mapping[str, Any], **_: Any) -> None:
        firing = headers.get("qbeat")
        if firing:
            append(journal, Published(time.time(), firing["entry"], firing["fire_time"], headers["id"]))

    def on_executed(task: Any, retval: Any, state: str, **_: Any) -> None:
        append(journal, _executed(task, retval, state))

    signals.worker_ready.connect(on_ready, weak=False)
    signals.after_task_publish.connect(on_publish, weak=False)
    signals.task_postrun.connect(on_executed, weak=False)


def follow_parent() -> None:
    """End this process, as SIGTERM does, when the demo that started it is gone, however it went."""
    # The demo holds the other end of standard input and never writes to it.
    threading.Thread(target=_await_end_of_input, daemon=True, name="follow-parent").start()


def _await_end_of_input() -> None:
    # Not through sys.stdin: its lock, held here, would be held for ever in the worker's forked children.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _executed(task: Any, retval: Any, state: str) -> Executed:
    request = task.request
    succeeded = state == "SUCCESS"
    return Executed(
        at=time.time(),
        task=task.name,
        task_id=request.id,
        root_id=request.root_id or request.id,
        parent_id=request.parent_id,
        succeeded=succeeded,
        answer=repr(retval) if succeeded else f"{type(retval).__name__}: {retval}",
        continues=bool(request.chain),
    )


_journal = os.environ.get("QBEAT_DEMO_JOURNAL")
if _journal:
    record(Path(_journal))
    follow_parent()
