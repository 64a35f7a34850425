"""`qbeat -A tasks` as a process: start, signals, files, exit codes."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qbeat.beat.cli.group import invoke
from tests.beat.apps import APP, HEADER
from tests.servers import QbeatProcess, RedisServer, eventually, run_qbeat
from tests.servers.beat import QBEAT
from tests.servers.fixtures import StartQbeat
from tests.servers.server import free_port

CHANGING_FILES = """
import os, sys
{change}
os.execv(sys.argv[1], sys.argv[1:])
"""

FIRED = r"quick \(tasks\.add\) fired for "
QUICK = 'app.add_periodic_task(0.5, add.s(1, 2), name="quick")\n'


def write(folder: Path, source: str = QUICK, *, broker: str = "memory://", name: str = "tasks") -> None:
    (folder / f"{name}.py").write_text(HEADER + APP.replace("memory://", broker) + source)


def history(folder: Path) -> list[dict[str, object]]:
    done = run_qbeat(folder, "history", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def firing(start_qbeat: StartQbeat, folder: Path, *arguments: str) -> QbeatProcess:
    """A qbeat that has fired."""
    qbeat = start_qbeat(folder, "-A", "tasks", *arguments)
    qbeat.wait_for(FIRED, within=40)
    return qbeat


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_settled(
    tmp_path: Path, start_qbeat: StartQbeat, number: signal.Signals
) -> None:
    write(tmp_path)
    qbeat = firing(start_qbeat, tmp_path)
    qbeat.signal(number)
    assert qbeat.wait(within=10) == 0
    assert "Traceback" not in qbeat.output
    rows = history(tmp_path)
    assert rows
    assert {row["outcome"] for row in rows} == {"published"}
    ids = [line.rpartition("id ")[2] for line in qbeat.output.splitlines() if " fired for " in line]
    assert ids == [row["task_id"] for row in rows]


def test_it_starts_with_a_banner_of_celerys_kind(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path, broker="redis://:secret@127.0.0.1:1/0")
    qbeat = start_qbeat(tmp_path, "-A", "tasks")
    qbeat.wait_for(r"\. logfile ->", within=40)
    assert "qbeat v" in qbeat.output
    assert ". broker -> redis://:**@127.0.0.1:1/0" in qbeat.output
    assert ". store -> sqlite:///qbeat.db" in qbeat.output
    assert ". entries -> 2 declared" in qbeat.output
    assert "secret" not in qbeat.output


def test_quiet_leaves_the_banner_out(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path)
    assert "Configuration" not in firing(start_qbeat, tmp_path, "-q").output


def test_log_and_pid_go_where_they_are_told(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path)
    qbeat = start_qbeat(tmp_path, "-A", "tasks", "-f", "q.log", "--pidfile", "q.pid", "-l", "info")
    log = tmp_path / "q.log"
    eventually(lambda: log.exists() and "fired for" in log.read_text(), within=40)
    assert int((tmp_path / "q.pid").read_text()) == qbeat.pid
    assert "fired for" not in qbeat.output
    assert qbeat.terminate() == 0
    assert not (tmp_path / "q.pid").exists()


def test_a_pid_file_of_a_living_process_is_respected(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "q.pid").write_text(f"{os.getpid()}\n")
    done = run_qbeat(tmp_path, "-A", "tasks", "--pidfile", "q.pid", within=60)
    assert done.returncode == 73
    assert "q.pid" in done.stderr
    assert (tmp_path / "q.pid").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize(
    "content", ["999999999999\n", "9" * 30 + "\n", "-999999999999\n", "nobody\n", "", b"\xff\n"]
)
def test_a_pid_file_that_names_no_process_is_replaced(
    tmp_path: Path, start_qbeat: StartQbeat, content: str | bytes
) -> None:
    write(tmp_path)
    file = tmp_path / "q.pid"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    qbeat = firing(start_qbeat, tmp_path, "--pidfile", "q.pid")
    assert file.read_text() == f"{qbeat.pid}\n"


def test_the_log_level_holds(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path)
    qbeat = start_qbeat(tmp_path, "-A", "tasks", "-l", "WARNING")
    eventually(lambda: (tmp_path / "qbeat.db").exists() and history(tmp_path), within=60)
    assert "fired for" not in qbeat.output


def test_it_runs_in_another_folder(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    write(folder)
    firing(start_qbeat, tmp_path, "--workdir", "elsewhere")
    assert (folder / "qbeat.db").exists()
    assert not (tmp_path / "qbeat.db").exists()


def test_the_app_may_be_named_by_the_environment(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path)
    qbeat = start_qbeat(tmp_path, env={"CELERY_APP": "tasks", "QBEAT_STORE": "named.db"})
    qbeat.wait_for(FIRED, within=40)
    assert (tmp_path / "named.db").exists()


def test_a_broker_that_is_down_at_the_start_is_waited_for(
    tmp_path: Path, start_qbeat: StartQbeat, start_redis: Callable[..., RedisServer]
) -> None:
    redis = start_redis()
    redis.stop()
    write(tmp_path, broker=redis.url)
    qbeat = start_qbeat(tmp_path, "-A", "tasks")
    qbeat.wait_for("No answer from the broker", within=40)
    redis.start()
    qbeat.wait_for("The broker is there again", within=20)
    qbeat.wait_for(FIRED, within=20)
    assert qbeat.terminate() == 0
    outcomes = [row["outcome"] for row in history(tmp_path)]
    assert outcomes.count("published") == redis.client.llen("celery")


def test_a_signal_ends_it_while_the_broker_is_away(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path, broker=f"redis://127.0.0.1:{free_port()}/0")
    qbeat = start_qbeat(tmp_path, "-A", "tasks")
    qbeat.wait_for("No answer from the broker", within=40)
    assert qbeat.terminate(within=10) == 0


def test_a_receiver_of_beat_init_gets_what_it_expects(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(
        tmp_path,
        QUICK
        + """
