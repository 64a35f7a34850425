"""Which options a message can have: those that Celery, Kombu and AMQP know."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from amqp import Message
from celery import Celery
from celery.app.amqp import AMQP
from celery.app.task import Task
from kombu.messaging import Producer

_TAKERS: Final = (Task.apply_async, Celery.send_task, AMQP.as_task_v2, Producer.publish)
_OF_TASKS: Final = ("ignore_result", "stamped_headers", "exchange_type", "queue")
_LIKE: Final = 0.75
"""How much an unknown option is like a known one that it was meant to be; others may be a transport's own."""


def misspelt(options: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield options that nobody knows, each with the one that was meant."""
    for option in options:
        if option in _known():
            continue
        for meant in difflib.get_close_matches(option, _known(), n=1, cutoff=_LIKE):
            yield option, meant


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    named = (inspect.signature(taker).parameters for taker in _TAKERS)
    properties = (name for name, _ in Message.PROPERTIES)
    return frozenset([*_OF_TASKS, *properties, *(name for names in named for name in names)])
