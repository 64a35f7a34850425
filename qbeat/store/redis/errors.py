"""What an error of Redis means for the person who runs the store, in one sentence with the cure."""

from __future__ import annotations

from typing import Final

import redis.exceptions as errors

from qbeat.store.base import StoreError, StoreUnavailable, StoreUnusable


class StoreEmptied(StoreUnavailable):
    """The store's data have gone since it was opened."""


_Meaning = tuple[type[StoreError], str]

_ANOTHER_PREFIX: Final = "choose other keys with ?prefix=NAME in the store's URL"

_EMPTIED: Final = StoreEmptied, "was emptied while it was in use: what it knew of past firings is lost"
_NEWER: Final = (
    StoreUnusable,
    "was written by a newer qbeat: upgrade qbeat here, or name another store with -s",
)
_UNMARKED: Final = (
    StoreUnusable,
    f"has the keys of a store but not its version: restore it from a backup, or {_ANOTHER_PREFIX}",
)
_FOREIGN: Final = (
    StoreUnusable,
    f"has keys of another program where the store's should be: {_ANOTHER_PREFIX}",
)
_FORBIDDEN: Final = (
    StoreUnusable,
    "does not let this user work: allow it all commands on the store's keys and on the queues",
)
_REFUSED: Final = StoreUnusable, "refuses the user or the password: correct them in the store's URL"
_NO_DATABASE: Final = (
    StoreUnusable,
    "does not have this database: correct the number at the end of the store's URL",
)
_NO_CLUSTER: Final = (
    StoreUnusable,
    "is no cluster, and a store is one Redis: name one server, or its Sentinels with sentinel://",
)
_REPLICA: Final = (
    StoreUnavailable,
    "is a replica that may only be read: name the primary, or wait until it is one",
)
_FULL: Final = (
    StoreUnavailable,
    "has no memory left: raise maxmemory, or let the workers empty the queues",
)
_DISK: Final = StoreUnavailable, "cannot write its data to its disk: make room there"
_ALONE: Final = StoreUnavailable, "has too few replicas to accept writes: bring them back"
_UNTRUSTED: Final = (
    StoreUnusable,
    "shows a certificate that cannot be trusted: name its authority with ssl_ca_certs=FILE in the store's URL",
)
_LOADING: Final = StoreUnavailable, "is still loading its data: it will answer soon"
_MOVING: Final = StoreUnavailable, "is a cluster that is being repaired or moved: it will answer soon"
_ORPHANED: Final = (
    StoreUnavailable,
    "cannot be found: see whether its Sentinels run, and whether master_name is what they call it",
)
_BUSY: Final = StoreUnavailable, "is busy with a long script: wait, or end it with SCRIPT KILL"
_KILLED: Final = (
    StoreUnavailable,
    "has ended what it did for the store, for somebody said SCRIPT KILL: it is tried again",
)
_CROWDED: Final = StoreUnavailable, "has too many clients: raise maxclients, or close some"
_SLOW: Final = StoreUnavailable, "did not answer in time: see whether it is overloaded"
_UNLIKE: Final = StoreUnusable, "does not speak as Redis does: correct the store's URL"

# Searched for in the error's text, in this order: Redis before 7 wraps a script's errors into others, and
# redis-py takes the code off some.
_BY_TEXT: Final[tuple[tuple[_Meaning, tuple[str, ...]], ...]] = (
    (_EMPTIED, ("QBEAT_EMPTIED",)),
    (_NEWER, ("QBEAT_NEWER",)),
    (_UNMARKED, ("QBEAT_UNMARKED",)),
    (_FOREIGN, ("WRONGTYPE", "wrong kind of value")),
    (_FORBIDDEN, ("NOPERM", "no permissions", "No permissions", "can't access at least one of the keys")),
    (_FORBIDDEN, ("The user executing the script can't",)),
    (_REFUSED, ("WRONGPASS", "NOAUTH", "invalid password", "Authentication required")),
    (_REFUSED, ("without any password configured", "invalid username-password", "unauthenticated")),
    (_NO_DATABASE, ("DB index is out of range", "SELECT is not allowed", "invalid DB index")),
    (_NO_CLUSTER, ("cluster support disabled",)),
    (_REPLICA, ("READONLY", "read only replica")),
    (_FULL, ("OOM ", "'maxmemory'")),
    (_DISK, ("MISCONF", "errors writing to the AOF")),
    (_ALONE, ("NOREPLICAS",)),
    (_UNTRUSTED, ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed")),
    (_LOADING, ("LOADING", "loading the dataset")),
    (_MOVING, ("CLUSTERDOWN", "TRYAGAIN", "during rehashing of slot", "ASK ", "MASTERDOWN")),
    (_ORPHANED, ("No master found for",)),
    (_BUSY, ("BUSY",)),
    (_KILLED, ("Script killed by user",)),
    (_CROWDED, ("max number of clients",)),
)

_BY_KIND: Final[tuple[tuple[type[Exception], _Meaning], ...]] = (
    (errors.BusyLoadingError, _LOADING),
    (errors.ReadOnlyError, _REPLICA),
    (errors.OutOfMemoryError, _FULL),
    (errors.NoPermissionError, _FORBIDDEN),
    (errors.AuthenticationError, _REFUSED),
    (errors.ClusterError, _MOVING),
    (errors.ClusterDownError, _MOVING),
    (errors.TryAgainError, _MOVING),
    (errors.AskError, _MOVING),  # and MovedError, which is one: the keys are elsewhere
    (errors.InvalidResponse, _UNLIKE),
    (errors.TimeoutError, _SLOW),
)


def explain(error: Exception, url: str) -> StoreError:
    """Return what ``error`` of redis-py, met at ``url``, comes to."""
    text = str(error)
    meanings = (
        *(meaning for meaning, signs in _BY_TEXT if any(sign in text for sign in signs)),
        *(meaning for kind, meaning in _BY_KIND if isinstance(error, kind)),
    )
    # To a handshake a Redis without TLS says nothing, or hangs up.
    or_tls = ", or whether it speaks TLS" if url.startswith("rediss://") else ""
    if meanings:
        kind, meaning = meanings[0]
        return kind(f"the Redis at {url} {meaning}{or_tls if meanings[0] is _SLOW else ''}")
    if isinstance(error, (errors.ConnectionError, OSError)):
        return StoreUnavailable(
            f"the Redis at {url} cannot be reached ({text.rstrip('.')}): see whether it runs{or_tls}"
        )
    return StoreUnusable(f"the Redis at {url} cannot serve as a store: {text}")
