"""The keys that a store has in Redis. One hash tag keeps them all in one slot of a cluster."""

from __future__ import annotations

from typing import Final

_NAMES: Final = (
    "meta",  # hash: the version, the change number, counters
    "entries",  # hash: name -> definition
    "names",  # hash: uid -> name, of removed entries too while they have a history
    "states",  # hash: uid -> how far the entry has come
    "changes",  # sorted set: name, by change number
    "due",  # sorted set: uid, by due_at
    "outbox",  # hash: uid -> unsettled firings
    "held",  # sorted set: uid, by when its first firing was claimed
    "released",  # sorted set: uid, by when its first firing may be taken over
    "starts",  # sorted set: uid, by where pruning its history begins
    "former",  # hash: name -> uids of removed entries that have a history
    "replicas",  # hash: id -> heartbeat
    "numbers",  # hash: replica -> the number that stands for it in the history
    "history:",  # followed by a uid, list: records in the order of their fire times
    "late:",  # followed by a uid, sorted set: records that came out of order
    "counts",  # hash: number of a span of ten minutes -> how many records begin in it
)


def keys_of(prefix: str) -> tuple[str, ...]:
    """Return the keys of the store with a prefix, in the order in which the scripts know them."""
    return tuple(f"{{{prefix}}}:{name}" for name in _NAMES)


def name_of(key: str) -> str:
    """Return what a key is called among the store's."""
    return key.rpartition("}:")[2]
