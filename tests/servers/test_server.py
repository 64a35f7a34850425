"""Free ports are free, and a missing server skips a laptop's test but fails CI's."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

import tests.conftest
from tests.servers import find_program, free_port
from tests.servers.process import Process, living
from tests.servers.server import Server, need_program


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()


def test_programs_are_found_in_the_given_folders_first(tmp_path: Path) -> None:
    program = tmp_path / "sh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_program("sh", [str(tmp_path)]) == str(program)
    assert find_program("no-such-program", [str(tmp_path)]) is None


def test_a_missing_server_skips_the_test_and_tells_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"apt-get install .* no-such-package"):
        need_program("no-such-program", "no-such-package")


def test_a_missing_server_fails_the_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is missing"):
        need_program("no-such-program", "no-such-package")


class Broken(Server):
    """A server that says what is wrong and then ends, or hangs."""

    name = "broken"
    boot_seconds = 0.5
    script = ""

    def prepare(self) -> Process:
        return Process(["sh", "-c", self.script], directory=self.directory, log=self.log)

    def answers(self) -> bool:
        return False

    @property
    def url(self) -> str:
        return ""


class Ending(Broken):
    script = "echo no port left; exit 3"


class Hanging(Broken):
    script = "echo still booting; exec sleep 60"


@pytest.mark.parametrize(
    ("kind", "told"),
    [(Ending, r"broken ended with 3:\nno port left"), (Hanging, r"(?s)not within.*still booting")],
)
def test_a_server_that_does_not_start_says_why_and_leaves_nothing(kind: type[Broken], told: str) -> None:
    server = kind()
    with pytest.raises((RuntimeError, AssertionError), match=told), server:
        pytest.fail("it has started")
    assert not server.process.is_running
    assert not server.directory.exists()
    assert server.process not in living()


def test_a_process_whose_log_has_gone_does_not_end_the_run(tmp_path: Path) -> None:
    process = Process(["sleep", "60"], directory=tmp_path, log=tmp_path / "log")
    process.start()
    try:
        process.log.unlink()
        assert "cannot be read" in tests.conftest._last_words(process)
    finally:
        process.end()
