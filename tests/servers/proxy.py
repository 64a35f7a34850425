"""A TCP proxy between a client and a server, which can cut, refuse, freeze and restore their connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Self, TypeVar

from tests.servers.server import HOST, free_port

R = TypeVar("R")

# SO_LINGER on, with no time to linger: closing sends RST.
_RESET = struct.pack("ii", 1, 0)


class TcpProxy:
    """Passes on what comes to `port` to `upstream_port`, both of 127.0.0.1, until told otherwise.

    Every method returns when its effect is complete. A context manager.
    """

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.port = free_port()
        self.accepted = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._listener: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, None] = {}
        self._conversations: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()

    def url(self, upstream_url: str) -> str:
        """An URL of the upstream server, leading through the proxy."""
        direct = f"{HOST}:{self.upstream_port}"
        assert direct in upstream_url, f"{upstream_url} does not lead to {direct}"
        return upstream_url.replace(direct, f"{HOST}:{self.port}")

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._conversations)

    def cut(self) -> None:
        """Reset every open connection and refuse new ones, as if the server's machine had restarted."""
        self.refuse()
        self.drop()

    def refuse(self) -> None:
        """Refuse new connections; the open ones live on."""
        self._in_loop(self._close_listener())

    def drop(self) -> None:
        """Reset every open connection; new ones are welcome."""
        self._in_loop(self._reset_all())

    def freeze(self) -> None:
        """Let no byte through and close nothing, as a network that swallows packets."""
        self._in_loop(self._stop_flowing())

    def restore(self) -> None:
        """Back to normal: bytes flow, new connections are accepted."""
        self._in_loop(self._open_listener())

    def __enter__(self) -> Self:
        self._thread.start()
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open_listener(self) -> None:
        self._flowing.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, HOST, self.port)

    async def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _stop_flowing(self) -> None:
        self._flowing.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        conversation = asyncio.current_task()
        assert conversation is not None
        self._conversations.add(conversation)
        self._open[writer] = None
        try:
            # Python 3.11 would log a conversation's cancellation as an error.
            with contextlib.suppress(asyncio.CancelledError):
                await self._converse(reader, writer)
        finally:
            self._conversations.discard(conversation)
            self._hang_up(writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(HOST, self.upstream_port)
        except OSError:
            return
        self._open[upstream_writer] = None
        try:
            await asyncio.gather(
                self._pass_on(reader, upstream_writer), self._pass_on(upstream_reader, writer)
            )
        finally:
            self._hang_up(upstream_writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
            await self._flowing.wait()
        # One side has hung up; what it said has been handed over, so the other side may be told.
        writer.close()

    def _hang_up(self, writer: asyncio.StreamWriter) -> None:
        self._open.pop(writer, None)
        writer.close()

    async def _reset_all(self) -> None:
        for writer in self._open:
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    def _in_loop(self, work: Coroutine[None, None, R]) -> R:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)
