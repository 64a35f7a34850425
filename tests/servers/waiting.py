"""Wait for something observable to become true, with a deadline."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02


def eventually(predicate: Callable[[], T], *, within: float = 10.0, what: str = "") -> T:
    """Call `predicate` until it answers something true, and return that answer.

    An AssertionError inside the predicate means "not yet"; any other error passes through. After
    `within` seconds an AssertionError says what was awaited and what was seen last.
    """
    deadline = time.monotonic() + within
    while True:
        seen: object
        try:
            seen = answer = predicate()
            if answer:
                return answer
        except AssertionError as not_yet:
            seen = not_yet
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {within:g} s: {what or _text_of(predicate)}; last seen: {seen!r}"
            )
        time.sleep(POLL_SECONDS)


def _text_of(predicate: Callable[[], object]) -> str:
    try:
        return inspect.getsource(predicate).strip()
    except (OSError, TypeError):
        return repr(predicate)
