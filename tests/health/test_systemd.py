"""What systemd hears from a real qbeat over its notification socket."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qbeat.beat.health.sdnotify import Notifier
from tests.health.asking import write
from tests.servers.fixtures import StartQbeat


@pytest.fixture(params=["a file", "abstract"])
def channel(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The value of NOTIFY_SOCKET, and the socket behind it."""
    if request.param == "abstract":
        name = f"@qbeat-{uuid.uuid4().hex}"
        address = "\0" + name[1:]
    else:
        name = address = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as receiver:
        receiver.bind(address)
        receiver.settimeout(60)
        yield name, receiver


def hear(receiver: socket.socket) -> dict[str, str]:
    """The words of the next message."""
    return dict(line.split("=", 1) for line in receiver.recv(4096).decode().splitlines())


def hear_until(receiver: socket.socket, word: str) -> dict[str, str]:
    while word not in (heard := hear(receiver)):
        pass
    return heard


def test_it_is_told_of_readiness_turns_and_the_end(
    tmp_path: Path, start_qbeat: StartQbeat, channel: tuple[str, socket.socket]
) -> None:
    name, receiver = channel
    write(tmp_path)
    qbeat = start_qbeat(tmp_path, "-A", "tasks", env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"})
    first = hear(receiver)
    assert first["READY"] == "1"
    assert first["WATCHDOG"] == "1"
    assert first["STATUS"].startswith("2 entries, next firing 2")
    second = hear_until(receiver, "WATCHDOG")
    assert "READY" not in second
    assert qbeat.terminate() == 0
    assert hear_until(receiver, "STOPPING")["STOPPING"] == "1"


def test_another_processs_watchdog_is_not_fed(channel: tuple[str, socket.socket]) -> None:
    name, receiver = channel
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    notifier.turned(lambda: "fine")
    assert hear(receiver) == {"READY": "1", "STATUS": "fine"}


def test_waiting_for_the_store_is_told_without_being_ready(channel: tuple[str, socket.socket]) -> None:
    name, receiver = channel
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.waiting("the store is away")
    assert hear(receiver) == {"STATUS": "the store is away"}


def test_a_socket_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.turned(lambda: "fine")
    notifier.stopping()
    assert not list(tmp_path.iterdir())


def test_without_systemd_nobody_is_told_and_nothing_is_worked_out() -> None:
    def status() -> str:
        raise AssertionError("asked")

    Notifier({}).turned(status)
