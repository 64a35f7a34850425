"""The image's command as a container runs it: as PID 1, on a root that cannot be written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, image_environment, instruction
from tests.servers import QbeatProcess, clean_environment, eventually

SCRIPT = """
set -e
mount -t tmpfs none "$WRITABLE"
mount -o remount,bind,ro /
if touch /written 2>/dev/null; then echo "the root can be written"; exit 1; fi
cd "$APP"
exec "$@"
"""
"""Within namespaces of its own: nothing of this is seen outside."""

CONTAINER = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


def can_contain() -> bool:
    if not shutil.which("unshare"):
        return False
    attempt = [*CONTAINER, "sh", "-c", "mount -o remount,bind,ro /"]
    return subprocess.run(attempt, capture_output=True, timeout=10, check=False).returncode == 0


def child_of(pid: int) -> int | None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def number_inside(pid: int) -> str:
    (line,) = (each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if "NSpid" in each)
    return line.split()[-1]


@pytest.mark.skipif(not can_contain(), reason="needs the right to make namespaces")
def test_sigterm_ends_the_image_s_command_as_pid_1_on_a_read_only_root(tmp_path: Path) -> None:
    writable = tmp_path / "writable"
    writable.mkdir()
    environment = image_environment() | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CELERY_BROKER_URL": "memory://",
        "QBEAT_STORE": str(writable / "qbeat.db"),
        "QBEAT_HEALTH": "127.0.0.1:0",
        "WRITABLE": str(writable),
        "APP": str(DEPLOY / "example"),
    }
    command = [*CONTAINER, "sh", "-c", SCRIPT, "sh", *instruction("CMD")]
    with QbeatProcess(tmp_path, env=clean_environment(environment), command=command) as outside:
        outside.wait_for("Health is told at")
        inside = eventually(lambda: child_of(outside.pid))
        assert inside is not None
        assert number_inside(inside) == "1"
        os.kill(inside, signal.SIGTERM)
        assert outside.wait(within=15) == 0


SLOW = """
import time
from celery import Celery

app = Celery("slow", broker="memory://")
print("importing", flush=True)
time.sleep(300)
"""
"""An app whose import takes longer than anybody waits."""


@pytest.mark.skipif(not can_contain(), reason="needs the right to make namespaces")
def test_sigterm_ends_pid_1_while_it_still_imports_the_app(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    command = [*CONTAINER, str(Path(sys.executable).with_name("qbeat")), "-A", "slow"]
    with QbeatProcess(tmp_path, env=clean_environment(), command=command) as outside:
        outside.wait_for("^importing$")
        inside = eventually(lambda: child_of(outside.pid))
        assert inside is not None
        assert number_inside(inside) == "1"
        os.kill(inside, signal.SIGTERM)
        assert outside.wait(within=15) == 0
        assert "qbeat was told to stop while it was starting; nothing has fired." in outside.output
