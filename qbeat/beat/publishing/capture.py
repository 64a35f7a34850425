"""Takes messages out of Kombu's Redis channel at the last step: what it would have pushed, and where."""

from __future__ import annotations

from typing import Any

from kombu.utils.json import dumps

from qbeat.store.records import Message


class Capture:
    """Stands in for ``LPUSH`` on one channel; routing, priorities, prefixes and serializers stay Kombu's.

    What Kombu does not push on a list that lives for ever (fanout exchanges, queues that expire) still goes
    out the way Kombu sends it; ``escaped`` then says so.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._put = channel._put  # noqa: SLF001 - the transport's own last step has no public name
        self._put_fanout = channel._put_fanout  # noqa: SLF001
        self.messages: list[Message] = []
        self.escaped = False
        channel._put = self._capture  # noqa: SLF001
        channel._put_fanout = self._let_out  # noqa: SLF001

    def reset(self) -> None:
        """Begin with the next firing."""
        self.messages = []
        self.escaped = False

    def _capture(self, queue: str, message: Any, **options: Any) -> None:
        channel = self._channel
        if queue in (getattr(channel, "_expires", None) or {}):
            self.escaped = True
            self._put(queue, message, **options)
            return
        priority = channel._get_message_priority(message, reverse=False)  # noqa: SLF001
        key = channel._q_for_pri(queue, priority)  # noqa: SLF001
        self.messages.append(Message(f"{channel.global_keyprefix}{key}", dumps(message)))

    def _let_out(self, *args: Any, **options: Any) -> None:
        self.escaped = True
        self._put_fanout(*args, **options)
