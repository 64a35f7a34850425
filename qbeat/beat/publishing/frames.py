"""Messages as the bytes of AMQP frames: written once by py-amqp, then filled in for each firing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import itemgetter
from struct import Struct
from typing import Any, Final

from amqp import spec
from amqp.basic_message import Message
from amqp.method_framing import frame_writer
from amqp.serialization import dumps

MAX_SIZE: Final = 100_000
"""Bytes that the frames of a message may have here; those of a larger one might be too large for most brokers."""

_PUBLISH_ARGUMENTS: Final = "Bssbb"
_LONG: Final = Struct(">I")
_LONG_LONG: Final = Struct(">Q")
_HEAD: Final = 7
"""Bytes before a frame's payload: its type, its channel, the payload's size. One byte follows the payload."""
_BODY_SIZE_AT: Final = _HEAD + 4
_PROPERTIES_AT: Final = _HEAD + 4 + 8 + 2
_QBEAT: Final = b"\x05qbeatF"


@dataclass(frozen=True)
class Publication:
    """A message and where it goes, as Kombu hands it to py-amqp."""

    message: Message
    exchange: str
    routing_key: str
    mandatory: bool
    immediate: bool


Parts = tuple[bytes, bytes, bytes, bytes]
"""What an entry fills in: its body, and the texts of its arguments and its name as values of a table."""


# In the order in which ``FrameTemplate.fill`` lays out what fills them.
_GAPS: Final = ("body", "args", "kwargs", "name", "id", "at", "header", "bytes", "table", "qbeat", "frame")
_MARKS: Final = {
    gap: f"\x01{gap}\x02".ljust(36, "\x03") for gap in ("body", "args", "kwargs", "name", "id", "at")
}
"""Stand for what is filled in; as long as a task id, so that the length before one need not be filled in."""
_USUAL: Final = "header bytes table id id args kwargs name qbeat name at id frame body"
"""The gaps of each message that Celery makes, from its start to its end."""


@dataclass(frozen=True, eq=False)
class FrameTemplate:
    """The three frames of a message: method, header, body; with gaps, four of them for lengths."""

    arrange: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
    """Takes what is filled in, followed by the bytes between the gaps; returns the pieces in their order."""
    texts: tuple[bytes, ...]
    header: int
    table: int
    qbeat: int
    """Lengths of the header frame's payload, of the table in it and of the one in that, all gaps empty."""

    def fill(self, parts: Parts, task_id: bytes, at: bytes) -> bytes:
        """Return the frames of one firing; ``at`` is its fire time as a value of a table."""
        body, args, kwargs, name = parts
        inner = len(name) + len(at)
        outer = inner + len(args) + len(kwargs) + len(name)
        size = len(body)
        pieces = (
            *parts,
            task_id,
            at,
            _LONG.pack(self.header + outer),
            _LONG_LONG.pack(size),
            _LONG.pack(self.table + outer),
            _LONG.pack(self.qbeat + inner),
            _LONG.pack(size),
            *self.texts,
        )
        return b"".join(self.arrange(pieces))


def table_value(text: str) -> bytes:
    """Return a text as py-amqp writes it into a table."""
    data = text.encode("utf-8", "surrogatepass")
    return b"S" + _LONG.pack(len(data)) + data


def frames_of(publication: Publication, channel: int) -> bytes:
    """Return the frames that py-amqp writes for a message on a channel."""
    where = (0, publication.exchange, publication.routing_key, publication.mandatory, publication.immediate)
    sink = _Sink()
    write = frame_writer(sink, sink)
    write(1, channel, spec.Basic.Publish, dumps(_PUBLISH_ARGUMENTS, where), publication.message)
    return bytes(sink.written)


def frame_template(publication: Publication, channel: int) -> FrameTemplate:
    """Put gaps into a message; raises ``ValueError`` or ``KeyError`` if it is not of the usual build."""
    data = frames_of(_marked(publication), channel)
    header = _HEAD + _LONG.unpack_from(data, 3)[0] + 1
    body = header + _HEAD + _LONG.unpack_from(data, header + 3)[0] + 1
    properties = publication.message.properties
    kinds = (properties["content_type"], properties["content_encoding"])
    table = header + _PROPERTIES_AT + sum(1 + len(kind.encode()) for kind in kinds)
    qbeat = _only(data, _QBEAT) + len(_QBEAT)
    spans = [
        (header + 3, header + 7, "header"),
        (header + _BODY_SIZE_AT, header + _BODY_SIZE_AT + 8, "bytes"),
        (table, table + 4, "table"),
        (qbeat, qbeat + 4, "qbeat"),
        (body + 3, body + 7, "frame"),
    ]
    for gap, mark in _MARKS.items():
        # A text in a table has its type and its length before it; the ids have a length that stays.
        before = 0 if gap in {"id", "body"} else 5
        spans += [(at.start() - before, at.end(), gap) for at in re.finditer(mark.encode(), data)]
    spans.sort()
    if " ".join(gap for *_, gap in spans) != _USUAL:
        raise ValueError("its frames are built in an unusual way")
    value = len(table_value(_MARKS["name"]))
    return FrameTemplate(
        *_cut(data, spans),
        header=_LONG.unpack_from(data, header + 3)[0] - 5 * value,
        table=_LONG.unpack_from(data, table)[0] - 5 * value,
        qbeat=_LONG.unpack_from(data, qbeat)[0] - 2 * value,
    )


def _marked(publication: Publication) -> Publication:
    """Return the publication with a mark for whatever is filled in."""
    message = publication.message
    headers = dict(message.properties["application_headers"])
    for header, gap in (("id", "id"), ("root_id", "id"), ("argsrepr", "args"), ("kwargsrepr", "kwargs")):
        if not isinstance(headers[header], str):
            raise ValueError(f"its header {header} is no text")  # noqa: TRY004 - a reason for the plain way
        headers[header] = _MARKS[gap]
    headers["periodic_task_name"] = _MARKS["name"]
    headers["qbeat"] = {**headers["qbeat"], "entry": _MARKS["name"], "fire_time": _MARKS["at"]}
    properties = {
        **message.properties,
        "application_headers": headers,
        "correlation_id": _MARKS["id"],
    }
    return replace(publication, message=Message(_MARKS["body"], **properties))


def _only(data: bytes, text: bytes) -> int:
    """Return where ``text`` stands, which must be in one place."""
    if data.count(text) != 1:
        raise ValueError("its headers are unusual")
    return data.index(text)


def _cut(data: bytes, spans: list[tuple[int, int, str]]) -> tuple[Any, tuple[bytes, ...]]:
    """Cut the spans out of the data; return what arranges the pieces, and what stands between the spans."""
    edges = [0, *(edge for start, end, _ in spans for edge in (start, end)), len(data)]
    texts = tuple(data[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))
    order: list[int] = []
    for number, (_, _, gap) in enumerate(spans):
        order += [len(_GAPS) + number, _GAPS.index(gap)]
    return itemgetter(*order, len(_GAPS) + len(spans)), texts


class _Sink:
    """What py-amqp's frame writer takes for its connection and for its transport; keeps what is written."""

    frame_max = 1 << 20
    bytes_sent = 0

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: memoryview | bytes) -> None:
        self.written += data
