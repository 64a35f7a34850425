"""A Kombu transport over a folder: a broker without a server, for the demo and for tests on one machine.

Kombu's own ``filesystem://`` writes a message under its final name and reads it without a lock, so a worker
under load meets half a message and dies. Here every step is a rename (see ``folder``), unacknowledged messages
of a killed worker come back, and queues made by a process that is gone go with it. Not for production: it
polls, and it does not sync to disk.

    app.conf.broker_url = "filesystem://localhost"
    app.conf.broker_transport = "qbeat.beat.demo.transport:Transport"
    app.conf.broker_transport_options = {"folder": "/tmp/queues"}  # and "polling_interval", in seconds
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any, Final

from kombu.exceptions import ChannelError
from kombu.transport import virtual
from kombu.utils.json import dumps, loads

from qbeat.beat.demo.folder import Binding, MessageFolder, open_folder

RECOVERY_INTERVAL: Final = 5.0
"""Seconds between two looks for processes that died with messages in hand."""


class QoS(virtual.QoS):
    """Kombu's prefetch count, which also tells the folder what becomes of each taken message."""

    def ack(self, delivery_tag: str) -> None:
        self.channel.folder.drop(delivery_tag)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        super().reject(delivery_tag, requeue=requeue)
        if not requeue:
            self.channel.folder.drop(delivery_tag)


class Channel(virtual.Channel):
    """Kombu's virtual channel on a ``MessageFolder``."""

    QoS = QoS
    supports_fanout = True

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        _root_of(connection.client.transport_options)  # to miss it here, and not with the first message
        self._names: dict[str, deque[str]] = {}
        self._unacknowledged_queues: set[str] = set()
        self._recovery_at = 0.0

    @property
    def folder(self) -> MessageFolder:
        """The queues, as this process sees them."""
        return open_folder(_root_of(self.connection.client.transport_options))

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> None:
        self._expect_acknowledgement(queue, not no_ack)
        super().basic_consume(queue, no_ack, *args, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        self._expect_acknowledgement(queue, not no_ack)
        return super().basic_get(queue, no_ack=no_ack, **kwargs)

    def get_table(self, exchange: str) -> list[Binding]:
        """Return the bindings of an exchange, whichever process made them."""
        return self.folder.bindings(exchange)

    def _expect_acknowledgement(self, queue: str, expected: bool) -> None:
        change = self._unacknowledged_queues.discard if expected else self._unacknowledged_queues.add
        change(queue)

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        self.folder.put(queue, dumps(message).encode())

    def _put_fanout(self, exchange: str, message: dict[str, Any], _routing_key: str, **_: Any) -> None:
        for queue in {binding.queue for binding in self.folder.bindings(exchange)}:
            self._put(queue, message)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - Kombu's signature
        self._recover_now_and_then()
        tag = self._take_oldest(queue)
        message: dict[str, Any] = loads(self.folder.read(tag))
        if queue in self._unacknowledged_queues:
            self.folder.drop(tag)
        # The tag is the name of the taken file, so that any channel of this process can settle the message.
        message["properties"]["delivery_tag"] = tag
        return message

    def _take_oldest(self, queue: str) -> str:
        # One listing serves until its names are used up: with a long backlog, listing costs more than taking.
        names = self._names.get(queue) or deque(self.folder.names(queue))
        self._names[queue] = names
        while names:
            tag = self.folder.take(queue, names.popleft())
            if tag is not None:
                return tag
        raise Empty

    def _recover_now_and_then(self) -> None:
        now = monotonic()
        if now >= self._recovery_at:
            self._recovery_at = now + RECOVERY_INTERVAL
            self.folder.recover()

    def _restore(self, message: Any) -> None:
        self.folder.give_back(message.delivery_tag)

    def _new_queue(self, queue: str, *, exclusive: bool = False, auto_delete: bool = False, **_: Any) -> None:
        self.folder.create_queue(queue, temporary=exclusive or auto_delete)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self.folder.has_queue(queue)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        self.folder.bind(exchange, Binding(routing_key or "", pattern or "", queue))

    def _delete(self, queue: str, *_: Any, **__: Any) -> None:
        self.folder.delete_queue(queue)

    def _purge(self, queue: str) -> int:
        return self.folder.purge(queue)

    def _size(self, queue: str) -> int:
        return len(self.folder.names(queue))


class Transport(virtual.Transport):
    """What ``broker_transport`` names."""

    Channel = Channel
    driver_type = "filesystem"
    driver_name = "qbeat-folder"
    polling_interval = 0.05

    implements = virtual.Transport.implements.extend(exchange_type=frozenset(["direct", "topic", "fanout"]))

    def driver_version(self) -> str:
        return "N/A"


def _root_of(options: dict[str, Any]) -> Path:
    folder = options.get("folder")
    if not folder:
        raise ChannelError('name the folder of the queues: broker_transport_options = {"folder": "/a/path"}')
    return Path(folder)
