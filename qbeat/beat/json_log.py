"""Log lines as JSON, one object each, for programs that collect them."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from qbeat.beat.instants import iso

_OWN: Final = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "data",
}
"""What every record has; everything else was given with ``extra`` and is printed. (Celery's lines carry ``data``.)"""


class JsonFormatter(logging.Formatter):
    """``time`` (ISO 8601 in UTC), ``level``, ``logger``, ``message``, what came as ``extra``, and ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": iso(round(record.created * 1_000) * 1_000),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            "thread": record.threadName,
        }
        found |= {key: value for key, value in record.__dict__.items() if key not in _OWN}
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False, default=repr)


def log_as_json() -> None:
    """Let every handler that logs for this process, Celery's too, write JSON."""
    for name in (None, "celery", "qbeat"):
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(JsonFormatter())
