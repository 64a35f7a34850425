"""Free ports are free, and a missing server skips a laptop's test but fails CI's."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.servers import find_program, free_port
from tests.servers.server import need_program


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