from celery.signals import beat_init

@beat_init.connect
def started(sender, **kwargs):
    print("beat_init", sender.app is app, sender.scheduler is not None, flush=True)
""",
    )
    assert "beat_init True True" in firing(start_qbeat, tmp_path).output


# --- where its words go


def with_files(folder: Path, change: str, *arguments: str) -> QbeatProcess:
    """A qbeat, not yet started, whose open files are first changed by some lines of Python."""
    command: list[str | Path] = [sys.executable, "-c", CHANGING_FILES.format(change=change), QBEAT]
    return QbeatProcess(folder, *arguments, command=command)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("ends = os.pipe(); os.close(ends[0]); os.dup2(ends[1], 1)", id="reader gone"),
        pytest.param("os.dup2(os.open('/dev/full', os.O_WRONLY), 1)", id="disk full"),
    ],
)
def test_a_banner_that_cannot_be_printed_does_not_end_it(tmp_path: Path, change: str) -> None:
    write(tmp_path)
    with with_files(tmp_path, change, "-A", "tasks") as qbeat:
        qbeat.wait_for(FIRED, within=40)
        assert qbeat.terminate() == 0
        [said] = [line for line in qbeat.output.splitlines() if "Nothing can be printed" in line]
        assert "WARNING" in said
        assert "Traceback" not in qbeat.output
        assert "Exception ignored" not in qbeat.output


@pytest.mark.parametrize("closed", [[2], [0, 1, 2]])
def test_standard_files_that_are_closed_are_not_given_to_the_store(tmp_path: Path, closed: list[int]) -> None:
    write(tmp_path, QUICK + "import os\nos.write(2, b'into standard error')\n")
    with with_files(
        tmp_path, f"[os.close(number) for number in {closed}]", "-A", "tasks", "--pidfile", "q.pid"
    ) as qbeat:
        eventually(lambda: (tmp_path / "qbeat.db").exists() and history(tmp_path), within=60)
        assert {str(Path(f"/proc/{qbeat.pid}/fd/{number}").readlink()) for number in closed} == {"/dev/null"}
        assert qbeat.terminate() == 0
    assert {row["outcome"] for row in history(tmp_path)} == {"published"}


def test_an_app_that_takes_the_standard_streams_away_runs(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path, QUICK + "import sys\nsys.stdout = sys.stderr = None\n")
    assert firing(start_qbeat, tmp_path).terminate() == 0


CONFIGURED = """
import logging.config

