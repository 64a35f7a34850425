"""The command line: what it imports, where options may stand, and what a mistake is answered with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qbeat import __version__
from qbeat.beat.cli.group import COMMANDS, invoke
from qbeat.store import open_store
from tests.servers.worker import clean_environment

IMPORTS = """
import json, sys
from qbeat.beat.cli.group import invoke
codes = [invoke(arguments.split()) for arguments in sys.argv[1:]]
print(json.dumps([codes, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""

HEAVY = {
    "celery",
    "kombu",
    "sqlalchemy",
    "redis",
    "croniter",
    "ephem",
    "dateutil",
    "amqp",
    "asyncio",
    "zoneinfo",
}


def imported_by(folder: Path, *commands: str) -> set[str]:
    """The top-level modules that commands which must succeed have imported."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *commands],
        cwd=folder, env=clean_environment(), check=True, capture_output=True, text=True,
    )  # fmt: skip
    codes, modules = json.loads(done.stderr.splitlines()[-1])
    assert codes == [0] * len(commands), done.stderr
    return set(modules)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    ways = ["--help", "-h", "--version", "list --help", "run --help", "-A x --help", "-A x history -h"]
    assert not imported_by(tmp_path, *ways) & HEAVY


def test_a_tool_with_a_store_imports_neither_celery_nor_the_app(tmp_path: Path) -> None:
    open_store(str(tmp_path / "some.db")).close()
    (tmp_path / "tasks.py").write_text("raise AssertionError('imported')")
    ways = [f"-A tasks {command} -s some.db" for command in ("list", "next", "history")]
    modules = imported_by(tmp_path, *ways)
    assert not modules & {"celery", "kombu", "tasks"}
    assert "sqlalchemy" in modules


def test_help_tells_of_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)
    assert "--pidfile" in out
    assert "--store" in out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"qbeat, version {__version__}"


def test_a_mistyped_option_is_named_and_not_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["-A", "tasks", "--storre", "x.db"]) == 2
    error = capsys.readouterr().err
    assert "No such option" in error
    assert "--storre" in error
    assert "--store" in error.replace("--storre", "")


@pytest.mark.parametrize(
    ("mistyped", "hint"),
    [
        ("lst", "did you mean 'list'?"),
        ("hist", "did you mean 'history'?"),
        ("nxt", "did you mean 'next'?"),
        ("zzz", "there are run, list"),
    ],
)
def test_an_unknown_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str], mistyped: str, hint: str
) -> None:
    assert invoke(["-A", "tasks", mistyped]) == 2
    assert f"There is no command {mistyped!r}; {hint}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--nosuch"], "No such option"),
        (["-A"], "requires an argument"),
        (["-A", "tasks", "-l", "loud"], "'loud' is not one of"),
        (["-A", "tasks", "--max-interval", "0"], "0"),
        (["next", "-n", "0"], "0"),
        (["next", "a", "b"], "unexpected extra argument"),
        (["--workdir", "/nosuch", "-A", "tasks"], "cannot change to /nosuch: No such file or directory"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert invoke(arguments) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("nosuch://x", 78, "nosuch:// is no kind of store"),
        ("sqlite:////nosuch/folder/x.db", 78, "/nosuch/folder"),
    ],
)
def test_a_store_that_cannot_be_is_bad_configuration(
    capsys: pytest.CaptureFixture[str], url: str, code: int, sentence: str
) -> None:
    assert invoke(["list", "-s", url]) == code
    err = capsys.readouterr().err
    assert err.startswith("qbeat: ")
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["list", "next", "history"])
@pytest.mark.parametrize(
    "content", [b"", b"not a database at all " * 100, b"SQLite format 3\0" + b"\xff" * 4000]
)
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, content: bytes
) -> None:
    file = tmp_path / "other.db"
    file.write_bytes(content)
    assert invoke([command, "-s", str(file)]) == 78
    err = capsys.readouterr().err
    assert err.startswith("qbeat: ")
    assert "other.db" in err
    assert len(err.splitlines()) == 1
    assert file.read_bytes() == content


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    open_store(str(tmp_path / "qbeat.db")).close()
    script = f"{sys.executable} -m qbeat list --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
