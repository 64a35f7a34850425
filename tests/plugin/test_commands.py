"""`celery -A tasks beat -S qbeat`, `celery -A tasks qbeat …`, and what other commands of Celery's notice: nothing."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery import Celery as CeleryApp
from celery import beat

from qbeat.beat.app.declarations import watch, watched
from tests.plugin.apps import CELERY, Celery, embedded_pids, messages, write_app
from tests.plugin.conftest import tick
from tests.servers import QbeatProcess, RedisServer, clean_environment, eventually, run_qbeat

TWICE = """
    app.conf.timezone = "UTC"

    @app.on_after_configure.connect
    def set_up(sender, **_):
        sender.add_periodic_task(0.5, tick.s("a"))
        sender.add_periodic_task(0.7, tick.s("a"))

    @signals.beat_init.connect
    def note(sender, **_):
        has = all(hasattr(sender, name) for name in ("app", "scheduler", "sync", "stop"))
        with open("beat_init", "a") as file:
            print(sender.app is app and has, file=file)
"""


def run_celery(folder: Path, *arguments: str, within: float = 30) -> subprocess.CompletedProcess[str]:
    """Run a short command of Celery's to its end."""
    return subprocess.run(
        [*CELERY, *arguments], cwd=folder, env=clean_environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=within, check=False,
    )  # fmt: skip


def test_celery_beat_with_qbeat_fires_both_of_two_unnamed_entries_and_ends_well(
    tmp_path: Path, redis_url: str, redis_server: RedisServer
) -> None:
    write_app(tmp_path, redis_url, TWICE)
    with Celery(tmp_path, "-A", "tasks", "beat", "-S", "qbeat", "-l", "INFO") as process:
        process.wait_for(r"store -> qbeat\.db$")
        eventually(lambda: len({one["periodic_task_name"] for one in messages(redis_server)}) == 2, within=30)
        assert process.terminate() == 0
        assert "Sending due task" not in process.output
        assert "shadowed" not in process.output
        assert process.output.count("qbeat is stopping") == 1
    listed = {one["name"]: one for one in json.loads(run_qbeat(tmp_path, "list", "--json").stdout)}
    assert set(listed) == {"tasks.tick('a')", "tasks.tick('a') [0.7 s]"}
    sent = messages(redis_server)
    assert len(sent) == sum(one["total_run_count"] for one in listed.values())
    assert len({one["id"] for one in sent}) == len(sent)
    assert (tmp_path / "beat_init").read_text() == "True\n"


@pytest.mark.parametrize(
    "command", [("beat", "-S", "qbeat"), ("worker", "-B", "--scheduler", "qbeat", "-c", "1")]
)
def test_the_environments_health_port_is_served_in_celerys_commands_too(
    tmp_path: Path, redis_url: str, command: tuple[str, ...]
) -> None:
    write_app(tmp_path, redis_url, TWICE)
    environment = {"QBEAT_HEALTH": "127.0.0.1:0"}
    with Celery(tmp_path, "-A", "tasks", *command, "-l", "INFO", env=environment) as process:
        (line,) = process.wait_for(r"http://\S+/healthz", within=30)
        address = line.partition("http://")[2].partition("/")[0]
        eventually(lambda: run_qbeat(tmp_path, "status", "--probe", "--health", address).returncode == 0)
        if command[0] == "worker":
            process.wait_for(r" ready\.$", within=40)
        assert process.terminate(within=30) == 0


CONFIGURED = """
    import logging.config

    @signals.setup_logging.connect
    def configure(**_):
        handlers = {"console": {"class": "logging.StreamHandler"}}
        root = {"level": "INFO", "handlers": ["console"]}
        logging.config.dictConfig({"version": 1, "handlers": handlers, "root": root})
"""
"""What silences every logger that was there before."""


def test_an_app_that_configures_logging_does_not_silence_qbeat_in_celery_beat(
    tmp_path: Path, redis_url: str
) -> None:
    write_app(tmp_path, redis_url, TWICE + CONFIGURED)
    with Celery(tmp_path, "-A", "tasks", "beat", "-S", "qbeat") as process:
        process.wait_for("fired for", within=40)
        assert process.terminate() == 0


def test_an_app_that_configures_logging_does_not_silence_qbeat_in_a_worker(
    tmp_path: Path, redis_url: str
) -> None:
    write_app(tmp_path, redis_url, TWICE + CONFIGURED)
    with Celery(tmp_path, "-A", "tasks", "worker", "-B", "--scheduler", "qbeat", "-c", "1") as process:
        process.wait_for("fired for", within=40)
        [embedded] = embedded_pids(tmp_path)
        os.kill(embedded, signal.SIGKILL)
        process.wait_for("The embedded qbeat is started again", within=30)
        assert process.terminate(within=30) == 0


def test_an_app_that_silences_all_loggers_is_still_told_in_celery_beat_what_cannot_be(tmp_path: Path) -> None:
    write_app(tmp_path, "memory://", f"{CONFIGURED}{WRONG}    configure()\n")
    done = run_celery(tmp_path, "-A", "tasks", "beat", "-S", "qbeat")
    assert done.returncode == 78
    assert "entry 'zero' (tasks.py:" in done.stderr


WRONG = "    app.add_periodic_task(0, tick.s('a'), name='zero')\n"
CANNOT_BE = [
    (("-s", "corrupt.db"), "", "corrupt.db is not an SQLite database"),
    (("-s", "foo://x"), "", "foo:// is no kind of store"),
    (("-s", "/nonexistent/x.db"), "", "the folder /nonexistent does not exist"),
    ((), WRONG, "entry 'zero' (tasks.py:"),
    ((), "    app.conf.qbeat_uncertain_after = 'soon'\n", "qbeat_uncertain_after is 'soon'; give seconds"),
    ((), "    app.conf.broker_url = 'foo://bar'\n", "the broker cannot be: No such transport: foo"),
]


