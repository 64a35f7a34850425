"""`qbeat -A tasks --health`: what the port says, and when it turns red."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.health.asking import QUICK, Watched, write
from tests.servers import QbeatProcess, RedisServer, eventually, run_qbeat
from tests.servers.fixtures import StartQbeat
from tests.servers.server import free_port

HANGS = """
import time
from pathlib import Path

class Hanging(schedule):
    def is_due(self, last_run_at):
        if Path("hang").exists():
            time.sleep(3600)
        return super().is_due(last_run_at)

app.add_periodic_task(Hanging(timedelta(seconds=0.5)), add.s(1, 2), name="hanging")
app.conf.qbeat_watchdog_after = 3
"""


def test_a_replica_that_fires_is_alive_and_ready_and_counts_what_it_does(
    tmp_path: Path, start_qbeat: StartQbeat
) -> None:
    write(tmp_path)
    qbeat = Watched(start_qbeat, tmp_path)
    qbeat.until_ready()
    eventually(lambda: (qbeat.metric("qbeat_firings_total", outcome="published") or 0) >= 2, within=30)
    eventually(lambda: qbeat.metric("qbeat_replicas") == 1, within=30)

    status, told = qbeat.told("/healthz")
    assert (status, told["ok"], told["problems"]) == (200, True, [])
    metrics = qbeat.metrics()
    published = metrics["qbeat_firings_total", frozenset({("outcome", "published")})]
    assert metrics["qbeat_firing_lateness_seconds_count", frozenset()] == published
    assert metrics["qbeat_claims_total", frozenset({("result", "won")})] >= published
    assert metrics["qbeat_claims_total", frozenset({("result", "lost")})] == 0
    assert metrics["qbeat_store_seconds_count", frozenset({("verb", "claim")})] >= published
    assert metrics["qbeat_broker_seconds_count", frozenset()] >= published
    assert metrics["qbeat_entries", frozenset()] == 2
    for name in ("qbeat_healthy", "qbeat_ready", "qbeat_broker_up"):
        assert metrics[name, frozenset()] == 1
    assert metrics["qbeat_overdue_entries", frozenset()] == 0
    assert abs(metrics["qbeat_clock_offset_seconds", frozenset()]) < 1
    assert "qbeat_outbox_firings" in {name for name, _ in metrics}
    assert {"qbeat_info", "qbeat_tz_database_info"} <= {name for name, _ in metrics}
    assert qbeat.process.terminate() == 0


def test_no_metric_has_a_label_for_each_entry_and_each_says_what_it_is(
    tmp_path: Path, start_qbeat: StartQbeat
) -> None:
    write(tmp_path)
    qbeat = Watched(start_qbeat, tmp_path)
    qbeat.until_ready()
    families = list(text_string_to_metric_families(qbeat.get("/metrics")[1]))
    assert all(family.name.startswith("qbeat_") and family.documentation for family in families)
    assert not [
        sample for family in families for sample in family.samples if "quick" in sample.labels.values()
    ]


def test_other_pages_and_methods_are_refused(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path)
    qbeat = Watched(start_qbeat, tmp_path)
    qbeat.until_ready()
    status, text = qbeat.get("/")
    assert status == 404
    assert "/healthz, /readyz, /metrics" in text
    assert qbeat.get("/healthz", "HEAD") == (200, "")
    assert qbeat.get("/healthz", "POST")[0] == 501


def test_there_is_no_port_unless_it_is_asked_for(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path)
    qbeat = start_qbeat(tmp_path, "-A", "tasks")
    qbeat.wait_for("fired for", within=40)
    assert "/healthz" not in qbeat.output


def test_the_apps_setting_opens_the_port_too(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    port = free_port()
    write(tmp_path, QUICK + f'app.conf.qbeat_health = "127.0.0.1:{port}"\n')
    qbeat = start_qbeat(tmp_path, "-A", "tasks")
    qbeat.wait_for(f"http://127.0.0.1:{port}/healthz", within=40)


@pytest.mark.parametrize("address", ["9808x", "here", "127.0.0.1:99999", "1:2:3"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    write(tmp_path)
    done = run_qbeat(tmp_path, "-A", "tasks", "--health", address, within=60)
    assert done.returncode == 78
    assert address in done.stderr.splitlines()[-1]
    assert "127.0.0.1:9808" in done.stderr.splitlines()[-1]


def test_a_port_that_is_taken_is_refused(tmp_path: Path, start_redis: Callable[..., RedisServer]) -> None:
    write(tmp_path)
    done = run_qbeat(tmp_path, "-A", "tasks", "--health", f"127.0.0.1:{start_redis().port}", within=60)
    assert done.returncode == 78
    assert "cannot be opened" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_store_that_hangs_makes_it_unready_and_leaves_it_alive(
    tmp_path: Path, start_qbeat: StartQbeat, start_redis: Callable[..., RedisServer]
) -> None:
    write(tmp_path)
    redis = start_redis()
    qbeat = Watched(start_qbeat, tmp_path, "-s", redis.url)
    qbeat.until_ready()
    redis.process.pause()
    try:
        eventually(lambda: qbeat.told("/readyz")[0] == 503, within=60)
        assert any(problem.startswith("the store:") for problem in qbeat.told("/readyz")[1]["problems"])
        assert qbeat.get("/healthz")[0] == 200
        assert qbeat.metric("qbeat_ready") == 0
    finally:
        redis.process.resume()
    qbeat.until_ready()


def test_a_broker_that_is_away_makes_it_neither_dead_nor_unready(
    tmp_path: Path, start_qbeat: StartQbeat
) -> None:
    write(
        tmp_path, QUICK + "app.conf.qbeat_watchdog_after = 3\n", broker=f"redis://127.0.0.1:{free_port()}/0"
    )
    qbeat = Watched(start_qbeat, tmp_path)
    qbeat.until_ready()
    eventually(lambda: (qbeat.metric("qbeat_oldest_overdue_seconds") or 0) > 7, within=60)
    assert qbeat.metric("qbeat_broker_up") == 0
    assert qbeat.get("/healthz")[0] == 200
    assert qbeat.told("/readyz") == (200, {"ok": True, "problems": [], "broker_up": False})


def test_an_app_that_changes_its_folder_stays_ready(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    (tmp_path / "elsewhere").mkdir()
    write(
        tmp_path,
        QUICK + "import os\n"
        "from celery import signals\n"
        "leave = lambda **_: os.chdir('elsewhere')\n"
        "signals.beat_init.connect(leave, weak=False)\n",
    )
    qbeat = Watched(start_qbeat, tmp_path, "-s", "q.db")
    qbeat.until_ready()
    eventually(lambda: qbeat.metric("qbeat_replicas") == 1, within=30)
    assert qbeat.told("/readyz")[0] == 200
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_loop_that_hangs_is_told_by_the_watchdog(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path, HANGS)
    qbeat = Watched(start_qbeat, tmp_path)
    qbeat.until_ready()
    (tmp_path / "hang").touch()
    eventually(lambda: qbeat.get("/healthz")[0] == 503, within=60)
    assert "the loop has not turned for" in qbeat.told("/healthz")[1]["problems"][0]
    assert qbeat.metric("qbeat_healthy") == 0
    qbeat.process.wait_for("The watchdog is red", within=30)
    probe = run_qbeat(tmp_path, "status", "--probe", "--health", qbeat.address)
    assert probe.returncode == 1
    assert "the loop has not turned for" in probe.stdout
    qbeat.process.kill()


def test_inside_celerys_own_beat_the_port_is_served_and_one_that_is_taken_is_only_told(
    tmp_path: Path,
) -> None:
    port = free_port()
    write(tmp_path, QUICK + f'app.conf.qbeat_health = "127.0.0.1:{port}"\n')
    celery = (sys.executable, "-m", "celery", "-A", "tasks", "beat", "-S", "qbeat", "-l", "INFO")
    with QbeatProcess(tmp_path, command=celery) as first:
        first.wait_for(f"http://127.0.0.1:{port}/healthz", within=60)
        with QbeatProcess(tmp_path, command=(*celery, "--pidfile", "other.pid")) as second:
            second.wait_for("cannot be opened.*goes on without it", within=60)
            assert second.terminate() == 0
        assert first.terminate() == 0
