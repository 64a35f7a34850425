"""What all test servers share: a port, a folder, and starting, stopping and killing by pid."""

from __future__ import annotations

import os
import random
import shutil
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import pytest

from tests.servers.process import Process, living
from tests.servers.waiting import eventually
from tests.servers.watcher import watch

HOST = "127.0.0.1"

# Below the range from which Linux takes the ports of outgoing connections: a client that knocks at a stopped
# server's port from that range can be connected to itself, and then the server cannot start again.
_PORTS = range(15000, 32000)
_SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def find_program(name: str, folders: Sequence[str] = ()) -> str | None:
    """The path of a program: in `folders`, on the PATH, or where systems hide their servers."""
    places = [*folders, os.environ.get("PATH", ""), *_SERVER_FOLDERS]
    return shutil.which(name, path=os.pathsep.join(places))


def need_program(name: str, package: str, folders: Sequence[str] = ()) -> str:
    """The path of a program; without it the test is skipped, and where `CI` is set it fails."""
    found = find_program(name, folders)
    if found is not None:
        return found
    reason = f"{name} is missing; `apt-get install --no-install-recommends {package}` brings it"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


class Server(ABC):
    """A real server on a free port of 127.0.0.1, its data in a temporary folder.

    A context manager that starts it and clears it away. In between `stop` (politely), `kill` (SIGKILL) and
    `start` (same port, same folder) may be called in any order.
    """

    name: ClassVar[str]
    boot_seconds: ClassVar[float] = 20.0

    def __init__(self) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"qbeat-{self.name}-"))
        watch().tell("+", "folder", self.directory)
        self.process = self.prepare()

    @abstractmethod
    def prepare(self) -> Process:
        """Make the data folder ready and say how the server is started."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server serves requests."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where a client finds it."""

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def is_running(self) -> bool:
        return self.process.is_running

    def start(self) -> None:
        """Start it if it does not run, and wait until it answers."""
        if self.is_running:
            return
        self.process.start()
        what = f"{self.name} answers at {self.port}"
        try:
            eventually(self._answers_or_ended, within=self.boot_seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}; its output ends with\n{self.process.tail()}") from None

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self.is_running:
            self.process.terminate(within=30)

    def kill(self) -> None:
        """End it at once."""
        if self.is_running:
            self.process.kill()

    def close(self) -> None:
        """End it, with what it may have left running if it ended by itself, and remove its folder."""
        if self.process in living():
            self.process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        watch().tell("-", "folder", self.directory)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answers_or_ended(self) -> bool:
        if not self.is_running:
            raise RuntimeError(f"{self.name} ended with {self.process.exit_code}:\n{self.process.tail()}")
        return self.answers()
