"""End what a test process leaves behind: a child that outlives it, ends its process groups and removes its folders.

The test process writes one line for each thing that it begins or has ended (`+ group 123`, `- group 123`,
`+ folder /tmp/x`, `- folder /tmp/x`) into a pipe. When the pipe closes, for whatever reason, `kill -9`
included, the watcher clears away what is left on its list.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from typing import IO


class Watch:
    """The test process's end of the pipe."""

    def __init__(self) -> None:
        command = [sys.executable, "-E", "-S", __file__]
        watcher = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        assert watcher.stdin is not None
        self._watcher = watcher
        self._pipe: IO[str] = watcher.stdin

    def tell(self, sign: str, kind: str, name: object) -> None:
        """Say that something began (`+`) or ended (`-`); `kind` is `group` or `folder`."""
        print(sign, kind, name, file=self._pipe, flush=True)


@cache
def watch() -> Watch:
    """The one watcher of this process, started when it is first needed."""
    return Watch()


def remaining(lines: Iterable[str]) -> dict[tuple[str, str], None]:
    """What began and did not end, in the order of its beginning."""
    left: dict[tuple[str, str], None] = {}
    for line in lines:
        sign, kind, name = line.rstrip("\n").split(" ", 2)
        if sign == "+":
            left[kind, name] = None
        else:
            left.pop((kind, name), None)
    return left


def clear_away(left: Iterable[tuple[str, str]]) -> None:
    """Kill the process groups, then remove the folders."""
    for kind, name in sorted(left, key=lambda item: item[0] == "folder"):
        if kind == "group":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(name), signal.SIGKILL)
        else:
            shutil.rmtree(name, ignore_errors=True)


if __name__ == "__main__":
    clear_away(remaining(sys.stdin))
