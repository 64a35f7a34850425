"""The errors that end a command, each with the exit code that it means. Light: imports nothing."""

from __future__ import annotations

from typing import ClassVar, Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 69
CONFIGURATION: Final = 78
INTERRUPTED: Final = 130


class QbeatError(Exception):
    """One sentence for the user, with the cure, and the exit code of the command that it ends."""

    exit_code: ClassVar[int] = FAILED


class AppError(QbeatError):
    """The app cannot be loaded."""

    exit_code = USAGE


class DeclarationError(QbeatError):
    """Entries that cannot be; the text has one line for each, with its name and the cure."""

    exit_code = CONFIGURATION


class HookError(DeclarationError):
    """A hook that raised an error of its own. It may pass, so that whoever starts qbeat may start it again."""

    exit_code = FAILED


class SettingError(QbeatError):
    """A setting that cannot be."""

    exit_code = CONFIGURATION
