"""Which tz database this process reads: the newer one of the system's and the package ``tzdata``."""

from __future__ import annotations

import os
import re
import zoneinfo
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, NamedTuple

_PACKAGE_VERSION: Final = re.compile(r"(\d{4})\.(\d+)")
_ZI_VERSION: Final = re.compile(r"# version (\S+)")


class TzDatabase(NamedTuple):
    """Where time zones come from: ``source`` is a directory or ``package tzdata``, ``version`` such as ``2026f``.

    ``version`` is ``None`` where the source does not say. ``why`` says in English why this source was chosen.
    """

    source: str
    version: str | None
    why: str


@cache
def database() -> TzDatabase:
    """Decide once which tz database is read, tell ``zoneinfo`` so, and return the choice for the log.

    A ``PYTHONTZPATH`` that somebody set is respected. Otherwise the package ``tzdata`` is taken when it is
    newer than the system's database or when that one does not tell its version.
    """
    system = _system()
    package = _package_version()
    if "PYTHONTZPATH" in os.environ and system is not None:
        return TzDatabase(*system, "PYTHONTZPATH names it")
    if package is None:
        return TzDatabase(*(system or ("none", None)), "the package tzdata is not installed")
    if system is None:
        return TzDatabase("package tzdata", package, "the system has no tz database")
    source, system_version = system
    if system_version is not None and system_version >= package:
        return TzDatabase(source, system_version, f"it is not older than the package tzdata ({package})")
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    return TzDatabase(
        "package tzdata", package, f"the system's {source} has {system_version or 'no version'}"
    )


def _system() -> tuple[str, str | None] | None:
    for directory in map(Path, zoneinfo.TZPATH):
        if (directory / "UTC").is_file() or (directory / "Etc" / "UTC").is_file():
            return str(directory), _version_in(directory)
    return None


def _version_in(directory: Path) -> str | None:
    try:
        with (directory / "tzdata.zi").open(encoding="ascii", errors="replace") as lines:
            match = _ZI_VERSION.match(lines.readline())
    except OSError:
        match = None
    if match:
        return match[1]
    try:
        return (directory / "+VERSION").read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _package_version() -> str | None:
    """Return the package's database version: its own version 2026.6 stands for 2026f."""
    try:
        match = _PACKAGE_VERSION.match(version("tzdata"))
    except PackageNotFoundError:
        return None
    return f"{match[1]}{chr(ord('a') + int(match[2]) - 1)}" if match else None
