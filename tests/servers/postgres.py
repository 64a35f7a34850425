"""A real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from pathlib import Path
from typing import ClassVar

from tests.servers.process import Process
from tests.servers.server import HOST, Server, need_program

_PACKAGE = "postgresql"
_USER = "postgres"


def _program(name: str) -> str:
    """Debian keeps the server's programs apart, by version; the newest is taken."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(versions, key=lambda folder: float(folder.parent.name), reverse=True)
    return need_program(name, _PACKAGE, [str(folder) for folder in newest_first])


class PostgresServer(Server):
    """PostgreSQL without fsync: data outlives a restart and a kill, not a power cut."""

    name: ClassVar[str] = "postgres"

    def prepare(self) -> Process:
        server = _program("postgres")
        # PostgreSQL refuses to run as root; Debian's package brings a user for it.
        self.user = _USER if os.geteuid() == 0 else None
        if self.user is not None:
            shutil.chown(self.directory, self.user)
        data = self.directory / "data"
        self._run(
            _program("initdb"), "-D", str(data), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )
        quick = ["-c", "fsync=off", "-c", "full_page_writes=off"]
        sockets = ["-k", str(self.directory), "-h", HOST, "-p", str(self.port)]
        command = [server, "-D", str(data), *sockets, *quick]
        return Process(command, directory=self.directory, log=self.log, user=self.user)

    def stop(self) -> None:
        # SIGTERM would wait until the last client has gone; SIGINT ends their sessions, in good order.
        if self.is_running:
            self.process.signal(signal.SIGINT)
            self.process.wait(within=30)

    def answers(self) -> bool:
        command = [_program("pg_isready"), "-q", "-U", _USER, "-h", HOST, "-p", str(self.port)]
        return subprocess.run(command, timeout=10, check=False).returncode == 0

    @property
    def url(self) -> str:
        return self.database_url("postgres")

    def database_url(self, database: str) -> str:
        """The URL of a database; every local user may do everything."""
        return f"postgresql://{_USER}@{HOST}:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.query(f"CREATE DATABASE {name}")
        return name

    def query(self, statement: str, database: str = "postgres") -> str:
        """Run a statement with psql; the answer as bare text, columns parted by `|`."""
        return self._run(
            _program("psql"), "-X", "-A", "-t", "-q", "-c", statement, self.database_url(database)
        ).strip()

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.directory,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command[0]}: {done.stderr or done.stdout}"
        return done.stdout
