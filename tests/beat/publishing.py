"""What tests of publishing share: the process-wide switch of the service, and a watch over its patience."""

from __future__ import annotations

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

    def sleep(seconds: float) -> None:
        pytest.fail(f"sleeps {seconds} s")

    with patch("time.sleep", sleep):
        yield
