"""`qbeat -A tasks worker -B`: the embedded qbeat lives and dies with its worker, and is missed when it dies alone."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.plugin.apps import CELERY, MARK, embedded_pids, is_alive, marked_processes, messages, write_app
from tests.servers import QbeatProcess, RedisServer, clean_environment, eventually
from tests.servers.beat import QBEAT

OPTIONS = ("worker", "-B", "-l", "INFO", "-c", "1", "--without-mingle", "--without-gossip", "-Q", "nobody")
"""A worker that leaves the messages of its qbeat in the queue."""

ENTRY = """
    app.add_periodic_task(0.5, tick.s("a"), name="a")
"""

BUSY = """
    import time

    @app.task
    def work():
        print("the task runs", flush=True)
        time.sleep(5)
        print("the task ends", flush=True)

    app.add_periodic_task(3600, work.s().set(queue="busy"), name="work")
    work.apply_async(queue="busy") if "worker" in __import__("sys").argv else None
"""
"""A task that is under way for longer than it takes to look after the qbeat, and to start it again."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def mark() -> str:
    """What the processes of this test carry in their environment."""
    return uuid.uuid4().hex


@pytest.fixture
def worker(tmp_path: Path, redis_url: str, mark: str) -> QbeatProcess:
    """A worker with qbeat inside, not yet started."""
    write_app(tmp_path, redis_url, ENTRY)
    return QbeatProcess(tmp_path, "-A", "tasks", *OPTIONS, env={MARK: mark})


def test_a_worker_that_is_asked_to_end_leaves_nothing_behind(
    worker: QbeatProcess, redis_server: RedisServer, mark: str
) -> None:
    with worker:
        eventually(lambda: len(messages(redis_server)) >= 2, within=40)
        assert len(marked_processes(mark)) >= 3
        assert worker.terminate(within=30) == 0
        assert "qbeat is stopping" in worker.output
        assert "it is started again" not in worker.output
    assert marked_processes(mark) == []


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_whose_whole_group_is_asked_to_end_misses_no_qbeat(
    worker: QbeatProcess, mark: str, pool: str
) -> None:
    worker.command += ["-P", pool]
    with worker:
        worker.wait_for("fired for", within=40)
        # As a service manager does: all processes of the service at once.
        os.killpg(worker.pid, signal.SIGTERM)
        assert worker.wait(within=30) == 0
        assert "qbeat is stopping" in worker.output
        assert "embedded qbeat" not in worker.output
    assert marked_processes(mark) == []


def test_however_many_signals_come_it_finishes_what_it_does(
    worker: QbeatProcess, redis_server: RedisServer, tmp_path: Path
) -> None:
    with worker:
        eventually(lambda: len(messages(redis_server)) >= 2, within=40)
        [first] = embedded_pids(tmp_path)

        deadline = time.monotonic() + 20
        while is_alive(first) and time.monotonic() < deadline:
            with suppress(ProcessLookupError):
                os.kill(first, signal.SIGTERM)
        worker.wait_for(r"has ended with exit code 0; it is started again")
        assert "qbeat is stopping" in worker.output
        assert worker.terminate(within=30) == 0


def test_a_worker_with_work_left_starts_no_qbeat_again(
    worker: QbeatProcess, tmp_path: Path, redis_server: RedisServer
) -> None:
    write_app(tmp_path, redis_server.url, ENTRY + BUSY)
    worker.command[worker.command.index("nobody")] = "busy"
    worker.command += ["-P", "solo"]
    with worker:
        worker.wait_for("the task runs", within=40)
        [first] = embedded_pids(tmp_path)
        os.killpg(worker.pid, signal.SIGTERM)
        eventually(lambda: not is_alive(first), within=20)
        worker.wait_for("the task ends", within=20)
        assert worker.wait(within=30) == 0
        assert "embedded qbeat" not in worker.output
    assert embedded_pids(tmp_path) == [first]


def test_a_worker_that_is_killed_takes_its_qbeat_along(
    worker: QbeatProcess, redis_server: RedisServer, mark: str, tmp_path: Path
) -> None:
    with worker:
        eventually(lambda: len(messages(redis_server)) >= 2, within=40)
        # The worker alone, not its group: nobody but qbeat itself is to see to its end.
        worker.signal(signal.SIGKILL)
        eventually(lambda: not marked_processes(mark), within=15)
        assert embedded_pids(tmp_path)


