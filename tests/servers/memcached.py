"""A real memcached."""

from __future__ import annotations

import os
import socket
from typing import ClassVar

from tests.servers.process import Process
from tests.servers.server import HOST, Server, need_program


class MemcachedServer(Server):
    """memcached; a restart forgets everything."""

    name: ClassVar[str] = "memcached"

    def prepare(self) -> Process:
        command = [need_program("memcached", "memcached"), "-l", HOST, "-p", str(self.port), "-U", "0"]
        if os.geteuid() == 0:
            command += ["-u", "root"]
        return Process(command, directory=self.directory, log=self.log)

    def ask(self, line: str) -> str:
        """Send one command of the text protocol; the first line of the answer."""
        with socket.create_connection((HOST, self.port), timeout=5) as connection:
            connection.sendall(f"{line}\r\n".encode())
            with connection.makefile("r") as answer:
                return answer.readline().strip()

    def answers(self) -> bool:
        try:
            return self.ask("version").startswith("VERSION ")
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"cache+memcached://{HOST}:{self.port}/"
