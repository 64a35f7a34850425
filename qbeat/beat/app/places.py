"""Where in the user's code something was declared or went wrong, as ``tasks.py:12``."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_BETWEEN: Final = tuple(
    f"{folder}{os.sep}"
    for folder in (_HERE, _HERE.parents[1] / "schedules", Path(sys.modules["celery"].__file__ or "").parent)
)
"""What stands between the user's code and us: the modules that read an app, the schedules, Celery."""

_STANDARD: Final = Path(os.__file__).parent
"""Where the modules of the standard library lie."""


def place_of_caller() -> str:
    """Return file and line of the nearest caller that is the user's code."""
    frame = sys._getframe(1)  # noqa: SLF001 - ``inspect.stack`` reads source files for every frame
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        frame = frame.f_back
    return _place(frame.f_code.co_filename, frame.f_lineno)


def place_of(error: BaseException) -> str:
    """Return file and line at which the user's code made the schedule that cannot be, or failed in some other way.

    An error may come from deep inside a library; it is placed where the file that was called first has got to.
    """
    from qbeat.schedules import ScheduleError  # noqa: PLC0415 - every command of Celery's imports this module

    walked = ((frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__))
    own = [(file, line) for file, line in walked if not file.startswith(_BETWEEN)]
    if not own:
        return "?"
    if not isinstance(error, ScheduleError):
        own = [(file, line) for file, line in own if file == own[0][0]]
    return _place(*own[-1])


def place_of_exit(end: SystemExit) -> str:
    """Return file and line at which the user's code ended the process, itself or through ``argparse`` and its like."""
    walked = ((frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(end.__traceback__))
    own = [(file, line) for file, line in walked if Path(file).parent != _STANDARD]
    return _place(*own[-1])


def _place(file: str, line: int) -> str:
    return f"{Path(file).name}:{line}"
