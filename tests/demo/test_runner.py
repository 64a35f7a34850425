"""`qbeat demo` as a person runs it."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from tests.servers.beat import run_qbeat
from tests.servers.fixtures import StartQbeat
from tests.servers.waiting import eventually


def descendants(pid: int) -> set[int]:
    """The children of a process, and theirs."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = {int(child): int(parent) for child, parent in map(str.split, table.stdout.splitlines())}
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= more
    return found


def running(pids: set[int]) -> set[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True)
    alive = {
        int(pid) for pid, state in map(str.split, listed.stdout.splitlines()) if not state.startswith("Z")
    }
    return pids & alive


def test_every_fire_time_is_published_once_and_executed_once_whatever_the_user_has_set(
    tmp_path: Path,
) -> None:
    strangers = {"CELERY_BROKER_URL": "redis://nowhere", "QBEAT_STORE": "/nowhere/x", "TMPDIR": str(tmp_path)}
    ended = run_qbeat(tmp_path, "demo", "--seconds", "7", "--json", env=strangers, within=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = json.loads(ended.stdout)
    # Every 2, 5, 6 and 7 seconds from one anchor; whether a minute begins within the span is chance.
    assert counts["planned"] in {3 + 1 + 1 + 1, 3 + 1 + 1 + 1 + 1}
    assert counts["published"] == counts["executed"] == counts["planned"]
    assert counts["tasks_run"] == counts["planned"] + 1, "the chain has two tasks"
    assert counts["tasks_failed"] == 1
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_the_demo_with_its_verdict_and_leaves_nothing(
    tmp_path: Path, start_qbeat: StartQbeat
) -> None:
    (tmp_path / "temporary").mkdir()
    demo = start_qbeat(tmp_path, "demo", env={"TMPDIR": str(tmp_path / "temporary")})
    demo.wait_for(r"answers +greet the world", within=60)
    demo.wait_for(r"fails +pour milk", within=60)
    children = descendants(demo.pid)
    assert len(children) >= 3
    demo.signal(signal.SIGINT)
    assert demo.wait(within=60) == 0
    assert "Every fire time was published once and executed once." in demo.output
    assert not running(children)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_ctrl_c_while_it_starts_ends_it_at_once(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    demo = start_qbeat(tmp_path, "demo", "--folder", "kept")
    eventually((tmp_path / "kept" / "worker.log").exists, within=30)
    children = descendants(demo.pid)
    demo.signal(signal.SIGINT)
    assert demo.wait(within=10) == 130
    assert children
    assert not running(children)


def test_a_killed_demo_takes_its_children_along_and_leaves_the_folder_that_it_was_given(
    tmp_path: Path, start_qbeat: StartQbeat
) -> None:
    demo = start_qbeat(tmp_path, "demo", "--folder", "kept")
    demo.wait_for(r"answers +greet the world", within=60)
    children = descendants(demo.pid)
    assert len(children) >= 3
    demo.signal(signal.SIGKILL)
    demo.wait()
    eventually(lambda: not running(children), within=30)
    assert "greet the world" in run_qbeat(tmp_path, "history", "-s", "kept/qbeat.db", "--json").stdout
    again = run_qbeat(tmp_path, "demo", "--seconds", "2", "--folder", "kept")
    assert again.returncode == 2
    assert "kept is not empty" in again.stderr


def test_a_child_that_does_not_start_is_shown_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "celery.py").write_text("raise SystemExit('this is not Celery')")
    ended = run_qbeat(tmp_path, "demo", "--seconds", "2", env={"PYTHONPATH": str(tmp_path)}, within=60)
    assert ended.returncode == 1
    assert "this is not Celery" in ended.stderr
