"""The fast way on Redis: which classes of entries have messages that a firing can fill in, and those messages."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import Final

from kombu.utils.json import dumps

from qbeat.beat.entries import Entry
from qbeat.beat.instants import iso
from qbeat.beat.publishing.base import Submission
from qbeat.beat.publishing.classes import EntryClasses
from qbeat.store.records import Firing, Message

Render = Callable[[Submission], Sequence[Message]]
"""Renders a submission the plain way, into the messages that Kombu would have pushed.

It raises ``ValueError`` for a submission that has no such messages, anything else if it cannot tell now.
"""

_MARK: Final = "\ufdd0{}\ufdd0"
"""Stands for what is filled in; made of a code point that no text may use."""
_CUT: Final = "\ufdd1"

_PARTS: Final = ("body", "args", "kwargs", "name")
_GAPS: Final = {gap: place for place, gap in enumerate((*_PARTS, "id", "at"))}
"""The places of what is filled in, in the order in which ``Template.fill`` lays it out."""

_BEFORE_EMBED: Final = ", "
"""What stands in each body, as JSON, between what is the entry's own and what is its class's."""


@dataclass(frozen=True, slots=True)
class Template:
    """The message of a class of entries: the key of the queue, and the payload with gaps."""

    key: str
    texts: tuple[str, ...]
    """What stands between the gaps."""
    arrange: Callable[[tuple[str, ...]], tuple[str, ...]]
    """Takes what is filled in, followed by ``texts``, and returns the payload's pieces in their order."""

    def fill(self, parts: str, name: str, task_id: str, fire_time: str) -> str:
        """Return the payload of one firing. The delivery tag, which must be unique, is the task id too.

        ``parts`` are lines, as ``_lines`` makes them; the name is quoted here, for that is quick.
        """
        own = parts.split("\n")
        return "".join(self.arrange((*own, encode_basestring_ascii(name), task_id, fire_time, *self.texts)))


Phases = tuple[Template, Template, Template]
"""A class's templates, by how many bytes of an entry's own part of the body stand in the template.

The body is in Base64, four characters for three bytes: what is filled in has to end where such a group does.
"""


# One batch has few different fire times.
instant = lru_cache(maxsize=64)(iso)


class Templates(EntryClasses[Sequence[Message], Phases, Template, str]):
    """Messages of ordinary entries, ready but for their ids and fire times."""

    def message(self, entry: Entry, uid: str, task_id: str, at: str, render: Render) -> Message | None:
        """Return the message of a firing, or ``None`` if it has to go the plain way.

        ``at`` is the fire time as ``instant`` writes it.
        """
        known = self._find(entry, uid, render)
        if known is None:
            return None
        _, template, parts = known
        return Message(template.key, template.fill(parts, entry.name, task_id, at))

    def _class_of(self, rendered: Sequence[Sequence[Message]]) -> Phases:
        for messages in rendered:
            if len(messages) != 1:
                raise ValueError(f"it sends {len(messages)} messages")
        [first], [second] = rendered
        if first.key != second.key:
            raise ValueError("its queue changes")
        return _phases(first)

    def _parts_of(self, entry: Entry, found: Phases) -> tuple[Template, str]:
        phase, parts = _lines(*self._said_of(entry))
        return found[phase], parts

    def _gives(self, ready: tuple[Entry, Template, str], firing: Firing, rendered: Sequence[Message]) -> bool:
        entry, template, parts = ready
        filled = template.fill(parts, entry.name, firing.task_id, instant(firing.fire_time))
        return filled == _with_tag(rendered[0].payload, firing.task_id)


@lru_cache(maxsize=64)  # entries with the same arguments, or with none, mostly share one text
def _lines(start: str, args: str, kwargs: str) -> tuple[int, str]:
    """Return the phase of a body, and what its entry fills in, a line each.

    These are the start of its body in Base64, and the texts of its arguments as JSON.
    """
    phase = len(start) % 3
    whole = start[: len(start) - phase].encode()
    return phase, "\n".join((b64encode(whole).decode(), json.dumps(args), json.dumps(kwargs)))


def _phases(message: Message) -> Phases:
    """Put gaps into a rendered message."""
    data = json.loads(message.payload)
    if dumps(data) != message.payload:
        raise ValueError("its message is not plain JSON")
    headers, properties = data["headers"], data["properties"]
    if properties["delivery_info"]["exchange"]:
        raise ValueError("it goes to the queues that are bound to its exchange by then")
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
    for gap in ("args", "kwargs", "name"):
        text = text.replace(dumps(_MARK.format(gap)), f"{_CUT}{gap}{_CUT}")
    for gap in ("id", "at"):
        text = text.replace(dumps(_MARK.format(gap)), f'"{_CUT}{gap}{_CUT}"')
    end = f"{_BEFORE_EMBED}{json.dumps(embed)}]"
    none, one, two = (_template(message.key, text, end[2 - phase :]) for phase in range(3))
    return none, one, two


def _template(key: str, text: str, end: str) -> Template:
    """Cut a payload at its gaps; ``end`` is what follows the gap in its body, as JSON."""
    rest = b64encode(end.encode()).decode()
    pieces = text.replace(dumps(_MARK.format("body")), f'"{_CUT}body{_CUT}{rest}"').split(_CUT)
    texts, gaps = pieces[::2], pieces[1::2]
    order = [place for number, gap in enumerate(gaps) for place in (len(_GAPS) + number, _GAPS[gap])]
    return Template(key, tuple(texts), itemgetter(*order, len(_GAPS) + len(gaps)))


def _with_tag(payload: str, task_id: str) -> str:
    """Return a rendered message with the delivery tag that a template gives it."""
    data = json.loads(payload)
    data["properties"]["delivery_tag"] = task_id
    return str(dumps(data))
