"""A real PgBouncer before a PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
from typing import ClassVar

from tests.servers.process import Process
from tests.servers.server import HOST, Server, need_program

_SETTINGS = """
[databases]
* = host={host} port={upstream} user=postgres
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
ignore_startup_parameters = extra_float_digits
"""


class PgbouncerServer(Server):
    """PgBouncer in transaction mode: all clients of a database share one connection, a transaction each."""

    name: ClassVar[str] = "pgbouncer"

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        super().__init__()

    def prepare(self) -> Process:
        program = need_program("pgbouncer", "pgbouncer")
        settings = self.directory / "pgbouncer.ini"
        settings.write_text(_SETTINGS.format(host=HOST, port=self.port, upstream=self.upstream_port))
        # It refuses to run as root; Debian's package brings PostgreSQL's user for it.
        user = "postgres" if os.geteuid() == 0 else None
        if user is not None:
            shutil.chown(self.directory, user)
        return Process([program, settings], directory=self.directory, log=self.log, user=user)

    def answers(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=5).close()
        except OSError:
            return False
        return True

    @property
    def url(self) -> str:
        return self.database_url("postgres")

    def database_url(self, database: str) -> str:
        """The URL of a database of the PostgreSQL behind it."""
        return f"postgresql://postgres@{HOST}:{self.port}/{database}"
