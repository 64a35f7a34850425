"""One Redis as the store talks to it: scripts and commands, timeouts, connections that heal, clear errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, cast

import redis
import redis.exceptions as errors
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from qbeat.store.base import StoreError
from qbeat.store.redis.address import Address
from qbeat.store.redis.errors import explain
from qbeat.store.redis.scripts import Script

_MAX_HOPS: Final = 5

Argument = str | bytes | int


class Server:
    """Sends commands to the server at an address, or to the node of its cluster that has the store's keys.

    What is marked as harmless to ``repeat`` is asked again, once, on a new connection when the old one
    breaks. Anything else is sent at most once: if its answer is lost, nobody knows whether it was done.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._home: Any = connect(address)
        self._node: Any = self._home

    @property
    def url(self) -> str:
        return self._address.url

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
        pool = self._node.connection_pool
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

    def close(self) -> None:
        """Let go of all connections; the next command connects anew."""
        self._go_home()
        self._home.connection_pool.disconnect()

    def _ask(self, *command: Argument, repeat: bool) -> Any:
        with self._explained():
            try:
                return self._follow(command)
            except errors.ConnectionError as error:
                self._go_home()
                if not repeat or _is_an_answer(error):
                    raise
                return self._follow(command)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what redis-py raises into a ``StoreError``; a missing script goes through as it is."""
        try:
            yield
        except errors.NoScriptError:
            raise
        except (redis.RedisError, OSError) as error:
            self._go_home()
            if "READONLY" in str(error) or isinstance(error, errors.ReadOnlyError):
                self.close()  # behind this name there may be another primary by now
            raise self.explain(error) from error

    def _follow(self, command: Sequence[Argument]) -> Any:
        """Send a command to whichever node of a cluster takes it; one that refuses has done nothing."""
        for _ in range(_MAX_HOPS):
            try:
                return self._node.execute_command(*command)
            except errors.ResponseError as error:
                there = _moved_to(error)
                if there is None:
                    raise
                self._move(*there)
        return self._node.execute_command(*command)

    def _move(self, host: str, port: int) -> None:
        self._go_home()
        there = (host or self._address.hosts[0][0], port)
        self._node = connect(replace(self._address, hosts=(there,)))

    def _go_home(self) -> None:
        if self._node is not self._home:
            self._node.connection_pool.disconnect()
            self._node = self._home


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


def connect(address: Address) -> redis.Redis:
    """Return a client that neither connects before its first command nor repeats one by itself."""
    options = _options(address)
    if address.master_name is not None:
        sentinels: Any = Sentinel  # it has no types
        watching = sentinels(address.hosts, sentinel_kwargs=_sentinel_options(address))
        return cast("redis.Redis", watching.master_for(address.master_name, redis.Redis, **options))
    if address.path is not None:
        return redis.Redis(unix_socket_path=address.path, **options)
    ((host, port),) = address.hosts
    return redis.Redis(host=host, port=port, **options)


def _options(address: Address) -> dict[str, Any]:
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "socket_timeout": address.timeout,
        "socket_connect_timeout": address.connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if address.path is None:
        options["socket_keepalive"] = True
    return options if address.tls is None else {**options, "ssl": True, **address.tls}


def _sentinel_options(address: Address) -> dict[str, Any]:
    return {
        "username": address.sentinel_username,
        "password": address.sentinel_password,
        "socket_timeout": address.connect_timeout,
        "socket_connect_timeout": address.connect_timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
