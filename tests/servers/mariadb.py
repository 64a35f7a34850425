"""A real MariaDB."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from typing import ClassVar

from tests.servers.process import Process
from tests.servers.server import HOST, Server, need_program

_PACKAGE = "mariadb-server"
_USER = "mysql"


class MariadbServer(Server):
    """MariaDB without waiting for the disk: data outlives a restart and a kill, not a power cut."""

    name: ClassVar[str] = "mariadb"
    boot_seconds: ClassVar[float] = 40.0

    def prepare(self) -> Process:
        server = need_program("mariadbd", _PACKAGE)
        # As root the server gives its rights up to the user that Debian's package brings.
        user = [f"--user={_USER}"] if os.geteuid() == 0 else []
        if user:
            shutil.chown(self.directory, _USER)
            self.directory.chmod(0o755)
        data = f"--datadir={self.directory / 'data'}"
        # A starting server, also one that only installs, clears away the temporary files of every other one that
        # uses the same folder.
        temporary = f"--tmpdir={self.directory}"
        install = need_program("mariadb-install-db", _PACKAGE)
        self._run(
            install,
            "--no-defaults",
            data,
            temporary,
            *user,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        quick = ["--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M", "--skip-name-resolve"]
        address = [f"--bind-address={HOST}", f"--port={self.port}", f"--socket={self.directory / 'socket'}"]
        command = [server, "--no-defaults", data, temporary, *user, *address, *quick]
        return Process(command, directory=self.directory, log=self.log)

    def answers(self) -> bool:
        command = [need_program("mariadb-admin", _PACKAGE), *self._client(), "--connect-timeout=2", "ping"]
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0

    @property
    def url(self) -> str:
        return self.database_url("mysql")

    def database_url(self, database: str) -> str:
        """The URL of a database; root needs no password."""
        return f"mysql://root@{HOST}:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.query(f"CREATE DATABASE {name}")
        return name

    def query(self, statement: str, database: str = "mysql") -> str:
        """Run a statement; the answer as bare text, columns parted by tabs."""
        client = need_program("mariadb", _PACKAGE)
        return self._run(client, *self._client(), "-N", "-B", "-e", statement, database).strip()

    def _client(self) -> list[str]:
        return ["--no-defaults", "--protocol=tcp", f"--host={HOST}", f"--port={self.port}", "--user=root"]

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command[0]}: {done.stderr or done.stdout}"
        return done.stdout
