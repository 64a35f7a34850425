"""A window of messages on one channel: how the broker answers each of them, as far as it has."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any


class Window:
    """Publishes many messages on a channel before the first is confirmed. Used by one thread.

    The channel is put into confirm mode; nothing else may publish on it.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._connection = channel.connection
        self._last_tag = 0
        self._waiting: dict[int, str] = {}
        """Task ids by delivery tag, in their order."""
        self._refused: dict[str, str] = {}
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)

    def heed(self) -> None:
        """Take in what the broker has said in the meantime; raises if it has closed the connection."""
        try:
            while True:
                self._connection.drain_events(timeout=0)
        except TimeoutError:
            pass

    def write(self, task_ids: Sequence[str], frames: Sequence[bytes]) -> None:
        """Write one message for each task id, all in one go."""
        first = self._last_tag + 1
        self._waiting = dict(enumerate(task_ids, first))
        self._refused = {}
        self._last_tag += len(task_ids)
        self._connection.transport.write(b"".join(frames))

    def wait(self, timeout: float) -> None:
        """Wait until all are answered; raises ``TimeoutError`` after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        try:
            while self._waiting:
                # Zero would ask for what is there already, less than that raises another error.
                self._connection.drain_events(timeout=max(0, deadline - time.monotonic()))
        except TimeoutError:
            raise TimeoutError(f"no confirmation within {timeout:g} s") from None

    @property
    def unanswered(self) -> frozenset[str]:
        """The task ids of the messages that the broker has said nothing of."""
        return frozenset(self._waiting.values())

    @property
    def refused(self) -> dict[str, str]:
        """Why the broker did not take a message, by task id."""
        return self._refused

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for _ in self._answered(tag, multiple):
            pass

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for task_id in self._answered(tag, multiple):
            self._refused[task_id] = "MessageNacked: the broker did not take the message; is its queue full?"

    def _on_return(self, error: BaseException, _exchange: str, _routing_key: str, message: Any) -> None:
        # Its confirmation comes afterwards.
        text = f"{type(error).__name__}: {error}"
        self._refused[message.properties["correlation_id"]] = text

    def _answered(self, tag: int, multiple: bool) -> Iterator[str]:
        if not multiple:
            answered = [tag]
        else:
            answered = []
            for earlier in self._waiting:
                if earlier > tag:
                    break
                answered.append(earlier)
        for one in answered:
            task_id = self._waiting.pop(one, None)
            if task_id is not None:
                yield task_id
