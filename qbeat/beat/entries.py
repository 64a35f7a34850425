"""An entry as this process can fire it: what the code declares, checked, with its schedule compiled."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from celery.beat import BeatLazyFunc

from qbeat.beat.policies import DEFAULTS, Policies
from qbeat.schedules.base import Schedule

_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_PLAIN: Final = frozenset({type(None), bool, int, float, str})
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")


NOTHING: Final[Mapping[str, Any]] = {}
"""The keyword arguments, or options, of an entry that has none: one object for all."""


@dataclass(slots=True)  # nobody changes one, but ``frozen`` would double what it costs to make many
class Entry:
    """A named schedule, the task that it sends, and its policies."""

    name: str
    task: str
    schedule: Schedule
    """Resolved: its time zone and its share of any hash are filled in."""
    timezone: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """What ``apply_async`` takes, without the option ``qbeat``."""
    policies: Policies = DEFAULTS
    celery_schedule: Any = None
    """The object that the code declared, for those who look at a firing's Celery entry."""
    canvas: Mapping[str, Any] | None = None
    """A chain or group as the plain data of its signature; ``None`` for a single task."""
    last_run_at: int | None = None
    """Where a new entry's grid starts, if the declaration says so; microseconds since the epoch."""
    fingerprint: str = field(init=False, compare=False)
    """A hash of all that the declaration says, the name too: with an equal one, an entry is still the same."""
    is_quick: bool = field(init=False, compare=False)
    """Whether nothing of the user's runs when it is published, as far as the entry tells."""

    def __post_init__(self) -> None:
        is_lazy = _has_lazy(self.args) or _has_lazy(self.kwargs.values())
        self.is_quick = self.canvas is None and not is_lazy
        self.fingerprint = _fingerprint(self)

    @property
    def definition(self) -> dict[str, Any]:
        """The arguments, options and policies in printable form: JSON-ready, the same in every process.

        Made anew each time, for it is needed once; of the policies only what differs from the defaults.
        """
        return {
            "args": printable(self.args),
            "kwargs": printable(self.kwargs),
            "options": printable(self.options),
            "policies": {name: printable(value) for name, value in self.policies.differing().items()},
            **({"canvas": printable(self.canvas)} if self.canvas else {}),
        }


def _has_lazy(values: Collection[Any]) -> bool:
    """Whether any value is to be made by the user's code when it is sent."""
    return not _PLAIN.issuperset(map(type, values)) and any(
        isinstance(value, BeatLazyFunc) for value in values
    )


def _fingerprint(entry: Entry) -> str:
    """Hash what an entry's like have in common, most often known from another one, then what is its own."""
    if entry.options or entry.canvas or entry.policies is not DEFAULTS:
        definition = entry.definition
        shared = definition["options"], definition["policies"], definition.get("canvas")
        found = _hash([entry.task, entry.schedule.text, entry.timezone, *shared])
    else:
        found = _hash_of_like(entry.task, entry.schedule.text, entry.timezone).copy()
    if entry.kwargs or not _PLAIN.issuperset(map(type, entry.args)):
        found.update(_encode([entry.name, printable(entry.args), printable(entry.kwargs)]).encode())
    else:  # a text that is the same everywhere, too, in a tenth of the time
        found.update(ascii((entry.name, entry.args)).encode())
    return found.hexdigest()


def generation_of(entries: Iterable[Entry]) -> str:
    """Return a hash of a whole declaration, whatever the order of its entries: the sum of their hashes."""
    return f"{sum(int(entry.fingerprint, 16) for entry in entries) % 2**128:032x}"


def digest(data: Any) -> str:
    """Return 32 hexadecimal digits that stand for JSON-ready data."""
    return _hash(data).hexdigest()


def _hash(data: Any) -> blake2b:
    return blake2b(_encode(data).encode(), digest_size=16)


@lru_cache(maxsize=1_000)
def _hash_of_like(task: str, schedule: str, timezone: str) -> blake2b:
    return _hash([task, schedule, timezone])


def printable(value: Any) -> Any:
    """Return ``value`` as JSON-ready data; what JSON has no word for becomes a text that is the same everywhere."""
    if type(value) in _PLAIN or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _PLAIN else printable(item) for item in value]
    if isinstance(value, (dict, Mapping)):  # the look at a dict is quick, the one at any mapping is not
        return {str(key): printable(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((printable(item) for item in value), key=repr)
    if isinstance(value, BeatLazyFunc):
        return _printable_call(value)
    return without_addresses(repr(value))


def without_addresses(text: str) -> str:
    """Return the text of an object without where it lies in memory, which is elsewhere after each start."""
    return _ADDRESS.sub("", text)


def _printable_call(lazy: BeatLazyFunc) -> str:
    # Celery keeps what it is to call in private attributes and in its plain ``__dict__``.
    details = vars(lazy)
    function = details.get("_func", lazy)
    name = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
    arguments = details.get("_func_params", {})
    return f"lazy {name} {json.dumps(printable(arguments), sort_keys=True)}"
