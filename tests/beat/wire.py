"""Messages as they lie in the broker, made comparable: without what differs from one sending to the next."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import redis
from celery import Celery
from celery.beat import Scheduler as CeleryScheduler

from qbeat.beat.app.reading import read_entries
from qbeat.beat.entries import Entry
from qbeat.beat.firing_ids import task_id_of
from qbeat.beat.publishing.base import Submission
from qbeat.schedules.base import SECOND
from qbeat.store.records import AUTO, Firing

UID = "a" * 32
FIRE_TIME = 1_790_000_000 * SECOND

Wire = dict[str, list[dict[str, Any]]]
"""Messages by the key of their queue, in the order in which a worker takes them."""


def lists(client: redis.Redis) -> Wire:
    """All messages that lie in a Redis."""
    found: Wire = {}
    for key in sorted(client.scan_iter(_type="LIST")):
        messages: Any = client.lrange(key, 0, -1)
        found[key.decode()] = [json.loads(message) for message in reversed(messages)]
    return found


def body(message: Mapping[str, Any]) -> Any:
    """The decoded body of a message in JSON."""
    return json.loads(base64.b64decode(message["body"]))


def comparable(wire: Wire) -> Wire:
    """Without ids, qbeat's headers and what counts from the moment of the sending."""
    return {key: [_comparable(message) for message in messages] for key, messages in wire.items()}


def _comparable(message: dict[str, Any]) -> dict[str, Any]:
    if "task" not in message["headers"]:  # protocol 1
        plain = {key: value for key, value in body(message).items() if key not in {"id", "eta"}}
        message = {**message, "body": plain}
    headers = {key: value for key, value in message["headers"].items() if key not in _OURS | _IDS}
    for name in ("eta", "expires"):
        if headers.get(name):
            headers[name] = "an instant"
    properties = {key: value for key, value in message["properties"].items() if key not in _IDS}
    if "expiration" in properties:
        properties["expiration"] = "milliseconds"
    return {**message, "headers": headers, "properties": properties}


# Celery 5.7 sets ``celery_beat_task`` too, those before do not.
_OURS = {"celery_beat_task", "periodic_task_name", "qbeat"}
_IDS = {"id", "root_id", "correlation_id", "delivery_tag"}


def instant(message: Mapping[str, Any], header: str) -> datetime:
    """The instant in a header."""
    return datetime.fromisoformat(message["headers"][header])


def send_as_celery(app: Celery, name: str) -> None:
    """Have Celery's own beat send an entry of ``beat_schedule``."""
    declared = dict(app.conf.beat_schedule[name])
    options = {key: value for key, value in (declared.pop("options", None) or {}).items() if key != "qbeat"}
    scheduler = CeleryScheduler(app, lazy=True)
    entry = scheduler.Entry(app=app, name=name, options=options, **declared)
    with app.connection_for_write() as connection:
        producer = app.amqp.Producer(connection, auto_declare=False)
        scheduler.apply_entry(entry, producer=producer)


def entries_of(app: Celery) -> dict[str, Entry]:
    return {entry.name: entry for entry in read_entries(app)}


def submission(entry: Entry, number: int = 0, uid: str = UID) -> Submission:
    """One firing of an entry; the numbers count its fire times."""
    fire_time = FIRE_TIME + number * SECOND
    return Submission(Firing(uid, entry.name, fire_time, AUTO, task_id_of(uid, fire_time, AUTO)), entry)
