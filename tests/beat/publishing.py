"""What tests of publishing share: the process-wide switch of the service, and a watch over its patience."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from celery import Celery

KeepOff = Callable[[Celery], None]
"""What keeps this process off an app's result backend."""


@contextmanager
def no_sleeping() -> Iterator[None]:
    """Fail whoever sleeps."""
    really_sleep, forbidden = time.sleep, True

    def sleep(seconds: float) -> None:
        if forbidden:
            pytest.fail(f"sleeps {seconds} s")
        really_sleep(seconds)

    with patch("time.sleep", sleep):
        try:
            yield
        finally:
            # A module that is imported meanwhile keeps this one for good (`from time import sleep`).
            forbidden = False
