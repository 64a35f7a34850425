"""Chains and groups as periodic entries: ids that are the same each time a firing is published."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from celery import Celery
from celery.canvas import Signature

KINDS: Final = frozenset({"celery.chain", "celery.group"})
"""The task names that no worker can run: whoever calls them has to take them apart."""


def build(app: Celery, canvas: Mapping[str, Any], task_id: str) -> Signature:
    """Return the signature of ``canvas`` whose tasks have ids derived from ``task_id``.

    Published again after a crash it sends the same ids, so a worker's guard and a reader of the history can
    tell. The last task of a chain, whose result is the chain's, has ``task_id`` itself.
    """
    signature = app.signature(_copied(canvas))
    namespace = uuid.UUID(task_id)
    last = _last(signature)
    for position, part in enumerate(_parts(signature)):
        part.options["task_id"] = task_id if part is last else str(uuid.uuid5(namespace, str(position)))
    return signature


_producer: ContextVar[Any] = ContextVar("qbeat_producer", default=None)


@contextmanager
def publishing_with(app: Celery, producer: Any) -> Iterator[None]:
    """Have the app use ``producer`` wherever a canvas asks for one: a chain forgets the one that it is given."""
    if "producer_or_acquire" not in vars(app):
        acquire = app.producer_or_acquire
        app.producer_or_acquire = lambda given=None: acquire(given or _producer.get())
    token = _producer.set(producer)
    try:
        yield
    finally:
        _producer.reset(token)


def _parts(signature: Signature) -> Iterator[Signature]:
    """Yield the signatures inside ``signature``, each before what is inside it."""
    for name in ("tasks", "header"):
        inner = signature.kwargs.get(name) or ()
        if isinstance(inner, Signature):
            yield from _parts(inner)
            continue
        for part in inner:
            yield part
            yield from _parts(part)
    body = signature.kwargs.get("body")
    if isinstance(body, Signature):
        yield body
        yield from _parts(body)


def _last(signature: Signature) -> Signature | None:
    """Return the inner signature whose result is that of the whole, ``None`` where the whole has its own id."""
    last = None
    while signature is not None:
        if signature.task == "celery.chain" and signature.tasks:
            signature = last = signature.tasks[-1]
        elif signature.task == "celery.chord" and isinstance(signature.kwargs.get("body"), Signature):
            signature = last = signature.kwargs["body"]
        else:
            break
    return last


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(item) for item in value]
    return value
