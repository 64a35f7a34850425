"""Keeps Celery's scheduler from saying of each firing what qbeat says already."""

from __future__ import annotations

import logging


def drop_echoes() -> None:
    """Leave out the lines of ``celery.beat`` about a sent entry, but not its errors, from now on."""
    logging.getLogger("celery.beat").addFilter(_says_something_new)


def _says_something_new(record: logging.LogRecord) -> bool:
    return record.funcName != "apply_entry" or record.levelno > logging.INFO
