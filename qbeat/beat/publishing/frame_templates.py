"""The fast way on AMQP: which classes of entries have frames that a firing can fill in, and those frames.

Entries that differ only in their name and arguments form a class. Its first member is rendered the plain way
twice; a class is used only if filling in gives both messages as py-amqp would have written them, to the byte.
"""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from amqp.exceptions import FrameSyntaxError
from celery import Celery

from qbeat.beat.entries import Entry
from qbeat.beat.instants import iso
from qbeat.beat.publishing.base import Job
from qbeat.beat.publishing.frames import (
    MAX_SIZE,
    FrameTemplate,
    Parts,
    Publication,
    frame_template,
    frames_of,
    table_value,
)
from qbeat.beat.publishing.ordinary import is_ordinary, nobody_watches, samples, text_maker
from qbeat.store.records import AUTO, Firing

logger = logging.getLogger("qbeat.publishing")

MAX_REMEMBERED: Final = 250_000
"""Entries whose arguments are kept ready; when there are more, the memory starts anew."""

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


Render = Callable[[Job], Rendered]
"""Renders a job the plain way; raises ``ValueError`` if it is not for the fast way."""


@dataclass(frozen=True, eq=False)
class Route:
    """What the messages of a class of entries have in common."""

    frames: FrameTemplate
    exchange: str
    declared: Sequence[Any]
    """Queues and exchanges that Kombu declares once on each connection."""
    embed: Mapping[str, Any]
    """Callbacks and the like, the third part of each body."""


class FrameTemplates:
    """Frames of ordinary entries on one channel, without Celery having to be asked for each.

    All senders share what one of them has made. Each comes with its own way to render; should two of them find
    out the same at a time, they find the same.
    """

    def __init__(self, app: Celery, channel: int) -> None:
        self._app = app
        self._channel = channel
        self._enabled = False
        self._text = text_maker(app)
        self._routes: dict[tuple[str, str], Route | None] = {}
        self._parts: dict[str, tuple[Entry, Route, Parts]] = {}

    def refresh(self, *, watched: bool = False) -> None:
        """Look whether anybody has begun to watch messages on their way; call it once for each batch.

        ``watched`` says that somebody does, in a way that cannot be seen from here.
        """
        enabled = not watched and nobody_watches(self._app)
        if not enabled:
            self._routes.clear()
            self._parts.clear()
        self._enabled = enabled

    def frames(self, job: Job, render: Render) -> tuple[Route, bytes] | None:
        """Return the frames of a firing, or ``None`` if it has to go the plain way."""
        entry, firing = job.entry, job.firing
        known = self._parts.get(entry.name)
        if known is None or known[0] is not entry:
            known = self._prepare(entry, firing.uid, render)
        if known is None or firing.lane != AUTO:
            return None
        _, route, parts = known
        data = route.frames.fill(parts, firing.task_id.encode(), _instant(firing.fire_time))
        return (route, data) if len(data) <= MAX_SIZE else None

    def get_ready(self, entry: Entry, uid: str, render: Render) -> bool:
        """Make ahead what all messages of an entry have in common; return whether there is room for more."""
        if entry.name not in self._parts:
            self._prepare(entry, uid, render)
        return len(self._parts) < MAX_REMEMBERED

    def distrust(self, route: Route) -> None:
        """Send the entries of a class the plain way from now on."""
        for name, known in [*self._routes.items()]:
            if known is route:
                self._routes[name] = None
        self._parts.clear()

    def _prepare(self, entry: Entry, uid: str, render: Render) -> tuple[Entry, Route, Parts] | None:
        if not self._enabled or not is_ordinary(self._app, entry):
            return None
        name = entry.task, json.dumps(entry.options, sort_keys=True)
        if name not in self._routes:
            self._routes[name] = self._learn(entry, uid, render)
        route = self._routes.get(name)
        if route is None:
            return None
        if len(self._parts) >= MAX_REMEMBERED:
            self._parts.clear()
        found = self._parts[entry.name] = entry, route, self._parts_of(entry, route.embed)
        return found

    def _parts_of(self, entry: Entry, embed: Mapping[str, Any]) -> Parts:
        # Plain data, so the encoder of the standard library writes what Kombu's would, in a fifth of the time.
        args, kwargs = list(entry.args) or (), dict(entry.kwargs)
        return Parts(
            body=json.dumps((args, kwargs, embed)).encode(),
            args=table_value(self._text(args, self._app.amqp.argsrepr_maxsize)),
            kwargs=table_value(self._text(kwargs, self._app.amqp.kwargsrepr_maxsize)),
            name=table_value(entry.name),
        )

    def _learn(self, entry: Entry, uid: str, render: Render) -> Route | None:
        """Make what an entry's class has in common, or find that it has to go the plain way."""
        try:
            return self._proven(entry, samples(entry, uid), render)
        except (ValueError, KeyError, TypeError, AttributeError, struct.error, FrameSyntaxError) as error:
            logger.debug("%s goes the plain way: %s", entry.name, error)
            return None

    def _proven(self, entry: Entry, firings: Sequence[Firing], render: Render) -> Route:
        """Render two firings; return what gives both of their messages, else raise ``ValueError``."""
        rendered = [render(Job(firing, entry)) for firing in firings]
        publication = rendered[0].publication
        if publication.immediate or publication.message.properties.keys() - _USUAL:
            raise ValueError("it has unusual properties")
        _, _, embed = json.loads(publication.message.body)
        route = Route(
            frame_template(publication, self._channel), publication.exchange, rendered[0].declared, embed
        )
        parts = self._parts_of(entry, embed)
        for firing, one in zip(firings, rendered, strict=True):
            filled = route.frames.fill(parts, firing.task_id.encode(), _instant(firing.fire_time))
            if filled != frames_of(one.publication, self._channel):
                raise ValueError("its template gives another message")
        return route


@lru_cache(maxsize=64)
def _instant(fire_time: int) -> bytes:
    """Return a fire time as it stands in a message; one batch has few different ones."""
    return table_value(iso(fire_time))
