"""`qbeat status` and `qbeat doctor`: what they show, and their exit codes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from qbeat.beat.cli.group import invoke
from qbeat.beat.health.app_doctor import is_celery_beat
from qbeat.beat.health.doctor import examine_store, tz_databases, waiting
from qbeat.beat.health.overview import problems, survey
from qbeat.beat.health.probe import ask_store
from qbeat.store import open_store
from qbeat.store.memory import MemoryStore
from qbeat.store.opening import sqlite_path
from qbeat.store.records import ReplicaRecord
from tests.health.asking import QUICK, write
from tests.servers import MariadbServer, PostgresServer, RedisServer, eventually, run_qbeat
from tests.servers.fixtures import StartQbeat
from tests.servers.server import free_port
from tests.servers.worker import clean_environment
from tests.store.making import create, entry


def status(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = run_qbeat(folder, "status", "--json", *arguments, within=60)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def doctor(folder: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = run_qbeat(folder, "doctor", "--json", *arguments, within=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_status_shows_replicas_with_their_shares_and_what_comes_next(
    tmp_path: Path, start_qbeat: StartQbeat
) -> None:
    write(tmp_path)
    replicas = [start_qbeat(tmp_path, "-A", "tasks") for _ in range(2)]
    for replica in replicas:
        replica.wait_for("fired for|entries", within=60)
    told = eventually(
        lambda: (found := status(tmp_path))[0] == 0 and len(found[1]["replicas"]) == 2 and found, within=60
    )
    assert told
    shown = told[1]
    assert shown["healthy"]
    assert shown["problems"] == []
    assert shown["entries"] == 2
    assert shown["next_firing"]["entry"] == "quick"
    assert {replica["pid"] for replica in shown["replicas"]} == {replica.pid for replica in replicas}
    assert all(replica["live"] and replica["tz_database"] for replica in shown["replicas"])
    assert sum(replica["share"] for replica in shown["replicas"]) == 2
    table = run_qbeat(tmp_path, "status").stdout
    assert "All is well." in table
    assert "next      quick at 2" in table
    probe = run_qbeat(tmp_path, "-A", "broken", "status", "--probe")
    assert (probe.returncode, probe.stdout) == (0, "qbeat lives.\n")
    code, findings = doctor(tmp_path, "-A", "tasks")
    assert code == 0, findings
    assert {"versions", "permissions", "store", "replicas", "clocks", "tz database", "broker"} <= {
        finding["check"] for finding in findings
    }


def test_without_a_replica_it_is_unhealthy(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path)
    qbeat = start_qbeat(tmp_path, "-A", "tasks")
    qbeat.wait_for("fired for", within=40)
    assert qbeat.terminate() == 0
    code, told = status(tmp_path)
    assert code == 1
    assert not told["healthy"]
    assert "No replica is running" in told["problems"][0]
    probe = run_qbeat(tmp_path, "status", "--probe")
    assert probe.returncode == 1
    assert "no replica runs on" in probe.stdout


def test_a_store_that_cannot_be_reached_is_told_by_the_exit_code(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    assert status(tmp_path, "-s", url)[0] == 69
    assert run_qbeat(tmp_path, "status", "--probe", "-s", url).returncode == 69
    code, findings = doctor(tmp_path, "-s", url)
    assert code == 69
    assert [finding["check"] for finding in findings if finding["level"] == "error"] == ["store"]


def test_the_probe_looks_into_redis_too(
    tmp_path: Path, start_qbeat: StartQbeat, start_redis: Callable[..., RedisServer]
) -> None:
    write(tmp_path)
    redis = start_redis()
    qbeat = start_qbeat(tmp_path, "-A", "tasks", "-s", redis.url)
    qbeat.wait_for("fired for", within=40)
    assert run_qbeat(tmp_path, "status", "--probe", "-s", redis.url).returncode == 0
    odd = f"{redis.url}?socket_timeout=3"  # goes the long way
    assert run_qbeat(tmp_path, "status", "--probe", "-s", odd).returncode == 0
    elsewhere = run_qbeat(tmp_path, "status", "--probe", "-s", f"{redis.url}?prefix=other")
    assert (elsewhere.returncode, elsewhere.stdout[:17]) == (1, "no replica runs o")


def test_the_probe_imports_nothing_heavy(tmp_path: Path, start_redis: Callable[..., RedisServer]) -> None:
    open_store(str(tmp_path / "some.db")).close()
    script = (
        "import sys\nfrom qbeat.beat.cli.group import invoke\n"
        "codes = [invoke(['status', '--probe', '-s', store]) for store in sys.argv[1:]]\n"
        "assert codes == [1, 1], codes\n"
        "heavy = {'celery', 'kombu', 'sqlalchemy', 'redis', 'croniter', 'zoneinfo'} & {*sys.modules}\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "some.db", start_redis().url],
        cwd=tmp_path, env=clean_environment(), check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [(), ("--health", "127.0.0.1:1")])
def test_the_probe_says_no_where_nothing_is(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run_qbeat(tmp_path, "status", "--probe", "--json", *arguments)
    assert done.returncode == 1
    assert json.loads(done.stdout)["healthy"] is False


@pytest.mark.parametrize(
    ("store", "cure"),
    [
        ("corrupt.db", "Name another file with -s."),
        ("foreign.db", "Name another file with -s."),
        ("absent/x.db", "Make it, or name another file with -s."),
        (
            "foo://x",
            (
                "Use a file name, sqlite://, postgresql://, mysql://, redis://, rediss:// or sentinel://, "
                "or broker for the broker's own Redis."
            ),
        ),
    ],
)
def test_a_store_that_cannot_be_used_is_told_alike_and_with_its_own_cure(
    tmp_path: Path, store: str, cure: str
) -> None:
    (tmp_path / "corrupt.db").write_text("not a database at all")
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    assert status(tmp_path, "-s", store)[0] == 78
    probe = run_qbeat(tmp_path, "status", "--probe", "-s", store)
    assert probe.returncode == (1 if store == "absent/x.db" else 78)  # where no store is, no replica lives
    assert len(probe.stdout.splitlines()) == 1
    code, findings = doctor(tmp_path, "-s", store)
    assert code == 1
    assert [finding["cure"] for finding in findings if finding["check"] == "store"] == [cure]


@pytest.mark.parametrize(
    ("store", "file"),
    [
        ("some.db", "some.db"),
        ("sqlite:///some.db", "some.db"),
        ("sqlite:////var/lib/some.db", "/var/lib/some.db"),
        ("sqlite:///some.db?cache=private", "some.db"),
    ],
)
def test_the_file_of_a_store_is_found_as_the_store_finds_it(store: str, file: str) -> None:
    assert sqlite_path(store) == Path(file)


def test_the_probe_tells_a_store_that_is_locked_for_now(tmp_path: Path) -> None:
    open_store(str(tmp_path / "some.db")).close()
    with closing(sqlite3.connect(tmp_path / "some.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        assert run_qbeat(tmp_path, "status", "--probe", "-s", "some.db").returncode == 69


def test_the_doctor_names_each_mistake_with_its_cure(tmp_path: Path) -> None:
    write(
        tmp_path,
        QUICK + "app.conf.task_always_eager = True\n"
        'app.conf.beat_schedule = {"lost": {"task": "tasks.nowhere", "schedule": 10}}\n',
        broker=f"redis://127.0.0.1:{free_port()}/0",
    )
    code, findings = doctor(tmp_path, "-A", "tasks")
    assert code == 69
    wrong = [finding for finding in findings if finding["level"] == "error"]
    assert all(finding["cure"] for finding in wrong)
    text = "\n".join(f"{finding['check']}: {finding['text']}" for finding in wrong)
    assert "broker: redis://" in text
    assert "task_always_eager" in text
    assert "lost: the task 'tasks.nowhere' is not registered" in text


def test_the_doctor_tells_of_an_entry_that_cannot_be_published(tmp_path: Path) -> None:
    write(
        tmp_path,
        'app.conf.beat_schedule = {"shapeless": {"task": "tasks.add", "schedule": 10, "args": (1, print)},\n'
        '    "odd": {"task": "tasks.add", "schedule": 10, "args": (1, 2), "options": {"quue": 1}}}\n',
    )
    code, findings = doctor(tmp_path, "-A", "tasks")
    assert code == 1
    wrong, unwise = (finding for finding in findings if finding["check"] == "entries")
    assert wrong["level"] == "error"
    assert wrong["text"].startswith("shapeless: it cannot be published: EncodeError")
    assert wrong["cure"]
    assert (unwise["level"], unwise["text"]) == ("warning", "1 remark about 3 entries.")


def test_the_doctor_tells_of_a_broker_that_cannot_be(tmp_path: Path) -> None:
    write(tmp_path)
    _, findings = doctor(tmp_path, "-A", "tasks", "-b", "foo://bar")
    (broker,) = (finding for finding in findings if finding["check"] == "broker")
    assert broker["level"] == "error"
    assert broker["text"].startswith("the broker cannot be: No such transport: foo;")


def test_the_doctor_takes_a_store_that_is_not_made_yet_for_no_mistake(tmp_path: Path) -> None:
    write(tmp_path)
    code, findings = doctor(tmp_path, "-A", "tasks")
    assert code == 0, findings
    [store] = [each for each in findings if each["check"] == "store"]
    assert store["level"] == "warning"
    assert store["text"] == "there is no store at qbeat.db; the first start of qbeat makes one."
    assert store["cure"] == "Nothing to do before the first start; later, see whether -s names the right one."
    assert status(tmp_path)[0] == 78
    (tmp_path / "qbeat.db").touch()
    assert doctor(tmp_path)[0] == 0


@pytest.mark.parametrize("kind", ["postgres_server", "mariadb_server", "redis_server"])
def test_the_doctor_takes_a_database_without_a_store_for_no_mistake(
    kind: str, request: pytest.FixtureRequest, start_redis: Callable[..., RedisServer]
) -> None:
    url = start_redis().url if kind == "redis_server" else empty_database(request.getfixturevalue(kind))
    levels = {each.check: each.level for each in examine_store(url)}
    assert levels == {"versions": "ok", "store": "warning"}


def empty_database(server: PostgresServer | MariadbServer) -> str:
    server.start()
    return server.database_url(server.new_database())


@pytest.mark.parametrize(
    "url", ["redis://h..x", "redis://:Qz1/Vx2@h", "redis:/h", "mysql://h/x?foo=bar", "nope://h"]
)
def test_the_probe_refuses_a_url_that_cannot_be(url: str) -> None:
    code, said = ask_store(url)
    assert code == 78
    assert "Qz1" not in said


@contextmanager
def shut(folder: Path) -> Iterator[None]:
    """Have this process not enter a folder, be its user root."""
    folder.chmod(0)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)  # nobody
    try:
        yield
    finally:
        os.seteuid(was)
        folder.chmod(0o700)


@pytest.mark.parametrize("command", ["list", "next", "history", "status", "status --probe"])
def test_a_store_in_a_folder_that_may_not_be_entered_is_said(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.db"
    arguments = [*command.split(), "-s", str(path)]
    invoke(arguments)  # imports what it needs, which may lie in root's folder, too
    capsys.readouterr()
    with shut(tmp_path):
        assert invoke(arguments) == 78
    out, err = capsys.readouterr()
    said = out if "probe" in command else err.removeprefix("qbeat: ")
    assert said.startswith(f"{path} cannot be looked at (Permission denied): let this user into its folder")


def test_the_doctor_finds_a_folder_that_may_not_be_entered(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    assert list(examine_store(str(path)))
    with shut(tmp_path):
        [wrong] = [each for each in examine_store(str(path)) if each.level == "error"]
    assert wrong.text == f"{path} cannot be looked at (Permission denied)."
    assert wrong.cure == "Let this user into its folder, or name another file with -s."


def test_the_doctor_finds_a_folder_that_is_not_there(tmp_path: Path) -> None:
    found = [each for each in examine_store(str(tmp_path / "absent" / "x.db")) if each.check != "versions"]
    assert [(each.check, each.level) for each in found] == [("store", "error")]
    assert "absent does not exist" in found[0].text


@pytest.mark.parametrize("store", ["broker", "redis:host", "foo://x"])
def test_the_doctor_tells_nothing_of_the_file_of_a_store_that_is_none(tmp_path: Path, store: str) -> None:
    code, findings = doctor(tmp_path, "-s", store)
    assert code == 1
    assert [
        (each["check"], each["level"]) for each in findings if each["check"] in {"store", "permissions"}
    ] == [("store", "error")]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_the_doctor_finds_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "qbeat.db").touch(mode=0o444)
    code, findings = doctor(tmp_path)
    assert code == 1
    assert "not writable" in next(each["text"] for each in findings if each["check"] == "permissions")


def test_the_doctor_finds_a_store_that_everybody_may_write(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path)
    start_qbeat(tmp_path, "-A", "tasks").wait_for("fired for", within=40)
    (tmp_path / "qbeat.db").chmod(0o666)
    code, findings = doctor(tmp_path)
    assert code == 1
    assert next(each["cure"] for each in findings if each["check"] == "permissions") == "chmod o-w qbeat.db"


@pytest.mark.parametrize(("late", "said"), [(1, "1 entry is overdue"), (2, "2 entries are overdue")])
def test_overdue_entries_are_counted_in_english(late: int, said: str) -> None:
    store = MemoryStore(lambda: 100_000_000)
    for number in range(late):
        create(store, entry(f"e{number}", due_at=10_000_000))
    store.heartbeat(ReplicaRecord("a", "h", 1, "1", "g", 0, details={}), live_within=3_000_000)
    overview = survey(store)
    assert len(overview.overdue) == late
    assert problems(overview)[0].startswith(said)
    [finding] = waiting(overview)
    assert finding.text.startswith(said)


def test_different_tz_databases_are_found() -> None:
    store = MemoryStore(lambda: 1_000_000)
    for name, version in (("a", "2025b"), ("b", "2026f")):
        record = ReplicaRecord(
            name, "h", 1, "1", "g", 0, details={"tz_database": ["package tzdata", version]}
        )
        store.heartbeat(record, live_within=3_000_000)
    [finding] = tz_databases(survey(store))
    assert finding.level == "error"
    assert "a: 2025b" in finding.text
    assert "b: 2026f" in finding.text
    assert "tzdata" in (finding.cure or "")


@pytest.mark.parametrize(
    ("command", "is_rival"),
    [
        ("/usr/bin/python -m celery -A tasks beat", True),
        ("/venv/bin/python /venv/bin/celery -A tasks worker -B", True),
        ("celery -A tasks worker", False),
        ("celery -A tasks beat -S qbeat", False),
        ("/venv/bin/python /venv/bin/qbeat -A tasks worker -B", False),
        ("vim beat", False),
    ],
)
def test_celerys_own_beat_is_recognised(command: str, is_rival: bool) -> None:
    assert is_celery_beat(command.split()) is is_rival
