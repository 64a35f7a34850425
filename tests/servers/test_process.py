"""Child processes can be waited on, paused, ended, and never outlive the test process."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Process, eventually
from tests.servers.process import state_and_group

ROOT = Path(__file__).parents[2]
COUNTS = (
    "import itertools, time\nfor n in itertools.count():\n    print('n', n, flush=True); time.sleep(0.01)"
)


def python(directory: Path, code: str) -> Process:
    return Process([sys.executable, "-c", code], directory=directory, log=directory / "log")


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Process]:
    process = python(tmp_path, COUNTS)
    process.start()
    yield process
    process.end()


def living_members(group: int) -> list[int]:
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, its_group = state_and_group(int(folder.name))
            members += [int(folder.name)] if its_group == group and state != "Z" else []
    return members


def test_matching_lines_are_awaited_and_returned(counter: Process) -> None:
    assert counter.wait_for(r"^n \d$", count=3)[:3] == ["n 0", "n 1", "n 2"]


def test_waiting_for_a_line_fails_at_once_when_the_process_has_ended(tmp_path: Path) -> None:
    process = python(tmp_path, "print('bye'); raise SystemExit(3)")
    process.start()
    with pytest.raises(RuntimeError, match=r"ended with 3 before 'ready' appeared:\nbye"):
        process.wait_for("ready", within=60)
    assert process.wait() == 3


def test_waiting_for_a_line_that_never_comes_shows_the_output(counter: Process) -> None:
    counter.wait_for("n 0")
    with pytest.raises(AssertionError, match=r"'never'(.|\n)*n 0"):
        counter.wait_for("never", within=0.05)


def test_exit_codes_tell_how_it_ended(counter: Process) -> None:
    assert counter.exit_code is None
    assert counter.terminate() == -signal.SIGTERM
    counter.start()
    assert counter.kill() == -signal.SIGKILL


def test_output_begins_anew_with_each_start(counter: Process) -> None:
    counter.wait_for("n 1$")
    counter.kill()
    counter.start()
    assert counter.wait_for("^n 0$") == ["n 0"]


def test_a_paused_process_stands_still_until_it_is_resumed(counter: Process) -> None:
    counter.wait_for("n 1$")
    counter.pause()
    eventually(lambda: counter.state == "T")
    seen = counter.output
    assert counter.output == seen
    counter.resume()
    eventually(lambda: len(counter.output) > len(seen))


@pytest.mark.parametrize(
    "end", ["import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "raise SystemExit"]
)
def test_what_a_dead_test_process_started_is_cleared_away(tmp_path: Path, end: str) -> None:
    code = f"""
import sys
from pathlib import Path
from tests.servers import Process, watch
folder = Path(sys.argv[1])
folder.mkdir()
watch().tell("+", "folder", folder)
child = Process(["sh", "-c", "sleep 1000 & wait"], directory=folder, log=Path(sys.argv[2]))
child.start()
print(child.pid, flush=True)
{end}
"""
    folder = tmp_path / "folder"
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "log")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    pid = int(done.stdout)
    eventually(lambda: not living_members(pid), what="the left child and its own child are gone")
    eventually(lambda: not folder.exists(), what="the left folder is gone")
