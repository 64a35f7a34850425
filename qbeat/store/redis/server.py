"""One Redis as the store talks to it: scripts and commands, timeouts, connections that heal, clear errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import redis
import redis.exceptions as errors

from qbeat.store.base import StoreError, StoreUnavailable
from qbeat.store.redis.address import Address
from qbeat.store.redis.errors import explain
from qbeat.store.redis.route import Route
from qbeat.store.redis.scripts import Script

_NODES: Final = ("CLUSTER", "SLOTS")
_MAX_HOPS: Final = 5
_MAX_TRIES: Final = 3
"""Nodes of a cluster that one call tries, if that is harmless; the next call goes on with the next node."""

Argument = str | bytes | int


class Server:
    """Sends commands to the server at an address, or to the node of its cluster that has the store's keys.

    What is marked as harmless to ``repeat`` is asked again, once, on a new connection when the old one
    breaks. Anything else is sent at most once: if its answer is lost, nobody knows whether it was done.
    A node of a cluster that fails is left for another.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._route = Route(address)

    @property
    def url(self) -> str:
        return self._address.url

    @property
    def is_one_of_several(self) -> bool:
        """Whether the address names several nodes: they have to be those of one cluster."""
        return len(self._address.nodes) > 1

    def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], *, repeat: bool = False
    ) -> Any:
        """Run a script, loading it into Redis if it is not there; ``StoreError`` if that fails."""
        tail = (len(keys), *keys, *arguments)
        try:
            return self._ask("EVALSHA", script.digest, *tail, repeat=repeat)
        except errors.NoScriptError:
            return self.command("EVAL", script.text, *tail, repeat=repeat)

    def begin(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Callable[[], Any]:
        """Send what ``run`` sends; the function returned waits for the answer, once, and returns it."""
        tail = (len(keys), *keys, *arguments)
        pool = self._route.client.connection_pool
        with self._explained():
            connection = _connection_of(pool)
            with _used(connection, pool, keep=True):
                connection.send_packed_command([_packed("EVALSHA", script.digest, *tail)])

        def finish() -> Any:
            try:
                with self._explained(), _used(connection, pool):
                    return connection.read_response()
            except errors.NoScriptError:
                return self.command("EVAL", script.text, *tail)

        return finish

    def command(self, *command: Argument, repeat: bool = False) -> Any:
        """Send one command; ``StoreError`` if that fails."""
        try:
            return self._ask(*command, repeat=repeat)
        except errors.NoScriptError as error:
            raise self.explain(error) from error

    def explain(self, error: Exception) -> StoreError:
        """Return what ``error`` comes to for the person who runs the store."""
        return explain(error, self.url)

    def look_around(self) -> None:
        """Learn which nodes of a cluster there are to turn to; ``StoreError`` if it does not say."""
        self._route.learn(self.command(*_NODES, repeat=True))

    def close(self) -> None:
        """Let go of all connections; the next command connects anew."""
        self._route.close()

    def _ask(self, *command: Argument, repeat: bool) -> Any:
        with self._explained():
            answer = self._try(command, min(self._route.choices, _MAX_TRIES) if repeat else 0)
        if self._route.has_answered():
            self._learn()
        return answer

    def _try(self, command: Sequence[Argument], more: int) -> Any:
        """Send a command and, as long as it does not get through, so many times more."""
        for _ in range(more):
            try:
                return self._follow(command)
            except (errors.ConnectionError, errors.TimeoutError) as error:
                if not self._is_worth_another_try(error):
                    raise
                self._route.turn()
        return self._follow(command)

    def _is_worth_another_try(self, error: errors.ConnectionError | errors.TimeoutError) -> bool:
        """Whether a connection broke or, where there are other nodes to ask, was silent."""
        if isinstance(error, errors.TimeoutError):
            return self._route.choices > 1
        return not _is_an_answer(error)

    def _learn(self) -> None:
        """Learn which nodes there are by now; the command before is done, whatever becomes of this one."""
        try:
            self._route.learn(self._route.client.execute_command(*_NODES))
        except (redis.RedisError, OSError):
            self._route.learn_later()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what redis-py raises into a ``StoreError``; a missing script goes through as it is."""
        try:
            yield
        except errors.NoScriptError:
            raise
        except (redis.RedisError, OSError) as error:
            refusal = self.explain(error)
            if isinstance(refusal, StoreUnavailable):
                self._route.turn()
            else:
                self._route.go_home()
            if "READONLY" in str(error) or isinstance(error, errors.ReadOnlyError):
                self.close()  # behind this name there may be another primary by now
            raise refusal from error

    def _follow(self, command: Sequence[Argument]) -> Any:
        """Send a command to whichever node of a cluster takes it; one that refuses has done nothing."""
        for _ in range(_MAX_HOPS):
            try:
                return self._route.client.execute_command(*command)
            except errors.ResponseError as error:
                there = _moved_to(error)
                if there is None or not self._route.move(*there):
                    raise
        return self._route.client.execute_command(*command)


def _connection_of(pool: Any) -> Any:
    """Take a connection out of a pool; redis-py before 5.3 wants to hear what for, later ones warn of it."""
    try:
        return pool.get_connection()
    except TypeError:
        return pool.get_connection("EVALSHA")


@contextmanager
def _used(connection: Any, pool: Any, *, keep: bool = False) -> Iterator[None]:
    """Give a connection back to its pool in the end, or only after an error; closed if it broke on the way."""
    try:
        yield
    except errors.ResponseError:
        keep = False
        raise
    except BaseException:
        connection.disconnect()
        keep = False
        raise
    finally:
        if not keep:
            pool.release(connection)


def _packed(*command: Argument) -> bytes:
    """Return a command as Redis takes it; redis-py, without its C parser, is slow to pack many arguments."""
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        data = argument if isinstance(argument, bytes) else f"{argument}".encode()
        parts += (b"$%d\r\n" % len(data), data, b"\r\n")
    return b"".join(parts)


def _moved_to(error: errors.ResponseError) -> tuple[str, int] | None:
    """Return the node that a cluster's answer ``MOVED slot host:port`` names; redis-py 5 knows no such error."""
    text = str(error)
    if not isinstance(error, errors.MovedError) and not text.startswith("MOVED "):
        return None
    host, _, port = text.rpartition(" ")[2].rpartition(":")
    return host, int(port)


def _is_an_answer(error: errors.ConnectionError) -> bool:
    """Whether Redis itself refused: redis-py derives some of its answers from ``ConnectionError``."""
    return isinstance(error, (errors.AuthenticationError, errors.BusyLoadingError))
