"""The machine on which is measured: its size, and the versions of all that takes part."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from tests.servers.server import find_program

_PACKAGES: Final = (
    "qbeat",
    "celery",
    "kombu",
    "redis",
    "celery-redbeat",
    "django-celery-beat",
    "sqlalchemy-celery-beat",
    "sqlalchemy",
    "django",
)
_RABBITMQ: Final = Path("/usr/lib/rabbitmq/lib")


def machine() -> str:
    """Return the machine's size: cores, memory, system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GB of memory, {platform.system()}"


def versions() -> dict[str, str]:
    """Return the versions of Python, of who is compared, and of the servers."""
    return {"Python": platform.python_version()} | dict(_packages()) | dict(_servers())


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _packages() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        try:
            # The client of Redis and the server have one name.
            yield "redis-py" if package == "redis" else package, version(package)
        except PackageNotFoundError:
            continue


def _servers() -> Iterator[tuple[str, str]]:
    yield "SQLite", sqlite3.sqlite_version
    postgres = [str(folder) for folder in Path("/usr/lib/postgresql").glob("*/bin")]
    for name, program in (
        ("Redis", find_program("redis-server")),
        ("PostgreSQL", find_program("postgres", sorted(postgres, reverse=True))),
    ):
        if program is not None:
            yield name, _told_by(program)
    # Its own programs take seconds to tell their version.
    for folder in _RABBITMQ.glob("rabbitmq_server-*"):
        yield "RabbitMQ", folder.name.partition("-")[2]


def _told_by(program: str) -> str:
    said = subprocess.run((program, "--version"), capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+(\.\d+)+", said)
    return found[0] if found else said.strip()