def configure(**kwargs):
    handlers = {"console": {"class": "logging.StreamHandler"}}
    root = {"level": "INFO", "handlers": ["console"]}
    logging.config.dictConfig({"version": 1, "handlers": handlers, "root": root})
"""
"""What silences every logger that was there before, as it does in a Django project that does not say otherwise."""


@pytest.mark.parametrize(
    "when",
    [
        pytest.param("configure()", id="while it is imported"),
        pytest.param(
            "from celery import signals; signals.setup_logging.connect(configure)", id="as Celery asks for it"
        ),
    ],
)
def test_an_app_that_configures_logging_does_not_silence_it(
    tmp_path: Path, start_qbeat: StartQbeat, when: str
) -> None:
    write(tmp_path, f"{QUICK}{CONFIGURED}{when}\n", broker=f"redis://127.0.0.1:{free_port()}/0")
    start_qbeat(tmp_path, "-A", "tasks").wait_for("No answer from the broker", within=40)


# --- what keeps it from running


WAYS = [["-A", "nosuch"], ["run", "-A", "nosuch"], ["-A", "nosuch", "run"]]


@pytest.mark.parametrize("arguments", WAYS)
def test_an_app_that_is_not_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(arguments) == 2
    assert capsys.readouterr().err.startswith(
        "qbeat: there is no module 'nosuch' for -A nosuch; run qbeat in "
    )


def test_without_an_app_it_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("CELERY_APP", "APP", "CELERY_CONFIG_MODULE"):
        monkeypatch.delenv(variable, raising=False)
    assert invoke([]) == 2
    assert "which app? name its module with -A" in capsys.readouterr().err


def test_entries_that_cannot_be_are_told_all_at_once_and_leave_no_store(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
app.add_periodic_task(0, add.s(1, 2), name="zero")
app.conf.beat_schedule["text"] = {"task": "tasks.add", "schedule": "* * * * *"}
""",
    )
    done = run_qbeat(tmp_path, "-A", "tasks", within=60)
    assert done.returncode == 78
    first, second = done.stderr.splitlines()[-2:]
    assert "'zero' (tasks.py:" in first + second
    assert "entry 'text' (beat_schedule): its schedule is '* * * * *'; give seconds" in first + second
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "qbeat.db").exists()


def test_a_setting_that_cannot_be_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "app.conf.qbeat_uncertain_after = 'soon'\n")
    done = run_qbeat(tmp_path, "-A", "tasks", within=60)
    assert done.returncode == 78
    assert done.stderr.splitlines()[-1].startswith("qbeat: qbeat_uncertain_after is 'soon'; give seconds")


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 100)


def _somebody_elses(path: Path) -> None:
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("create table theirs (x)")
    connection.close()


@pytest.mark.parametrize("make", [_garbage, _somebody_elses])
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    write(tmp_path)
    file = tmp_path / "other.db"
    make(file)
    before = file.read_bytes()
    done = run_qbeat(tmp_path, "-A", "tasks", "-s", "other.db", within=60)
    assert done.returncode == 78
    assert done.stderr.splitlines()[-1].startswith("qbeat: ")
    assert "other.db" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert file.read_bytes() == before


