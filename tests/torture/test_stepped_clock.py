"""The clock that the nemesis steps: the wall clock moves at once, everything else stays as it is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.torture.stepped_clock import SteppedClock, can_step

READ = "import time; print(time.time(), time.monotonic(), flush=True)\n"

pytestmark = pytest.mark.skipif(not can_step(), reason="needs Linux and a C compiler")


def test_a_step_moves_the_wall_clock_of_a_running_process_and_not_its_monotonic_one(tmp_path: Path) -> None:
    clock = SteppedClock(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-i", "-q"],
        env={**os.environ, **clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = []
        for ahead in (0, 3600, -30):
            clock.step(ahead)
            process.stdin.write(READ)
            process.stdin.flush()
            wall, monotonic = map(float, process.stdout.readline().split())
            seen.append((round((wall - time.time()) / 10) * 10, round((monotonic - time.monotonic()) / 10)))
        process.stdin.close()
    assert seen == [(0, 0), (3600, 0), (-30, 0)]


def test_threads_wait_and_sleep_under_a_stepped_clock_as_they_do_otherwise(tmp_path: Path) -> None:
    clock = SteppedClock(tmp_path)
    clock.step(-3600)
    # A clock that breaks timed waits makes threads spin for the interpreter's lock, or sleeping an error.
    program = """
import resource, threading, time
busy = threading.Thread(target=lambda: sum(range(10_000_000)))
busy.start()
while busy.is_alive():
    threading.Event().wait(0.001)
time.sleep(0.001)
print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **clock.environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(done.stdout) < 20_000
