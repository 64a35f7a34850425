"""A wall clock of a process's own, which a test can step; made with the C compiler, where there is one."""

from __future__ import annotations

import platform
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("stepped_clock.c")
_COMPILER = shutil.which("cc")


class SteppedClock:
    """How far one process's wall clock is ahead of the true time; ``environment`` is for that process."""

    def __init__(self, folder: Path) -> None:
        assert _COMPILER is not None
        self._step = folder / "clock.step"
        self._library = folder / "stepped_clock.so"
        self._step.write_bytes(_bytes(0))
        command = [_COMPILER, "-shared", "-fPIC", "-O2", "-o", str(self._library), str(_SOURCE)]
        subprocess.run(command, check=True, timeout=60)

    def step(self, seconds: int) -> None:
        """Set the clock so far ahead of, or behind, the true time; the process sees it at once."""
        with self._step.open("r+b", buffering=0) as file:
            file.write(_bytes(seconds))

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "TORTURE_CLOCK": str(self._step)}


def can_step() -> bool:
    """Whether this machine can make what steps clocks; preloading this way is Linux's."""
    return _COMPILER is not None and platform.system() == "Linux"


def _bytes(seconds: int) -> bytes:
    return struct.pack("q", seconds)