@pytest.mark.parametrize(("options", "text", "sentence"), CANNOT_BE)
def test_what_cannot_be_ends_celery_beat_in_one_sentence_with_qbeats_exit_code(
    tmp_path: Path, options: tuple[str, ...], text: str, sentence: str
) -> None:
    write_app(tmp_path, "memory://", text)
    (tmp_path / "corrupt.db").write_text("not a database at all")
    done = run_celery(tmp_path, "-A", "tasks", "beat", "-S", "qbeat", *options)
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1
    assert f"qbeat: {sentence}" in done.stderr
    assert "Traceback" not in done.stdout


def test_celerys_own_beat_runs_as_ever(tmp_path: Path, redis_url: str) -> None:
    write_app(tmp_path, redis_url, TWICE)
    with Celery(tmp_path, "-A", "tasks", "beat", "-l", "INFO") as process:
        process.wait_for(r"Sending due task tasks\.tick\('a'\)")
        assert process.terminate() == 0
    assert not (tmp_path / "qbeat.db").exists()


@pytest.mark.parametrize("silently", [True, False])
def test_celerys_warning_stays_away_only_where_nothing_is_lost(
    silently: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with watch(silently=lambda app: silently):
        app = CeleryApp("tasks", broker="memory://", set_as_current=False)
        app.conf.beat_schedule = {}
        task = app.task(name="tick")(tick)
        app.add_periodic_task(1, task.s())
        app.add_periodic_task(2, task.s())
    warns = "shadowed" in inspect.getsource(CeleryApp._add_periodic_task)  # older ones do not
    assert ("shadowed" in caplog.text) == (warns and not silently)
    assert len(watched(app).declarations) == 2


def test_the_app_may_name_qbeat_as_its_scheduler(
    tmp_path: Path, redis_url: str, redis_server: RedisServer
) -> None:
    write_app(tmp_path, redis_url, TWICE + "    app.conf.beat_scheduler = 'qbeat'\n")
    with Celery(tmp_path, "-A", "tasks", "beat", "-s", "own.db") as process:
        eventually(lambda: len(messages(redis_server)) >= 2, within=30)
        assert process.terminate() == 0
        assert "shadowed" not in process.output
    assert (tmp_path / "own.db").exists()
    assert not (tmp_path / "qbeat.db").exists()


def test_celery_qbeat_is_qbeat(tmp_path: Path, redis_url: str) -> None:
    write_app(tmp_path, redis_url, TWICE)
    with Celery(tmp_path, "-A", "tasks", "-q", "qbeat", "-s", "x.db") as process:
        process.wait_for("fired for", within=30)
        assert process.terminate() == 0
        assert "qbeat v" not in process.output
    for command in (["list", "--json", "-s", "x.db"], ["nonsense"]):
        ours, theirs = (
            run_qbeat(tmp_path, "-A", "tasks", *command),
            run_celery(tmp_path, "-A", "tasks", "qbeat", *command),
        )
        assert _stable(theirs) == _stable(ours)


def _stable(done: subprocess.CompletedProcess[str]) -> Any:
    """What stays the same between two calls."""
    if done.returncode:
        return done.returncode, done.stderr
    return [one.get("name", one.get("entry")) for one in json.loads(done.stdout)]


@pytest.mark.parametrize("command", ["qbeat", "celery"])
@pytest.mark.skipif(not hasattr(beat, "BeatPidbox"), reason="this Celery has no remote control for a beat")
def test_celery_inspect_ping_is_answered(tmp_path: Path, redis_url: str, command: str) -> None:
    write_app(tmp_path, redis_url, TWICE)
    options = ("--enable-remote-control", "-n", "clock@here")
    beat_process = (
        QbeatProcess(tmp_path, "-A", "tasks", *options)
        if command == "qbeat"
        else Celery(tmp_path, "-A", "tasks", "beat", "-S", "qbeat", "-l", "INFO", *options)
    )
    with beat_process as process:
        process.wait_for("beat pidbox: Connected", within=30)
        process.wait_for("fired for", within=30)
        ping = run_celery(tmp_path, "-A", "tasks", "inspect", "ping", "-d", "clock@here", "-t", "5")
        assert ping.returncode == 0, ping.stdout + ping.stderr
        assert "pong" in ping.stdout
        assert process.terminate() == 0


@pytest.mark.skipif(not hasattr(beat, "BeatPidbox"), reason="this Celery has no remote control for a beat")
def test_the_apps_setting_turns_remote_control_on_in_qbeat_too(tmp_path: Path, redis_url: str) -> None:
    write_app(tmp_path, redis_url, TWICE + "    app.conf.beat_enable_remote_control = True\n")
    with QbeatProcess(tmp_path, "-A", "tasks") as process:
        process.wait_for("beat pidbox: Connected", within=30)
        assert process.terminate() == 0


IMPORTS = """
import sys
{argv}
import celery.bin.celery
from celery import Celery
heavy = ("sqlalchemy", "croniter", "redis", "qbeat.beat.service", "qbeat.schedules", "qbeat.store")
print([name for name in heavy if name in sys.modules], hasattr(Celery._load_config, "__wrapped__"))
"""


@pytest.mark.parametrize(
    ("argv", "watches"), [(["celery", "-A", "tasks", "inspect", "ping"], False), (["celery", "worker"], True)]
)
def test_other_commands_of_celerys_get_nothing_heavy_and_no_watch(
    tmp_path: Path, argv: list[str], watches: bool
) -> None:
    script = IMPORTS.format(argv=f"sys.argv = {argv!r}")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True,
        timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout == f"[] {watches}\n"
