"""The fast way: a message rendered once by Celery for a class of entries, then filled in for each firing.

Entries that differ only in their name and arguments form a class. Its first member is rendered the plain way
twice; what changes between the two is what a firing fills in. A class is used only if filling in gives both
of these messages to the letter. Everything that could make a message depend on the moment, or on code that
wants to see each firing, is left to the plain way.
"""

from __future__ import annotations

import base64
import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import celery
from celery import Celery, signals
from celery.app.task import Task
from celery.beat import Scheduler
from celery.utils.saferepr import saferepr
from kombu.utils.json import dumps

from qbeat.beat.entries import Entry
from qbeat.beat.firing_ids import task_id_of
from qbeat.beat.instants import iso
from qbeat.beat.publishing.base import Job
from qbeat.store.records import AUTO, Firing, Message

logger = logging.getLogger("qbeat.publishing")

Render = Callable[[Job], Sequence[Message]]
"""Renders a job the plain way, into the messages that Kombu would have pushed."""

MAX_REMEMBERED: Final = 250_000
"""Entries whose arguments are kept ready; when there are more, the memory starts anew."""

MAX_SIMPLE: Final = 16
"""Lists of so few numbers are written the same by ``repr`` and by Celery's own, slower, text."""

_CELERY: Final = str(Path(inspect.getfile(celery)).parent)
_MOMENTARY: Final = frozenset(
    {"countdown", "eta", "expires", "retries", "stamped_headers", "group_id", "reply_to"}
)
"""Options whose message depends on when it is sent, or on more than this entry."""

_MARK: Final = "\ufdd0{}\ufdd0"
"""Stands for what is filled in; made of a code point that no text may use."""
_CUT: Final = "\ufdd1"


class Parts(NamedTuple):
    """What an entry fills in, each as JSON: its body, the texts of its arguments, its name."""

    body: str
    args: str
    kwargs: str
    name: str


_GAPS: Final = {gap: place for place, gap in enumerate((*Parts._fields, "id", "at"))}
"""The places of what is filled in, in the order in which ``Template.fill`` lays it out."""


@dataclass(frozen=True, slots=True)
class Template:
    """The message of a class of entries: the key of the queue, and the payload with gaps."""

    key: str
    texts: tuple[str, ...]
    """What stands between the gaps."""
    arrange: Callable[[tuple[str, ...]], tuple[str, ...]]
    """Takes what is filled in, followed by ``texts``, and returns the payload's pieces in their order."""
    embed: Mapping[str, Any]
    """Callbacks and the like, the third part of each body."""

    def fill(self, parts: Parts, task_id: str, fire_time: str) -> str:
        """Return the payload of one firing. The delivery tag, which must be unique, is the task id too."""
        return "".join(self.arrange((*parts, task_id, fire_time, *self.texts)))


class Templates:
    """Messages of ordinary entries, without Celery having to be asked for each."""

    def __init__(self, app: Celery, render: Render) -> None:
        self._app = app
        self._render = render
        self._enabled = False
        levels = app.conf.get("task_repr_maxlevels")
        self._levels = {} if levels is None else {"maxlevels": levels}
        self._classes: dict[tuple[str, str], Template | None] = {}
        self._parts: dict[str, tuple[Entry, Template, Parts]] = {}

    def refresh(self, *, watched: bool = False) -> None:
        """Look whether anybody has begun to watch messages on their way; call it once for each batch.

        ``watched`` says that somebody does, in a way that cannot be seen from here.
        """
        enabled = not watched and _nobody_watches(self._app)
        if not enabled:
            self._classes.clear()
            self._parts.clear()
        self._enabled = enabled

    def message(self, entry: Entry, uid: str, task_id: str, at: str) -> Message | None:
        """Return the message of a firing, or ``None`` if it has to go the plain way.

        ``at`` is the fire time as ``iso`` writes it; the caller makes it once for all entries of one instant.
        """
        known = self._parts.get(entry.name)
        if known is None or known[0] is not entry:
            known = self._prepare(entry, uid)
            if known is None:
                return None
        _, template, parts = known
        return Message(template.key, template.fill(parts, task_id, at))

    def _prepare(self, entry: Entry, uid: str) -> tuple[Entry, Template, Parts] | None:
        if not self._enabled or not self._is_ordinary(entry):
            return None
        name = entry.task, json.dumps(entry.options, sort_keys=True)
        if name not in self._classes:
            self._classes[name] = self._learn(entry, uid)
        template = self._classes[name]
        if template is None:
            return None
        if len(self._parts) >= MAX_REMEMBERED:
            self._parts.clear()
        found = self._parts[entry.name] = entry, template, self._parts_of(entry, template.embed)
        return found

    def _is_ordinary(self, entry: Entry) -> bool:
        if not entry.is_quick or entry.options.keys() & _MOMENTARY:
            return False
        if not (_is_plain(entry.args) and _is_plain(entry.kwargs) and _is_plain(entry.options)):
            return False
        task = self._app.tasks.get(entry.task)
        return task is None or _takes(task, entry)

    def _parts_of(self, entry: Entry, embed: Mapping[str, Any]) -> Parts:
        # Plain data, so the encoder of the standard library writes what Kombu's would, in a fifth of the time.
        args, kwargs = list(entry.args) or (), dict(entry.kwargs)
        body = base64.b64encode(json.dumps((args, kwargs, embed)).encode()).decode()
        return Parts(
            body=f'"{body}"',
            args=json.dumps(self._text(args, self._app.amqp.argsrepr_maxsize)),
            kwargs=json.dumps(self._text(kwargs, self._app.amqp.kwargsrepr_maxsize)),
            name=json.dumps(entry.name),
        )

    def _text(self, value: Any, maxsize: int) -> str:
        """Return the text of arguments that goes into a message's headers, as Celery makes it."""
        if not value:
            return repr(value)
        if type(value) is list and len(value) < MAX_SIMPLE and all(type(item) is int for item in value):
            text = repr(value)
            if len(text) < maxsize:
                return text
        return str(saferepr(value, maxsize, **self._levels))

    def _learn(self, entry: Entry, uid: str) -> Template | None:
        """Make the template of an entry's class, or find that it has to go the plain way."""
        try:
            messages = self._try_out(entry, uid)
            template = _template(messages[0])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.debug("%s goes the plain way: %s", entry.name, error)
            return None
        parts = self._parts_of(entry, template.embed)
        for firing, message in zip(_samples(entry, uid), messages, strict=True):
            filled = template.fill(parts, firing.task_id, iso(firing.fire_time))
            if filled != _with_tag(message.payload, firing.task_id):
                logger.debug("%s goes the plain way: its template gives another message", entry.name)
                return None
        return template

    def _try_out(self, entry: Entry, uid: str) -> list[Message]:
        """Render an entry's message twice, for two different firings."""
        messages: list[Message] = []
        for firing in _samples(entry, uid):
            rendered = self._render(Job(firing, entry))
            if len(rendered) != 1:
                raise ValueError(f"it sends {len(rendered)} messages")
            messages += rendered
        if messages[0].key != messages[1].key:
            raise ValueError("its queue changes")
        return messages


