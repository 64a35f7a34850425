"""A store that cannot be reached: a command ends with one sentence and 69, a running qbeat waits for its return."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qbeat.beat.cli.group import invoke
from qbeat.beat.errors import UNAVAILABLE
from tests.beat.apps import APP, HEADER
from tests.servers import QbeatProcess, RedisServer, run_qbeat
from tests.servers.fixtures import StartQbeat
from tests.servers.server import free_port

FIRED = r"quick \(tasks\.add\) fired for "
NOWHERE = [
    "redis://127.0.0.1:{port}/0",
    "sentinel://127.0.0.1:{port}/0?master_name=mymaster",
    "postgresql://me@127.0.0.1:{port}/qbeat",
    "mysql://me@127.0.0.1:{port}/qbeat",
]

every_kind = pytest.mark.parametrize("url", NOWHERE, ids=lambda url: url.partition(":")[0])


def write_app(folder: Path) -> None:
    quick = 'app.add_periodic_task(0.5, add.s(1, 2), name="quick")\n'
    (folder / "tasks.py").write_text(HEADER + APP + quick)


def at_a_closed_port(url: str) -> str:
    """The URL with a port in it that reads like the code of an error (28 is PostgreSQL's for a wrong password)."""
    return url.format(port=next(port for port in iter(free_port, None) if "28" in str(port)))


def is_one_sentence(told: str, url: str) -> bool:
    return told.startswith("qbeat: ") and url in told and told.count("\n") == 1 and len(told) < 250


@every_kind
@pytest.mark.parametrize("command", ["list", "next", "history"])
def test_a_tool_says_so_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    url: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    url = at_a_closed_port(url)
    assert invoke([command, "-s", url]) == UNAVAILABLE == 69
    out, err = capsys.readouterr()
    assert out == ""
    assert is_one_sentence(err, url), err


@every_kind
def test_a_qbeat_that_starts_says_so_in_one_sentence(tmp_path: Path, url: str) -> None:
    write_app(tmp_path)
    url = at_a_closed_port(url)
    done = run_qbeat(tmp_path, "-A", "tasks", "-s", url, within=60)
    assert (done.returncode, done.stdout) == (69, "")
    assert is_one_sentence(done.stderr, url), done.stderr


def fires(qbeat: QbeatProcess, *, more_than: int = 0) -> None:
    qbeat.wait_for(FIRED, within=40, count=more_than + 1)


def test_a_running_qbeat_waits_until_its_store_is_back(
    tmp_path: Path, start_qbeat: StartQbeat, start_redis: Callable[..., RedisServer]
) -> None:
    write_app(tmp_path)
    redis = start_redis(durable=True)
    qbeat = start_qbeat(tmp_path, "-A", "tasks", "-s", redis.url)
    fires(qbeat)
    redis.kill()
    qbeat.wait_for("cannot be reached .* nothing new fires until it is back", within=20, count=2)
    fired = len(qbeat.wait_for(FIRED))
    redis.start()
    qbeat.wait_for("The store is there again", within=20)
    fires(qbeat, more_than=fired)
    assert qbeat.terminate() == 0
    assert "Traceback" not in qbeat.output


def test_a_qbeat_whose_store_is_away_stops_when_it_is_told_to(
    tmp_path: Path, start_qbeat: StartQbeat, start_redis: Callable[..., RedisServer]
) -> None:
    write_app(tmp_path)
    redis = start_redis()
    qbeat = start_qbeat(tmp_path, "-A", "tasks", "-s", redis.url)
    fires(qbeat)
    redis.kill()
    qbeat.wait_for("nothing new fires until it is back", within=20)
    assert qbeat.terminate(within=30) == 0
    assert "Traceback" not in qbeat.output