def test_a_qbeat_that_dies_alone_is_logged_and_started_again(
    worker: QbeatProcess, redis_server: RedisServer, mark: str, tmp_path: Path
) -> None:
    with worker:
        eventually(lambda: len(messages(redis_server)) >= 2, within=40)
        [first] = embedded_pids(tmp_path)
        os.kill(first, signal.SIGKILL)
        worker.wait_for(
            rf"The embedded qbeat \(process {first}\) has ended with exit code -9; it is started again"
        )
        eventually(lambda: not Path(f"/proc/{first}").exists(), within=5)
        eventually(lambda: len(embedded_pids(tmp_path)) == 2, within=20)
        _, second = embedded_pids(tmp_path)
        before = len(messages(redis_server))
        eventually(lambda: len(messages(redis_server)) >= before + 2, within=20)
        assert is_alive(second)
        assert worker.terminate(within=30) == 0
    assert marked_processes(mark) == []
    sent = messages(redis_server)
    assert len({one["qbeat"]["fire_time"] for one in sent}) == len(sent)


def test_a_second_qbeat_of_a_killed_worker_goes_too(worker: QbeatProcess, mark: str, tmp_path: Path) -> None:
    with worker:
        eventually(lambda: embedded_pids(tmp_path), within=40)
        os.kill(embedded_pids(tmp_path)[0], signal.SIGKILL)
        eventually(lambda: len(embedded_pids(tmp_path)) == 2, within=20)
        worker.signal(signal.SIGKILL)
        eventually(lambda: not marked_processes(mark), within=15)


@pytest.mark.parametrize("pool", ["gevent", "solo"])
def test_only_a_green_pool_is_refused_in_a_sentence(worker: QbeatProcess, pool: str) -> None:
    worker.command += ["-P", pool]
    with worker:
        if pool == "solo":
            worker.wait_for("fired for", within=40)
            assert worker.terminate(within=30) == 0
        else:
            assert worker.wait(within=30) == 2
            assert worker.output.splitlines()[-1] == (
                "Error: a worker with the pool gevent cannot have qbeat inside: "
                "leave out -B, and run qbeat beside it."
            )


def test_a_store_that_cannot_be_is_one_sentence_a_restart(worker: QbeatProcess, tmp_path: Path) -> None:
    (tmp_path / "corrupt.db").write_text("not a database at all")
    worker.command += ["-s", "corrupt.db"]
    with worker:
        worker.wait_for("has ended with exit code 78; it is started again in 2 s", within=40)
        assert worker.terminate(within=30) == 0
        told = [line for line in worker.output.splitlines() if "corrupt.db" in line and "/Beat]" in line]
        assert len(told) >= 2
        assert all("CRITICAL" in line and "is not an SQLite database" in line for line in told)
        assert "Traceback" not in worker.output


HELD = """
    import gc, socket

    held = [each for _ in range(20) for each in socket.socketpair()]

    @signals.before_task_publish.connect
    def let_go(**_):
        held.clear()
        gc.collect()
"""
"""An app that has opened sockets by the time that qbeat's process is made, and drops them while qbeat runs."""


def test_sockets_that_the_app_drops_late_are_not_taken_for_the_stores(
    worker: QbeatProcess, tmp_path: Path, redis_server: RedisServer
) -> None:
    write_app(tmp_path, redis_server.url, ENTRY + HELD)
    with worker:
        eventually(lambda: len(messages(redis_server)) >= 3, within=40)
        assert worker.terminate(within=30) == 0
        assert "Traceback" not in worker.output
        assert "ERROR/Beat" not in worker.output
    assert whole(tmp_path / "qbeat.db")


@pytest.mark.parametrize("command", [(QBEAT, "-A", "tasks"), (*CELERY, "-A", "tasks", "beat", "-S", "qbeat")])
def test_nor_are_they_where_qbeat_goes_into_the_background(
    tmp_path: Path, redis_server: RedisServer, command: tuple[str, ...]
) -> None:
    write_app(tmp_path, redis_server.url, ENTRY + HELD)
    subprocess.run(
        [*command, "--detach", "--pidfile", "q.pid", "-f", "q.log"],
        cwd=tmp_path, env=clean_environment(), stdin=subprocess.DEVNULL, timeout=30, check=True,
    )  # fmt: skip
    eventually((tmp_path / "q.pid").exists, within=30)
    pid = int((tmp_path / "q.pid").read_text())
    try:
        eventually(lambda: len(messages(redis_server)) >= 3, within=40)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: not is_alive(pid), within=20)
    log = (tmp_path / "q.log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert whole(tmp_path / "qbeat.db")


def whole(store: Path) -> bool:
    """Whether SQLite finds no fault with a file."""
    with closing(sqlite3.connect(store)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def test_without_beat_it_is_celerys_worker_alone(worker: QbeatProcess, tmp_path: Path) -> None:
    worker.command.remove("-B")
    with worker:
        worker.wait_for(r" ready\.$", within=40)
        assert worker.terminate(within=30) == 0
    assert not (tmp_path / "qbeat.db").exists()
    assert embedded_pids(tmp_path) == []
