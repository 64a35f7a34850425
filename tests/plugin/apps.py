"""Apps in files, the processes that run them, and what these leave in Redis and behind."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from string import Template
from textwrap import dedent
from typing import Any

from tests.servers import QbeatProcess, RedisServer
from tests.servers.process import state_and_group

CELERY = (sys.executable, "-m", "celery")
MARK = "TEST_MARK"
"""The environment variable by which a test knows the processes that are its own."""

PRELUDE = """
    import os
    from celery import Celery, signals

    app = Celery("tasks", broker="$BROKER")
    app.conf.result_expires = None
    app.conf.worker_hijack_root_logger = True
    app.conf.broker_connection_retry_on_startup = True

    @app.task
    def tick(name):
        return name

    @signals.beat_embedded_init.connect
    def note_embedded(sender, **_):
        with open("embedded.pids", "a") as file:
            print(os.getpid(), file=file, flush=True)
"""


def write_app(folder: Path, broker: str, text: str, *, prelude: str = PRELUDE) -> None:
    """Write `tasks.py`: an app with a task `tick`, and `text`, in which `$BROKER` is the broker's URL."""
    body = dedent(prelude) + dedent(text)
    (folder / "tasks.py").write_text(Template(body).safe_substitute(BROKER=broker))


class Celery(QbeatProcess):
    """`celery ARGUMENTS` in a folder, as a context manager."""

    def __init__(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, *arguments, env=env, command=CELERY)


def messages(redis: RedisServer, queue: str = "celery") -> list[dict[str, Any]]:
    """What waits in a queue, the oldest first: headers, with the arguments under `args`."""
    found: list[dict[str, Any]] = []
    for raw in reversed(redis.client.lrange(queue, 0, -1)):
        payload = json.loads(raw)
        args, _, _ = json.loads(base64.b64decode(payload["body"]))
        found.append({**payload["headers"], "args": args})
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects that a process has written into a file so far, one a line."""
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def embedded_pids(folder: Path) -> list[int]:
    """The processes that were embedded beats in this folder, in the order of their start."""
    path = folder / "embedded.pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def marked_processes(mark: str) -> list[str]:
    """The command lines of the living processes whose environment carries the mark."""
    wanted = f"{MARK}={mark}".encode()
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:  # gone meanwhile
            continue
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs, and is not just waiting to be reaped."""
    try:
        return state_and_group(pid)[0] != "Z"
    except OSError:
        return False


def each(items: Iterable[Any], holds: Callable[[Any], bool]) -> bool:
    """Whether there are items and all of them pass."""
    items = list(items)
    return bool(items) and all(map(holds, items))
