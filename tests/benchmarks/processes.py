"""What a process has used: CPU time and memory, as Linux counts them."""

from __future__ import annotations

import re
import time
from pathlib import Path

_SCHEDULED = 2
_GLANCE = 1.0


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, all of its threads together, ended ones too."""
    # The clock that `clock_getcpuclockid` gives; Python has no name for it.
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


def must_be_childless(pid: int) -> None:
    """Fail if a process has children, whose CPU time and memory would go uncounted."""
    children = [file.read_text().strip() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    assert not any(children), f"process {pid} has children: {' '.join(children)}"


def cpu_share(pid: int, seconds: float) -> float:
    """Watch a process for so long; return its CPU time in percent of one core."""
    cpu, began = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    share = 100 * (cpu_seconds(pid) - cpu) / (time.monotonic() - began)
    must_be_childless(pid)
    return share


def await_rest(pid: int, *, below: float, within: float) -> None:
    """Wait until a process has used less than ``below`` percent of a core in each of two seconds, one after the
    other, but no longer than ``within`` seconds.
    """
    deadline, quiet = time.monotonic() + within, 0
    while quiet < 2 and time.monotonic() < deadline:
        quiet = quiet + 1 if cpu_share(pid, _GLANCE) < below else 0


def resident(pid: int) -> int:
    """Return how many bytes of a process are in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert found, f"process {pid} has ended"
    return int(found[1]) * 1024