def _samples(entry: Entry, uid: str) -> list[Firing]:
    """Return two firings that nobody publishes."""
    times = (1_000_000, 2_345_678_900_000)
    return [Firing(uid, entry.name, at, AUTO, task_id_of(uid, at, "template")) for at in times]


def _template(message: Message) -> Template:
    """Put gaps into a rendered message."""
    data = json.loads(message.payload)
    if dumps(data) != message.payload:
        raise ValueError("its message is not plain JSON")
    headers, properties = data["headers"], data["properties"]
    if headers["eta"] or headers["expires"] or properties["body_encoding"] != "base64":
        raise ValueError("its message depends on the moment, or has an encoding of its own")
    _, _, embed = json.loads(base64.b64decode(data["body"]))
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
    for gap in Parts._fields:
        text = text.replace(dumps(_MARK.format(gap)), f"{_CUT}{gap}{_CUT}")
    for gap in ("id", "at"):
        text = text.replace(dumps(_MARK.format(gap)), f'"{_CUT}{gap}{_CUT}"')
    texts, gaps = text.split(_CUT)[::2], text.split(_CUT)[1::2]
    order = [place for number, gap in enumerate(gaps) for place in (len(_GAPS) + number, _GAPS[gap])]
    return Template(message.key, tuple(texts), itemgetter(*order, len(_GAPS) + len(gaps)), embed)


def _with_tag(payload: str, task_id: str) -> str:
    """Return a rendered message with the delivery tag that a template gives it."""
    data = json.loads(payload)
    data["properties"]["delivery_tag"] = task_id
    return str(dumps(data))


def _is_plain(value: Any) -> bool:
    """Whether a value is made of JSON's own types only, so that no serializer has a say in it."""
    kind = type(value)
    if kind in {str, int, bool, float} or value is None:
        return True
    if kind in {list, tuple}:
        return all(map(_is_plain, value))
    return kind is dict and all(type(key) is str and _is_plain(item) for key, item in value.items())


def _takes(task: Any, entry: Entry) -> bool:
    """Whether an ordinary task accepts the entry's arguments."""
    if type(task).apply_async is not Task.apply_async or "apply_async" in vars(task):
        return False
    if not task.typing:
        return True
    try:
        task.__header__(*entry.args, **entry.kwargs)
    except TypeError:
        return False
    return True


def _nobody_watches(app: Celery) -> bool:
    """Whether no code but Celery's own wants to see each message on its way."""
    if signals.before_task_publish.receivers or signals.after_task_publish.receivers:
        return False
    if "send_task" in vars(app):
        return False
    conf = app.conf
    if conf.task_send_sent_event or conf.task_always_eager or conf.task_protocol != 2:  # noqa: PLR2004
        return False
    if any(callable(router) or isinstance(router, str) for router in _routers(conf.task_routes)):
        return False
    seams = (type(app).send_task, Task.apply_async, Scheduler.apply_entry, Scheduler.apply_async)
    producer = (app.amqp.Producer.publish, type(app.amqp).as_task_v2)
    return all(map(_is_celerys, (*seams, *producer)))


def _routers(routes: Any) -> Sequence[Any]:
    if routes is None:
        return ()
    return routes if isinstance(routes, (list, tuple)) else (routes,)


def _is_celerys(function: Any) -> bool:
    """Whether a function is the one that Celery or Kombu define: nobody has put a wrapper around it."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__"):
        return False
    return str(code.co_filename).startswith((_CELERY, str(Path(_CELERY).parent / "kombu")))
