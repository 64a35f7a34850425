"""What is said of a name that a store does not know: which one may have been meant."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from qbeat.store.checks import storable

if TYPE_CHECKING:
    from qbeat.store.base import Store
    from qbeat.store.records import EntryRecord

_COMPARED: Final = 10_000
"""So many names of a store are compared with a mistyped one."""


def check_names(store: Store, names: tuple[str, ...]) -> None:
    """Raise a usage error for the first of ``names`` that is neither an entry, retired or not, nor has a history."""
    for name in names:
        if not entries_of(store, name) and not _has_history(store, name):
            raise unknown_entry(store, name)


def entries_of(store: Store, name: str) -> list[EntryRecord]:
    """Return the entry of this name, if there is one; none has a name that not every store can even be asked for."""
    return store.entries([name]) if storable(name) == name else []


def _has_history(store: Store, name: str) -> bool:
    return storable(name) == name and next(store.history(entries=[name], limit=1), None) is not None


def unknown_entry(store: Store, name: str) -> click.UsageError:
    """Return the error that names the entries that ``name`` is close to."""
    names = [record.name for record in islice(store.scan(), _COMPARED)]
    close = get_close_matches(name, names)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return click.UsageError(f"there is no entry {name!r}; {hint}qbeat list shows which there are")
