"""Which entries are ordinary: plain data, from which their messages follow whenever they are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from celery import Celery
from celery.utils.saferepr import saferepr

from qbeat.beat.entries import Entry
from qbeat.beat.firing_ids import task_id_of
from qbeat.store.records import AUTO, Firing

MAX_SIMPLE: Final = 16
"""Lists of so few numbers are written the same by ``repr`` and by Celery's own, slower, text."""

_MOMENTARY: Final = frozenset(
    {"countdown", "eta", "expires", "retries", "stamped_headers", "group_id", "reply_to"}
)
"""Options whose message depends on when it is sent, or on more than this entry."""

_FILLED_IN: Final = frozenset({"id", "root_id", "argsrepr", "kwargsrepr"})
"""Headers that each entry or firing has of its own; an option or a header by that name says otherwise."""


def is_ordinary(app: Celery, entry: Entry) -> bool:
    """Whether an entry's messages differ by nothing but their ids and fire times."""
    options = entry.options
    if not entry.is_quick or (options and not _has_usual_options(options)):
        return False
    if not (is_plain(entry.args) and is_plain(entry.kwargs)):
        return False
    task = app.tasks.get(entry.task)
    return task is None or _takes(task, entry)


def samples(entry: Entry, uid: str) -> list[Firing]:
    """Return two firings that nobody publishes."""
    times = (1_000_000, 2_345_678_900_000)
    return [Firing(uid, entry.name, at, AUTO, task_id_of(uid, at, "template")) for at in times]


def text_maker(app: Celery) -> Callable[[Any, int], str]:
    """Return what makes the text of arguments, of a length at most, that Celery puts into headers."""
    levels = app.conf.get("task_repr_maxlevels")
    options = {} if levels is None else {"maxlevels": levels}

    def text(value: Any, maxsize: int) -> str:
        if not value:
            return repr(value)
        if type(value) is list and len(value) < MAX_SIMPLE and all(type(item) is int for item in value):
            short = repr(value)
            if len(short) < maxsize:
                return short
        return str(saferepr(value, maxsize, **options))

    return text


def is_plain(value: Any) -> bool:
    """Whether a value is made of JSON's own types only, so that no serializer has a say in it."""
    kind = type(value)
    if kind in {str, int, bool, float} or value is None:
        return True
    if kind in {list, tuple}:
        return all(map(is_plain, value))
    return kind is dict and all(type(key) is str and is_plain(item) for key, item in value.items())


def _takes(task: Any, entry: Entry) -> bool:
    """Whether an ordinary task accepts the entry's arguments."""
    if not task.typing:
        return True
    try:
        task.__header__(*entry.args, **entry.kwargs)
    except Exception:  # noqa: BLE001 - the plain way will say what is wrong with them
        return False
    return True


def _has_usual_options(options: Mapping[str, Any]) -> bool:
    """Whether options are plain data, the same for each message, and leave alone what is filled in."""
    if not is_plain(options) or options.keys() & (_MOMENTARY | _FILLED_IN):
        return False
    headers = options.get("headers") or {}
    return type(headers) is dict and not headers.keys() & _FILLED_IN
