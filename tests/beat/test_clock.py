"""The system's clock: waits end in time, whatever wakes, stops or crowds the process."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from qbeat.beat.clock import FD_SETSIZE, SystemClock
from tests.servers import eventually

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


def test_a_wait_goes_on_while_the_process_is_stopped() -> None:
    child = subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    ends = time.monotonic() + 3
    child.send_signal(signal.SIGSTOP)
    eventually(lambda: time.monotonic() >= ends)
    child.send_signal(signal.SIGCONT)
    late = float(child.communicate(timeout=30)[0])
    # What begins anew would wait for three more seconds.
    assert late < 2
