"""Chooses the way to the app's broker."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from qbeat.beat.clock import Clock
from qbeat.beat.observer import SILENT, Observer
from qbeat.beat.publishing.base import Publisher
from qbeat.beat.publishing.marked import MarkedSender
from qbeat.beat.publishing.plain import PlainScheduler, PlainSender, driver_of
from qbeat.beat.publishing.pool import PooledPublisher
from qbeat.beat.publishing.templates import Templates


def publisher_for(
    app: Celery,
    clock: Clock,
    now: Callable[[], int],
    scheduler: PlainScheduler | None = None,
    observer: Observer = SILENT,
) -> Publisher:
    """Return the publisher for the app's broker: exactly once on Redis, with confirms where there are any.

    ``now`` gives the time that firings are published at, in microseconds since the epoch. ``scheduler`` sends
    what goes the plain way. ``observer`` hears how long the broker takes.
    """
    plain = scheduler or PlainScheduler(app)
    return PooledPublisher(_sender_maker(app, plain), clock, now, observer)


def _sender_maker(app: Celery, scheduler: PlainScheduler) -> Callable[[], PlainSender]:
    """Return what makes a sender of the kind that suits the app's broker."""
    if driver_of(app) == "redis":
        messages = Templates(app)
        return lambda: MarkedSender(app, scheduler, messages)
    # What else speaks AMQP, such as librabbitmq, does not confirm.
    if app.connection_for_write().get_transport_cls().__module__ == "kombu.transport.pyamqp":
        return _confirmed_sender_maker(app, scheduler)
    return lambda: PlainSender(app, scheduler)


def _confirmed_sender_maker(app: Celery, scheduler: PlainScheduler) -> Callable[[], PlainSender]:
    # Here, for a start on another broker would import all of this in vain.
    from qbeat.beat.publishing.blockage import Blockage  # noqa: PLC0415 - as said above
    from qbeat.beat.publishing.confirmed import CHANNEL, ConfirmedSender  # noqa: PLC0415 - as said above
    from qbeat.beat.publishing.frame_templates import FrameTemplates  # noqa: PLC0415 - as said above

    blockage, frames = Blockage(), FrameTemplates(app, CHANNEL)
    return lambda: ConfirmedSender(app, scheduler, blockage, frames)
