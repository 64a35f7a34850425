"""The fast way: a message rendered once by Celery for a class of entries, then filled in for each firing.

Entries that differ only in their name and arguments form a class. Its first member is rendered the plain way
twice; what changes between the two is what a firing fills in. A class is used only if filling in gives both
of these messages to the letter. Everything that could make a message depend on the moment, or on code that
wants to see each firing, is left to the plain way.
"""

from __future__ import annotations

import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple

from celery import Celery
from kombu.utils.json import dumps

from qbeat.beat.entries import Entry
from qbeat.beat.instants import iso
from qbeat.beat.publishing.base import Job
from qbeat.beat.publishing.ordinary import is_ordinary, nobody_watches, samples, text_maker
from qbeat.store.records import Message

logger = logging.getLogger("qbeat.publishing")

Render = Callable[[Job], Sequence[Message]]
"""Renders a job the plain way, into the messages that Kombu would have pushed.

It raises ``ValueError`` for a job that has no such messages, anything else if it cannot tell now.
"""

MAX_REMEMBERED: Final = 250_000
"""Entries whose arguments are kept ready; those of others are made for each firing."""

_MARK: Final = "\ufdd0{}\ufdd0"
"""Stands for what is filled in; made of a code point that no text may use."""
_CUT: Final = "\ufdd1"


Parts = tuple[str, str, str, str]
"""What an entry fills in, each as JSON: its body, the texts of its arguments, its name."""
_PARTS: Final = ("body", "args", "kwargs", "name")
_GAPS: Final = {gap: place for place, gap in enumerate((*_PARTS, "id", "at"))}
"""The places of what is filled in, in the order in which ``Template.fill`` lays it out."""


class Ready(NamedTuple):
    """An entry's template, and what the entry fills in; flat, for there is one for each entry."""

    entry: Entry
    template: Template
    body: str
    args: str
    kwargs: str
    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """The message of a class of entries: the key of the queue, and the payload with gaps."""

    key: str
    texts: tuple[str, ...]
    """What stands between the gaps."""
    arrange: Callable[[tuple[str, ...]], tuple[str, ...]]
    """Takes what is filled in, followed by ``texts``, and returns the payload's pieces in their order."""
    embed: str
    """Callbacks and the like, the third part of each body, as JSON."""

    def fill(self, parts: Parts, task_id: str, fire_time: str) -> str:
        """Return the payload of one firing. The delivery tag, which must be unique, is the task id too."""
        return "".join(self.arrange((*parts, task_id, fire_time, *self.texts)))


