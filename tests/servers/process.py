"""One child process in a group of its own, with its output in a file that tests can wait on."""

from __future__ import annotations

import contextlib
import os
import re
import signal as signals
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.waiting import eventually
from tests.servers.watcher import watch

_living: dict[int, Process] = {}


def living() -> list[Process]:
    """The processes that were started and not ended since; a failed test shows their last lines."""
    return list(_living.values())


def state_and_group(pid: int) -> tuple[str, int]:
    """The kernel's letter for what a process does (R runs, S sleeps, T is stopped, Z is dead), and its group.

    FileNotFoundError or ProcessLookupError when there is none of this number.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[2])


class Process:
    """A command that can be started, signalled, ended and started again.

    Standard output and error go to `log`, one after the other for each start. The process leads its own
    group: `kill`, `pause` and `resume` reach its children too, `terminate` only the process itself, as a
    service manager would.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        directory: Path,
        log: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.directory = directory
        self.log = log
        self.env = dict(os.environ if env is None else env)
        self.user = user
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at_byte = 0

    def start(self) -> None:
        assert not self.is_running, f"{self.command[0]} runs already"
        with self.log.open("ab") as log:
            self._started_at_byte = log.tell()
            self._child = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=self.env,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        watch().tell("+", "group", self.pid)
        _living[self.pid] = self

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.command[0]} was never started"
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal, as in `subprocess`."""
        return None if self._child is None else self._child.poll()

    @property
    def output(self) -> str:
        """Everything written since the latest start."""
        with self.log.open("rb") as log:
            log.seek(self._started_at_byte)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.output.splitlines()[-lines:])

    @property
    def state(self) -> str:
        """What the process does; see `state_and_group`."""
        return state_and_group(self.pid)[0]

    def wait_for(self, pattern: str, *, within: float = 20.0, count: int = 1) -> list[str]:
        """Wait until `count` lines of output match the regular expression; those lines.

        Fails at once when the process ends before.
        """
        search = re.compile(pattern).search

        def matching() -> list[str]:
            ended = not self.is_running
            found = [line for line in self.output.splitlines() if search(line)]
            if len(found) < count and ended:
                raise RuntimeError(f"ended with {self.exit_code} before {pattern!r} appeared:\n{self.tail()}")
            return found if len(found) >= count else []

        try:
            return eventually(matching, within=within)
        except AssertionError:
            raise AssertionError(
                f"not {count} times within {within:g} s: {pattern!r}; the output ends with\n{self.tail()}"
            ) from None

    def wait(self, *, within: float = 10.0) -> int:
        """Wait until the process has ended by itself; its exit code."""
        assert self._child is not None, f"{self.command[0]} was never started"
        try:
            code = self._child.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still runs after {within:g} s; its output ends with\n{self.tail()}"
            ) from None
        self._forget()
        return code

    def signal(self, number: signals.Signals) -> None:
        """Send a signal to the process alone."""
        assert self._child is not None, f"{self.command[0]} was never started"
        self._child.send_signal(number)

    def terminate(self, *, within: float = 15.0) -> int:
        """SIGTERM, and wait for the exit code; AssertionError when it does not end in time."""
        self.signal(signals.SIGTERM)
        return self.wait(within=within)

    def kill(self) -> int:
        """SIGKILL to the whole group; the exit code."""
        self._signal_group(signals.SIGKILL)
        return self.wait(within=10)

    def pause(self) -> None:
        """SIGSTOP to the whole group."""
        self._signal_group(signals.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to the whole group."""
        self._signal_group(signals.SIGCONT)

    def end(self, *, within: float = 15.0) -> None:
        """Whatever it takes: SIGTERM if it runs, SIGKILL if that is not enough."""
        if self._child is None:
            return
        with contextlib.suppress(AssertionError):
            if self.is_running:
                self.resume()
                self.terminate(within=within)
        self.kill()

    def _signal_group(self, number: signals.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _forget(self) -> None:
        # Children may outlive the leader; once it has been reaped its number could become another's.
        self._signal_group(signals.SIGKILL)
        if _living.pop(self.pid, None) is not None:
            watch().tell("-", "group", self.pid)
