"""Takes publications out of Kombu at its last step: what py-amqp was to send, and what was declared for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qbeat.beat.publishing.frames import Publication


class Trial:
    """What a producer would have published on its channel; queues and exchanges are declared in earnest."""

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.declared: list[Any] = []

    @contextmanager
    def on(self, producer: Any) -> Iterator[None]:
        """Keep what ``producer`` publishes from going out."""
        channel, declare = producer.channel, producer.maybe_declare
        before = vars(channel).get("basic_publish")

        def note(entity: Any, *args: Any, **kwargs: Any) -> Any:
            self.declared.append(entity)
            return declare(entity, *args, **kwargs)

        producer.maybe_declare, channel.basic_publish = note, self._keep
        try:
            yield
        finally:
            del producer.maybe_declare, channel.basic_publish
            if before is not None:
                channel.basic_publish = before

    def _keep(
        self,
        message: Any,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        **_: Any,
    ) -> None:
        self.publications.append(Publication(message, exchange, routing_key, mandatory, immediate))