def test_a_place_where_nobody_may_write_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    done = run_qbeat(tmp_path, "-A", "tasks", "-s", "/proc/qbeat.db", within=60)
    assert done.returncode == 78
    assert "/proc/qbeat.db" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["-b", "foo://bar"],
            "the broker cannot be: No such transport: foo; set broker_url, or give -b, a URL",
        ),
        (["-b", "redis://:secret@host:port"], "the broker's URL cannot be read; write one such as redis://"),
        (
            ["--pidfile", "/nonexistent/x.pid"],
            "the pid file /nonexistent/x.pid cannot be written: there is no fol",
        ),
        (
            ["-f", "/nonexistent/x.log"],
            "the log file /nonexistent/x.log cannot be opened: No such file or direct",
        ),
        (["--pidfile", "/"], "the pid file / cannot be written: "),
        (["--detach", "--pidfile", "/"], "the pid file / cannot be written: "),
        (["--uid", "nosuch"], "--uid nosuch cannot be: User does not exist: nosuch; name one that exists"),
        (["--gid", "nosuch"], "--gid nosuch cannot be: Group does not exist: nosuch; name one that exists"),
        (["--detach", "--uid", "nosuch"], "--uid nosuch cannot be: User does not exist: nosuch"),
        (["--detach", "--umask", "rw"], "--umask rw cannot be: give it in octal digits, such as 022"),
        (
            ["--detach", "-f", "/nonexistent/x.log"],
            "the log file /nonexistent/x.log cannot be opened: No such",
        ),
        (
            ["--detach", "--pidfile", "/nonexistent/x.pid"],
            "the pid file /nonexistent/x.pid cannot be written",
        ),
    ],
)
def test_an_option_that_cannot_be_is_one_sentence(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    write(tmp_path)
    done = run_qbeat(tmp_path, "-A", "tasks", "-q", *arguments, within=60)
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"qbeat: {sentence}")
    assert "secret" not in done.stderr


BAD_ENTRY = 'app.conf.beat_schedule["bad"] = {"task": "tasks.add", "schedule": "hourly"}\n'


def test_a_store_that_cannot_be_is_told_before_qbeat_goes_into_the_background(tmp_path: Path) -> None:
    write(tmp_path)
    _garbage(tmp_path / "other.db")
    done = run_qbeat(tmp_path, "-A", "tasks", "--detach", "-f", "q.log", "-s", "other.db")
    assert done.returncode == 78
    assert "other.db is not an SQLite database" in done.stderr


def test_in_the_background_the_sentence_goes_into_the_log(tmp_path: Path) -> None:
    write(tmp_path, BAD_ENTRY)
    assert run_qbeat(tmp_path, "-A", "tasks", "--detach", "-f", "q.log").returncode == 0
    log = tmp_path / "q.log"
    eventually(lambda: log.exists() and "its schedule is 'hourly'" in log.read_text(), within=30)
    assert len(log.read_text().splitlines()) == 1


def test_in_the_background_a_pid_file_that_names_no_process_is_no_hindrance(tmp_path: Path) -> None:
    write(tmp_path, BAD_ENTRY)
    (tmp_path / "q.pid").write_text("999999999999\n")
    done = run_qbeat(tmp_path, "-A", "tasks", "--detach", "-f", "q.log", "--pidfile", "q.pid")
    assert (done.returncode, done.stderr) == (0, "")
    log = tmp_path / "q.log"
    eventually(lambda: log.exists() and "its schedule is 'hourly'" in log.read_text(), within=30)


def test_a_pid_file_of_a_living_process_is_told_before_qbeat_goes_into_the_background(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "q.pid").write_text(f"{os.getpid()}\n")
    done = run_qbeat(tmp_path, "-A", "tasks", "--detach", "--pidfile", "q.pid")
    assert done.returncode == 73
    assert "q.pid" in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("pymongo") is not None, reason="needs a package to be missing")
def test_a_broker_whose_package_is_missing_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path)
    done = run_qbeat(tmp_path, "-A", "tasks", "-q", "-b", "mongodb://host", within=60)
    assert done.returncode == 78
    assert done.stderr.startswith("qbeat: the broker cannot be: its transport cannot be imported (No module")
    assert len(done.stderr.splitlines()) == 1
