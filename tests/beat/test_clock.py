"""The system's clock: waits end in time, whatever wakes, stops or crowds the process."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from qbeat.beat.clock import FD_SETSIZE, SystemClock
from tests.servers import Process, eventually

WAITING = """
import time
from qbeat.beat.clock import SystemClock
clock = SystemClock()
end = time.monotonic() + 3
print("waiting", flush=True)
clock.wait(3)
print(time.monotonic() - end)
"""


@contextmanager
def descriptors_used_up() -> Iterator[None]:
    """Take so many file descriptors that the next one is too large for ``select``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FD_SETSIZE + 64
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this process may have no more than {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with ExitStack() as ending:
        while True:
            taken = os.open(os.devnull, os.O_RDONLY)
            ending.callback(os.close, taken)
            if taken > FD_SETSIZE:
                break
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("seconds", [0.0, 0.0004, 0.0031, 0.05])
def test_a_wait_is_never_too_short(seconds: float) -> None:
    with closing(SystemClock()) as clock:
        end = clock.monotonic() + seconds
        clock.wait(seconds)
        assert clock.monotonic() >= end


@pytest.mark.parametrize("seconds", [60, 0.001])
def test_a_wait_ends_at_once_when_somebody_has_called(seconds: float) -> None:
    with closing(SystemClock()) as clock:
        clock.wake()
        clock.wait(seconds)
        end = clock.monotonic() + 0.01
        clock.wait(0.01)  # one call ends one wait
        assert clock.monotonic() >= end


def test_a_crowd_of_open_files_does_not_matter() -> None:
    with descriptors_used_up(), closing(SystemClock()) as clock:
        end = clock.monotonic() + 0.0031
        clock.wait(0.0031)
        assert clock.monotonic() >= end
        clock.wake()
        clock.wait(60)


def test_a_wait_goes_on_while_the_process_is_stopped(tmp_path: Path) -> None:
    child = Process([sys.executable, "-c", WAITING], directory=tmp_path, log=tmp_path / "log")
    child.start()
    child.wait_for("waiting")
    # Stopped a moment earlier it would not have begun to wait.
    eventually(lambda: child.state == "S")
    ends = time.monotonic() + 3
    child.pause()
    eventually(lambda: time.monotonic() >= ends)
    child.resume()
    assert child.wait() == 0
    # What begins anew would wait for three more seconds.
    assert float(child.output.splitlines()[-1]) < 2
