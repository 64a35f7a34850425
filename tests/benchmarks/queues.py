"""The queue as the measuring process sees it: how many messages wait in it, and which."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any, Final, Protocol

import redis
from kombu.connection import Connection
from kombu.entity import Queue

QUEUE: Final = "celery"


class Watched(Protocol):
    """A queue whose depth can be read often."""

    poll: float
    """Seconds between two looks: what looking costs is taken from the contenders."""

    def depth(self) -> int: ...

    def clear(self) -> None: ...


class RedisQueue:
    """The list in Redis."""

    poll = 0.002

    def __init__(self, url: str) -> None:
        self._client: Any = redis.Redis.from_url(url)

    def depth(self) -> int:
        return int(self._client.llen(QUEUE))

    def clear(self) -> None:
        self._client.delete(QUEUE)

    def payloads(self) -> list[bytes]:
        """Return the messages that wait, and leave them there."""
        return list(self._client.lrange(QUEUE, 0, -1))

    def arrivals(self, until: float) -> Iterator[tuple[float, bytes]]:
        """Take messages as they come, each with the instant at which it was there."""
        while (left := until - time.time()) > 0:
            taken = self._client.brpop(QUEUE, timeout=min(left, 0.5))
            if taken is not None:
                yield time.time(), taken[1]


class RabbitQueue:
    """The queue in RabbitMQ, declared as Celery declares it."""

    poll = 0.01

    def __init__(self, url: str) -> None:
        connection = Connection(url)
        self._channel = connection.channel()
        Queue(QUEUE, exchange=QUEUE, routing_key=QUEUE, channel=self._channel).declare()

    def depth(self) -> int:
        return int(self._channel.queue_declare(QUEUE, passive=True).message_count)

    def clear(self) -> None:
        self._channel.queue_purge(QUEUE)


def number_of(payload: bytes) -> int:
    """Return the argument of the task that a message calls."""
    args, _, _ = json.loads(base64.b64decode(json.loads(payload)["body"]))
    return int(args[0])
