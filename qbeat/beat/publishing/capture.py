"""Takes messages out of Kombu's Redis channel at the last step: the commands that would have sent them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Self

STEPS: Final = {"lpush": "L", "pexpire": "E", "publish": "P"}
"""A letter for each command that Kombu sends a message with."""


class Command(NamedTuple):
    """A command that was held back: its letter, its key or channel with the prefix of all keys, and its value."""

    step: str
    key: str
    value: str | int


class Capture:
    """Holds back what one channel sends; routing, priorities, prefixes and serializers stay Kombu's.

    Nothing of a message gets past it: not what goes to a fanout exchange, nor what goes to a queue that expires.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._put = channel._put  # noqa: SLF001 - the transport's own last step has no public name
        self._put_fanout = channel._put_fanout  # noqa: SLF001 - likewise
        self._commands: list[Command] = []
        channel._put = self._keep  # noqa: SLF001 - likewise
        channel._put_fanout = self._keep_fanout  # noqa: SLF001 - likewise

    def take(self) -> list[Command]:
        """Return what was held back since the last call, what cannot be taken back from the broker at the end."""
        commands, self._commands = self._commands, []
        return sorted(commands, key=lambda command: command.step == STEPS["publish"])

    def _keep(self, *args: Any, **options: Any) -> None:
        with self._recorded():
            self._put(*args, **options)

    def _keep_fanout(self, *args: Any, **options: Any) -> None:
        with self._recorded():
            self._put_fanout(*args, **options)

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """Give the channel a recorder in place of its client."""
        channel = self._channel
        channel.conn_or_acquire = lambda *_: _Recorder(channel.global_keyprefix, self._commands)
        try:
            yield
        finally:
            del channel.conn_or_acquire


class _Recorder:
    """What stands in for a client and its pipelines. It has no other command, so Kombu fails if it wants one."""

    def __init__(self, prefix: str, commands: list[Command]) -> None:
        self._prefix = prefix
        self._commands = commands

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to give back."""

    def pipeline(self) -> Self:
        return self

    def execute(self) -> None:
        """What is in the pipeline has been noted."""

    def lpush(self, key: str, payload: str) -> Self:
        return self._note("lpush", key, payload)

    def pexpire(self, key: str, milliseconds: int) -> Self:
        return self._note("pexpire", key, milliseconds)

    def publish(self, channel: str, payload: str) -> Self:
        return self._note("publish", channel, payload)

    def _note(self, command: str, key: str, value: str | int) -> Self:
        self._commands.append(Command(STEPS[command], f"{self._prefix}{key}", value))
        return self
