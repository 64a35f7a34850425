"""Where store and broker are one Redis: messages that the claim itself pushes, in its own atomic step."""

from __future__ import annotations

import logging

from celery import Celery

from qbeat.beat.broker_store import broker_store
from qbeat.beat.entries import Entry
from qbeat.beat.errors import SettingError
from qbeat.beat.publishing.marked import MarkedSender
from qbeat.beat.publishing.plain import PlainScheduler
from qbeat.beat.publishing.templates import Templates, instant
from qbeat.store.base import Store
from qbeat.store.records import Message

logger = logging.getLogger("qbeat.publishing")


class Fusion:
    """Fills in the messages of ordinary entries before they are claimed; used by the loop's thread."""

    def __init__(self, app: Celery, scheduler: PlainScheduler) -> None:
        self._scheduler = scheduler
        self._sender = MarkedSender(app, scheduler)
        self._render = self._sender.render
        self._templates = Templates(app)

    def refresh(self) -> None:
        """Look whether anybody has begun to watch messages on their way; call it once for each batch."""
        self._templates.refresh(watched=self._scheduler.is_watched)

    def message(self, entry: Entry, uid: str, fire_time: int, task_id: str) -> Message | None:
        """Return the message of a firing, or ``None`` if it has to go the plain way."""
        try:
            return self._templates.message(entry, uid, task_id, instant(fire_time), self._render)
        except Exception as error:  # noqa: BLE001 - each transport has its own errors
            # The broker is away, so no message can be tried out; the publisher, or the claim, will say so.
            logger.debug("%s goes the plain way this time: %s", entry.name, error)
            return None

    def get_ready(self, entry: Entry, uid: str) -> bool:
        """Make ahead what all messages of an entry have in common; return whether to go on with others."""
        try:
            return self._templates.get_ready(entry, uid, self._render)
        except Exception as error:  # noqa: BLE001 - each transport has its own errors
            logger.debug("No message is made ahead now: %s", error)
            return False

    def close(self) -> None:
        """Let go of the connection that templates are tried out on."""
        self._sender.close()


def fusion_for(app: Celery, store: Store, scheduler: PlainScheduler | None = None) -> Fusion | None:
    """Return how claims push messages, ``None`` unless the store can push into the app's broker.

    ``scheduler`` renders what is not an ordinary entry.
    """
    try:
        broker = broker_store(app)
    except SettingError:  # not a Redis, or not one alone
        return None
    if not store.pushes_to(broker):
        return None
    logger.info("Store and broker are the same Redis: claiming and publishing are one step.")
    return Fusion(app, scheduler or PlainScheduler(app))
