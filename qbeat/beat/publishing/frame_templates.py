"""The fast way on AMQP: which classes of entries have frames that a firing can fill in, and those frames."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from amqp.exceptions import FrameSyntaxError
from celery import Celery

from qbeat.beat.entries import Entry
from qbeat.beat.instants import iso
from qbeat.beat.publishing.base import Submission
from qbeat.beat.publishing.classes import EntryClasses
from qbeat.beat.publishing.frames import (
    MAX_SIZE,
    FrameTemplate,
    Publication,
    frame_template,
    frames_of,
    table_value,
)
from qbeat.store.records import AUTO, Firing

_USUAL: Final = frozenset(
    {
        "content_type",
        "content_encoding",
        "application_headers",
        "delivery_mode",
        "priority",
        "correlation_id",
        "reply_to",
    }
)
"""Properties over which no broker refuses a message."""


@dataclass(frozen=True)
class Rendered:
    """One message rendered the plain way, and what Kombu declared before it."""

    publication: Publication
    declared: Sequence[Any]


Render = Callable[[Submission], Rendered]
"""Renders a submission the plain way; raises ``ValueError`` if it is not for the fast way."""


@dataclass(frozen=True, eq=False)
class Route:
    """What the messages of a class of entries have in common."""

    frames: FrameTemplate
    exchange: str
    declared: Sequence[Any]
    """Queues and exchanges that Kombu declares once on each connection."""
    end: bytes
    """The end of each body: its third part, callbacks and the like, as JSON."""


Ready = tuple[Entry, Route, bytes, bytes, bytes]
"""An entry, its class, the start of its body, and the texts of its arguments as values of a table."""


class FrameTemplates(EntryClasses[Rendered, Route, Route, bytes, bytes, bytes]):
    """Frames of ordinary entries on one channel, ready but for their ids and fire times."""

    unsuited = (*EntryClasses.unsuited, struct.error, FrameSyntaxError)

    def __init__(self, app: Celery, channel: int) -> None:
        super().__init__(app)
        self._channel = channel

    def frames(self, submission: Submission, render: Render) -> tuple[Route, bytes] | None:
        """Return the frames of a firing, or ``None`` if it has to go the plain way."""
        firing = submission.firing
        known = self._find(submission.entry, firing.uid, render)
        if known is None or firing.lane != AUTO:
            return None
        data = _fill(known, firing)
        return (known[1], data) if len(data) <= MAX_SIZE else None

    def _class_of(self, rendered: Sequence[Rendered]) -> Route:
        publication = rendered[0].publication
        if publication.immediate or publication.message.properties.keys() - _USUAL:
            raise ValueError("it has unusual properties")
        _, _, embed = json.loads(publication.message.body)
        frames = frame_template(publication, self._channel)
        return Route(frames, publication.exchange, rendered[0].declared, f"{json.dumps(embed)}]".encode())

    def _parts_of(self, entry: Entry, found: Route) -> tuple[Route, bytes, bytes, bytes]:
        start, args, kwargs = self._said_of(entry)
        return found, _encoded(start), _value(args), _value(kwargs)

    def _gives(self, ready: Ready, firing: Firing, rendered: Rendered) -> bool:
        return _fill(ready, firing) == frames_of(rendered.publication, self._channel)


def _fill(ready: Ready, firing: Firing) -> bytes:
    entry, route, start, args, kwargs = ready
    # The name is not remembered, for its value is made quickly.
    parts = start + route.end, args, kwargs, table_value(entry.name)
    return route.frames.fill(parts, firing.task_id.encode(), _instant(firing.fire_time))


# Entries with the same arguments, or with none, mostly share these.
_encoded = lru_cache(maxsize=64)(str.encode)
_value = lru_cache(maxsize=64)(table_value)


@lru_cache(maxsize=64)
def _instant(fire_time: int) -> bytes:
    """Return a fire time as it stands in a message; one batch has few different ones."""
    return table_value(iso(fire_time))
