"""What the command line says about the process itself: its user, its log file, its pid file."""

from __future__ import annotations

import os
from pathlib import Path

from celery.exceptions import SecurityError
from celery.platforms import LockFailed, Pidfile, create_pidlock, maybe_drop_privileges

from qbeat.beat.errors import SettingError


def become(user: str | None, group: str | None) -> None:
    """Go on as this user and group, given by name or number; ``SettingError`` if that cannot be."""
    try:
        maybe_drop_privileges(uid=user, gid=group)
    except (KeyError, OSError, OverflowError, SecurityError) as error:
        wanted = " ".join(
            f"{option} {name}" for option, name in (("--uid", user), ("--gid", group)) if name is not None
        )
        raise SettingError(
            f"{wanted} cannot be: {_reason(error)}; name one that exists, and start qbeat as root for it"
        ) from error


def umask_of(text: str | None) -> int | None:
    """Return a umask as Celery reads it, octal with a leading 0; ``SettingError`` if it is none."""
    if text is None:
        return None
    try:
        return int(text, 8 if text.startswith("0") else 10)
    except ValueError as error:
        raise SettingError(f"--umask {text} cannot be: give it in octal digits, such as 022") from error


def check_files(logfile: str | None, pidfile: str | None) -> None:
    """Raise ``SettingError`` if the log file or the pid file cannot be written.

    Exits with Celery's message and code if the pid file is another living process's.
    """
    if logfile:
        check_log(logfile)
    if pidfile:
        _check_pidfile(pidfile)
        if Pidfile(pidfile).is_locked():
            create_pidlock(pidfile)


def check_log(logfile: str) -> None:
    """Raise ``SettingError`` if the log file cannot be written."""
    try:
        with Path(logfile).open("a"):
            pass
    except OSError as error:
        raise SettingError(
            f"the log file {logfile} cannot be opened: {_reason(error)}; give -f another"
        ) from error


def lock_pidfile(pidfile: str) -> None:
    """Write the process id, until the process ends; ``SettingError`` if that cannot be.

    Exits with Celery's message and code if the file is another living process's.
    """
    _check_pidfile(pidfile)
    try:
        create_pidlock(pidfile)
    except (LockFailed, OSError) as error:
        raise SettingError(_no_pidfile(pidfile, _reason(error))) from error


def _check_pidfile(pidfile: str) -> None:
    folder = Path(pidfile).absolute().parent
    if not folder.is_dir():
        raise SettingError(_no_pidfile(pidfile, f"there is no folder {folder}"))
    if not os.access(folder, os.W_OK):
        raise SettingError(_no_pidfile(pidfile, f"the folder {folder} is not writable for this user"))
    _remove_if_stale(pidfile)


def _remove_if_stale(pidfile: str) -> None:
    """Remove the file if no living process has written it, as Celery would, but for a number out of bounds."""
    lock = Pidfile(pidfile)
    try:
        lock.remove_if_stale()
    except OverflowError:
        lock.remove()
    except OSError as error:
        raise SettingError(_no_pidfile(pidfile, _reason(error))) from error


def _no_pidfile(pidfile: str, why: str) -> str:
    return f"the pid file {pidfile} cannot be written: {why}; give --pidfile another"


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error.args[0]) if error.args else type(error).__name__
