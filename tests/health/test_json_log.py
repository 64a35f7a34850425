"""`--log-format json`: every line of the log is one object."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from qbeat.beat.json_log import JsonFormatter
from tests.health.asking import write
from tests.servers import eventually
from tests.servers.fixtures import StartQbeat


def test_every_line_is_an_object_and_a_firing_tells_its_facts(
    tmp_path: Path, start_qbeat: StartQbeat
) -> None:
    write(tmp_path)
    qbeat = start_qbeat(tmp_path, "-A", "tasks", "--log-format", "json")
    qbeat.wait_for("fired for", within=40, count=2)
    assert qbeat.terminate() == 0
    lines = [json.loads(line) for line in qbeat.output.splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    fired = next(line for line in lines if "fired for" in line["message"])
    assert (fired["entry"], fired["level"], fired["logger"]) == ("quick", "INFO", "qbeat")
    assert fired["fire_time"] in fired["message"]
    assert fired["task_id"] in fired["message"]
    assert fired["lateness_ms"] >= 0


def test_a_file_gets_objects_too(tmp_path: Path, start_qbeat: StartQbeat) -> None:
    write(tmp_path)
    start_qbeat(tmp_path, "-A", "tasks", "--log-format", "json", "-f", "q.log")
    log = tmp_path / "q.log"
    eventually(lambda: log.exists() and "fired for" in log.read_text(), within=40)
    assert all(json.loads(line) for line in log.read_text().splitlines())


def test_errors_bring_their_traceback_and_odd_values_their_name() -> None:
    try:
        int("broken")
    except ValueError as error:
        record = logging.LogRecord(
            "qbeat", logging.ERROR, "", 1, "it is %s", ("so",), (ValueError, error, error.__traceback__)
        )
    record.odd = {1, 2}
    told = json.loads(JsonFormatter().format(record))
    assert told["message"] == "it is so"
    assert told["exception"].endswith("base 10: 'broken'")
    assert told["odd"] == "{1, 2}"
