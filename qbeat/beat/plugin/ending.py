"""Ends Celery's beat with one sentence and qbeat's exit code, where Celery would print a traceback and exit with 1."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click
from billiard import current_process
from celery import beat

from qbeat.beat.errors import CONFIGURATION, QbeatError
from qbeat.store.base import StoreUnusable

logger = logging.getLogger("qbeat.plugin")

_EMBEDDED: type | None = getattr(beat, "_Process", None)


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Log what cannot be and raise ``SystemExit`` with its code, if the process is Celery's beat; else raise it."""
    try:
        yield
    except (QbeatError, StoreUnusable) as error:
        if not is_for_beat_alone():
            raise
        logger.critical("qbeat: %s", error)
        code = error.exit_code if isinstance(error, QbeatError) else CONFIGURATION
        raise SystemExit(code) from error


def is_embedded() -> bool:
    """Whether this process is the one that a worker has made for its beat."""
    return _EMBEDDED is not None and isinstance(current_process(), _EMBEDDED)


def is_for_beat_alone() -> bool:
    """Whether this process is ``celery beat``, or the one that a worker has embedded: nobody else's code ends with it."""
    if is_embedded():
        return True
    return _command() is not None


def is_detached() -> bool:
    """Whether this process is ``celery beat --detach``."""
    context = _command()
    return context is not None and bool(context.params.get("detach"))


def _command() -> click.Context | None:
    context = click.get_current_context(silent=True)
    return context if context is not None and context.info_name == "beat" else None
