"""``celery inspect ping`` reaches ``qbeat -A`` as it reaches ``celery beat``: through Celery's own mailbox node."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import VERSION_BANNER, beat

from qbeat.beat.service import Service

logger = logging.getLogger("qbeat")


@contextmanager
def answering_pings(
    service: Service, *, wanted: bool | None = None, hostname: str | None = None
) -> Iterator[None]:
    """Answer while this runs, as ``celerybeat@<host>``, for as long as the service turns.

    ``wanted`` is the command line's word; without one it is the app's setting ``beat_enable_remote_control``.
    """
    if wanted is None:
        wanted = bool(service.app.conf.get("beat_enable_remote_control"))
    node = _node(service, hostname) if wanted else None
    if node is None:
        yield
        return
    node.start()
    try:
        yield
    finally:
        node.stop()


def _node(service: Service, hostname: str | None) -> Any:
    mailbox: Any = getattr(beat, "BeatPidbox", None)
    if mailbox is None:
        logger.warning("Celery %s has no remote control for a beat; Celery 5.7 brings it.", VERSION_BANNER)
        return None
    service.hostname = hostname
    return mailbox(service)