class Templates:
    """Messages of ordinary entries, without Celery having to be asked for each."""

    def __init__(self, app: Celery, render: Render) -> None:
        self._app = app
        self._render = render
        self._enabled = False
        self._text = text_maker(app)
        self._classes: dict[tuple[str, str], Template | None] = {}
        self._ready: dict[str, Ready] = {}

    def refresh(self, *, watched: bool = False) -> None:
        """Look whether anybody has begun to watch messages on their way; call it once for each batch.

        ``watched`` says that somebody does, in a way that cannot be seen from here.
        """
        enabled = not watched and nobody_watches(self._app)
        if not enabled:
            self._classes.clear()
            self._ready.clear()
        self._enabled = enabled

    def message(self, entry: Entry, uid: str, task_id: str, at: str) -> Message | None:
        """Return the message of a firing, or ``None`` if it has to go the plain way.

        ``at`` is the fire time as ``iso`` writes it; the caller makes it once for all entries of one instant.
        """
        known = self._ready.get(entry.name)
        if known is None or known.entry is not entry:
            known = self._prepare(entry, uid)
            if known is None:
                return None
        template = known.template
        return Message(template.key, template.fill(known[2:], task_id, at))

    def get_ready(self, entry: Entry, uid: str) -> bool:
        """Make ahead what all messages of an entry have in common; return whether there is room for more."""
        if entry.name not in self._ready:
            self._prepare(entry, uid)
        return len(self._ready) < MAX_REMEMBERED

    def _prepare(self, entry: Entry, uid: str) -> Ready | None:
        if not self._enabled or not is_ordinary(self._app, entry):
            return None
        name = entry.task, json.dumps(entry.options, sort_keys=True) if entry.options else ""
        if name not in self._classes:
            self._classes[name] = self._learn(entry, uid)
        template = self._classes[name]
        if template is None:
            return None
        ready = Ready(entry, template, *self._parts_of(entry, template.embed))
        if len(self._ready) < MAX_REMEMBERED or entry.name in self._ready:
            self._ready[entry.name] = ready
        return ready

    def _parts_of(self, entry: Entry, embed: str) -> Parts:
        # Plain data, so the encoder of the standard library writes what Kombu's would, in a fifth of the time.
        args, kwargs = list(entry.args) or (), dict(entry.kwargs)
        amqp = self._app.amqp
        body = f"[{json.dumps(args)}, {json.dumps(kwargs) if kwargs else '{}'}, {embed}]".encode()
        return (
            f'"{b64encode(body).decode()}"',
            json.dumps(self._text(args, amqp.argsrepr_maxsize)),
            json.dumps(self._text(kwargs, amqp.kwargsrepr_maxsize)) if kwargs else '"{}"',
            json.dumps(entry.name),
        )

    def _learn(self, entry: Entry, uid: str) -> Template | None:
        """Make the template of an entry's class, or find that it has to go the plain way."""
        try:
            messages = self._try_out(entry, uid)
            template = _template(messages[0])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.debug("%s goes the plain way: %s", entry.name, error)
            return None
        parts = self._parts_of(entry, template.embed)
        for firing, message in zip(samples(entry, uid), messages, strict=True):
            filled = template.fill(parts, firing.task_id, iso(firing.fire_time))
            if filled != _with_tag(message.payload, firing.task_id):
                logger.debug("%s goes the plain way: its template gives another message", entry.name)
                return None
        return template

    def _try_out(self, entry: Entry, uid: str) -> list[Message]:
        """Render an entry's message twice, for two different firings."""
        messages: list[Message] = []
        for firing in samples(entry, uid):
            rendered = self._render(Job(firing, entry))
            if len(rendered) != 1:
                raise ValueError(f"it sends {len(rendered)} messages")
            messages += rendered
        if messages[0].key != messages[1].key:
            raise ValueError("its queue changes")
        return messages


def _template(message: Message) -> Template:
    """Put gaps into a rendered message."""
    data = json.loads(message.payload)
    if dumps(data) != message.payload:
        raise ValueError("its message is not plain JSON")
    headers, properties = data["headers"], data["properties"]
    if headers["eta"] or headers["expires"] or properties["body_encoding"] != "base64":
        raise ValueError("its message depends on the moment, or has an encoding of its own")
    _, _, embed = json.loads(b64decode(data["body"]))
    data["body"] = _MARK.format("body")
    headers.update(
        id=_MARK.format("id"),
        root_id=_MARK.format("id"),
        argsrepr=_MARK.format("args"),
        kwargsrepr=_MARK.format("kwargs"),
        periodic_task_name=_MARK.format("name"),
    )
    headers["qbeat"].update(entry=_MARK.format("name"), fire_time=_MARK.format("at"))
    properties.update(correlation_id=_MARK.format("id"), delivery_tag=_MARK.format("id"))
    text = dumps(data)
    for gap in _PARTS:
        text = text.replace(dumps(_MARK.format(gap)), f"{_CUT}{gap}{_CUT}")
    for gap in ("id", "at"):
        text = text.replace(dumps(_MARK.format(gap)), f'"{_CUT}{gap}{_CUT}"')
    texts, gaps = text.split(_CUT)[::2], text.split(_CUT)[1::2]
    order = [place for number, gap in enumerate(gaps) for place in (len(_GAPS) + number, _GAPS[gap])]
    return Template(message.key, tuple(texts), itemgetter(*order, len(_GAPS) + len(gaps)), json.dumps(embed))


def _with_tag(payload: str, task_id: str) -> str:
    """Return a rendered message with the delivery tag that a template gives it."""
    data = json.loads(payload)
    data["properties"]["delivery_tag"] = task_id
    return str(dumps(data))
