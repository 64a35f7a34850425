"""What tests of publishing share: the process-wide switch of the service, and watches over its patience."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from celery import Celery

from qbeat.beat.publishing.base import Publisher
from qbeat.beat.publishing.pool import PooledPublisher

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


class Pauses(threading.Event):
    """Keeps what pauses a publisher asks for from now on between looks at its broker, and makes them short."""

    def __init__(self, publisher: Publisher) -> None:
        super().__init__()
        self.asked: list[float | None] = []
        assert isinstance(publisher, PooledPublisher)
        publisher._stop_knocking = self

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout)
        return super().wait(0.05)
