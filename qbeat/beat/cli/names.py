"""What is said of a name that a store does not know: which one may have been meant."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from qbeat.store.base import Store

_COMPARED: Final = 10_000
"""So many names of a store are compared with a mistyped one."""


def check_names(store: Store, names: tuple[str, ...]) -> None:
    """Raise a usage error for the first of ``names`` that is neither an entry, retired or not, nor has a history."""
    known = {record.name for record in store.entries(names)} if names else set()
    for name in names:
        if name not in known and next(store.history(entries=[name], limit=1), None) is None:
            raise unknown_entry(store, name)


def unknown_entry(store: Store, name: str) -> click.UsageError:
    """Return the error that names the entries that ``name`` is close to."""
    names = [record.name for record in islice(store.scan(), _COMPARED)]
    close = get_close_matches(name, names)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return click.UsageError(f"there is no entry {name!r}; {hint}qbeat list shows which there are")
