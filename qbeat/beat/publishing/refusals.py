"""What a refusal by Redis speaks of: its own state, which passes, or what it was asked for, which stays refused."""

from __future__ import annotations

from typing import Final

from redis import exceptions

_STATES: Final = frozenset(
    {
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOREPLICAS",
        "OOM",
        "READONLY",
        "TRYAGAIN",
        "WRONGPASS",
    }
)
"""With these words Redis begins a refusal that has nothing to do with the single command."""

_STATE_ERRORS: Final = tuple(
    getattr(exceptions, name)
    for name in (
        "AskError",
        "ClusterDownError",
        "MasterDownError",
        "OutOfMemoryError",
        "ReadOnlyError",
        "TryAgainError",
    )
    if hasattr(exceptions, name)
)
"""The same as redis-py, each version a few more of them, raises them: without the word."""

_BEFORE_WORD: Final = "caused error: "
"""What redis-py writes before the text of a refusal inside a pipeline."""


def is_refusal(error: BaseException) -> bool:
    """Whether Redis is well, and refuses what this one message needs: a permission, a key of another type."""
    # Kombu 5.7 raises its own error in place of redis-py's.
    cause = error if isinstance(error, exceptions.ResponseError) else error.__cause__
    return isinstance(cause, exceptions.ResponseError) and not tells_state(cause)


def tells_state(error: BaseException) -> bool:
    """Whether an error of redis-py is the refusal of a Redis whose state is in the way, of whatever it is asked."""
    if isinstance(error, _STATE_ERRORS):
        return True
    text = str(error).rpartition(_BEFORE_WORD)[2]
    return isinstance(error, exceptions.ResponseError) and speaks_of_state(text)


def speaks_of_state(refusal: str) -> bool:
    """Whether the text of a refusal speaks of the state that Redis is in."""
    # Scripts on a Redis before 7 are told the word with a dash before it.
    return refusal.lstrip("-").partition(" ")[0] in _STATES
