"""Classes of entries whose messages differ in little: what each class is found out to be, and what is kept ready.

Entries that differ only in their name and arguments form a class. Its first member is rendered the plain way
twice; what changes between the two is what a firing fills in. A class is used only if filling in gives both
of these messages to the byte. Everything that could make a message depend on the moment, or on code that
wants to see each firing, is left to the plain way.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar, TypeVarTuple

from celery import Celery

from qbeat.beat.entries import Entry
from qbeat.beat.publishing.base import Submission
from qbeat.beat.publishing.celerys_own import Way, is_usual
from qbeat.beat.publishing.ordinary import is_ordinary, samples, text_maker
from qbeat.store.records import Firing

logger = logging.getLogger("qbeat.publishing")

MAX_CLASSES: Final = 1_000
"""Classes that are remembered, some kilobytes each; entries of further ones go the plain way."""
MAX_REMEMBERED: Final = 250_000
"""Entries that are kept ready; what others fill in is made for each firing."""

Rendered = TypeVar("Rendered")
"""What comes of rendering a submission the plain way."""
Class = TypeVar("Class")
"""What the messages of a class of entries have in common."""
Parts = TypeVarTuple("Parts")
"""What an entry fills in, and into what."""

Render = Callable[[Submission], Rendered]
"""Renders a submission the plain way.

It raises ``ValueError`` for a submission that is not for the fast way, what is not in ``unsuited`` if it cannot tell now.
"""


class EntryClasses(ABC, Generic[Rendered, Class, *Parts]):
    """What is ready for ordinary entries, so that Celery does not have to be asked for each of their messages.

    Entries with options of their own, such as a header of each tenant's, are a class each. Beyond ``MAX_CLASSES``
    of them nothing more is learned, and nothing forgotten: all take turns, so what is needed next would be gone.

    Senders, each in its thread, may share one. Each comes with its own way to render; should two of them find
    out the same at a time, what one has found holds for both.
    """

    unsuited: tuple[type[Exception], ...] = (ValueError, KeyError, TypeError, AttributeError)
    """What is raised over entries whose class goes the plain way."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._way = Way(app)
        self._enabled = False
        self._text = text_maker(app)
        self._classes: dict[tuple[str, str], Class | None] = {}
        # Flat tuples, for there is one for each entry.
        self._ready: dict[str, tuple[Entry, *Parts]] = {}

    def refresh(self, *, watched: bool = False) -> None:
        """Look whether anybody has begun to watch messages on their way; call it once for each batch.

        ``watched`` says that somebody does, in a way that cannot be seen from here.
        """
        enabled = not watched and self._way.is_celerys_own()
        if not enabled:
            self._classes.clear()
            self._ready.clear()
        self._enabled = enabled

    def get_ready(self, entry: Entry, uid: str, render: Render[Rendered]) -> bool:
        """Make ahead what all messages of an entry have in common; return whether there is room for more."""
        self._find(entry, uid, render)
        return len(self._ready) < MAX_REMEMBERED

    def distrust(self, found: Class) -> None:
        """Send the entries of a class the plain way from now on."""
        for name, known in [*self._classes.items()]:
            if known is found:
                self._classes[name] = None
        self._ready.clear()

    def _find(self, entry: Entry, uid: str, render: Render[Rendered]) -> tuple[Entry, *Parts] | None:
        """Return what is ready for an entry, made now if need be; ``None`` if it has to go the plain way."""
        known = self._ready.get(entry.name)
        if known is not None and known[0] is entry:
            return known
        return self._prepare(entry, uid, render)

    def _prepare(self, entry: Entry, uid: str, render: Render[Rendered]) -> tuple[Entry, *Parts] | None:
        if not self._enabled or not is_ordinary(self._app, entry):
            return None
        found = self._class(entry, uid, render)
        if found is None:
            return None
        ready = entry, *self._parts_of(entry, found)
        if len(self._ready) < MAX_REMEMBERED or entry.name in self._ready:
            # When there are more, those that are ready stay so: all take turns, so any other rule would find
            # that what is needed next has just been forgotten.
            self._ready[entry.name] = ready
        return ready

    def _class(self, entry: Entry, uid: str, render: Render[Rendered]) -> Class | None:
        """Return what an entry's class has in common; ``None`` if it goes the plain way."""
        name = entry.task, json.dumps(entry.options, sort_keys=True) if entry.options else ""
        if name in self._classes:
            return self._classes.get(name)
        if len(self._classes) >= MAX_CLASSES:
            return None
        found = self._learn(entry, uid, render) if is_usual(self._app, entry) else None
        return self._classes.setdefault(name, found)

    def _learn(self, entry: Entry, uid: str, render: Render[Rendered]) -> Class | None:
        """Make what an entry's class has in common, or find that it has to go the plain way."""
        firings = samples(entry, uid)
        try:
            rendered = [render(Submission(firing, entry)) for firing in firings]
            found = self._class_of(rendered)
            ready = entry, *self._parts_of(entry, found)
            for firing, one in zip(firings, rendered, strict=True):
                if not self._gives(ready, firing, one):
                    raise ValueError("its template gives another message")
        except self.unsuited as error:
            logger.debug("%s goes the plain way: %s", entry.name, error)
            return None
        return found

    def _said_of(self, entry: Entry) -> tuple[str, str, str]:
        """Return the JSON of a body's start, up to the embed, and the two texts of the arguments in headers."""
        # Plain data, so the encoder of the standard library writes what Kombu's would, in a fifth of the time.
        args, kwargs = list(entry.args) or (), dict(entry.kwargs)
        amqp = self._app.amqp
        return (
            f"[{json.dumps(args)}, {json.dumps(kwargs) if kwargs else '{}'}, ",
            self._text(args, amqp.argsrepr_maxsize),
            self._text(kwargs, amqp.kwargsrepr_maxsize),
        )

    @abstractmethod
    def _class_of(self, rendered: Sequence[Rendered]) -> Class:
        """Return what two messages of one entry have in common; raises what is in ``unsuited``."""

    @abstractmethod
    def _parts_of(self, entry: Entry, found: Class) -> tuple[*Parts]:
        """Return what an entry of a class fills in, and into what."""

    @abstractmethod
    def _gives(self, ready: tuple[Entry, *Parts], firing: Firing, rendered: Rendered) -> bool:
        """Whether filling in gives what has been rendered."""
