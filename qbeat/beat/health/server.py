"""The health port: ``/healthz``, ``/readyz`` and ``/metrics`` over HTTP, on a thread of its own."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

from qbeat.beat.errors import SettingError
from qbeat.beat.health.address import parse_address

logger = logging.getLogger("qbeat.health")

TIMEOUT: Final = 5.0
"""Seconds that a client may take for its request."""

Page = tuple[int, str, str]
"""Status, content type, text."""


class HealthServer:
    """Answers GET and HEAD for the pages that it is given; each is made anew for each request."""

    def __init__(self, address: str, pages: dict[str, Callable[[], Page]]) -> None:
        """Listen at ``address``, as ``host:port``; ``SettingError`` if that cannot be."""
        host, port = parse_address(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = type("_Server", (_Server,), {"address_family": family})
        try:
            self._server: _Server = server((host, port), _Handler)
        except OSError as error:
            raise SettingError(
                f"the health port {address} cannot be opened: {error.strerror or error}; give --health another"
            ) from error
        self._server.pages = pages
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="qbeat-health", daemon=True
        )

    @property
    def address(self) -> str:
        """Where it listens, with the port that the system chose if it was asked for port 0."""
        host, port = self._server.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        logger.info("Health is told at http://%s/healthz, /readyz and /metrics.", self.address)

    def close(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    pages: dict[str, Callable[[], Page]]

    def server_bind(self) -> None:
        # Not HTTPServer's own, which asks the DNS for the host's full name.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the inherited signature
        logger.debug("a request from %s went wrong: %r", client_address, sys.exception())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "qbeat"
    sys_version = ""
    timeout = TIMEOUT

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the inherited name
        logger.debug(format, *args)

    def _answer(self, *, with_body: bool) -> None:
        page = self.server.pages.get(self.path.partition("?")[0], self._not_found)
        status, kind, text = page()
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _not_found(self) -> Page:
        known = ", ".join(self.server.pages)
        return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", f"There are {known}.\n"


def verdict(problems: list[str], **facts: Any) -> Page:
    """Return the page that says whether all is well: 200, or 503 with what is not."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    text = json.dumps({"ok": not problems, "problems": problems, **facts})
    return status, "application/json", f"{text}\n"
