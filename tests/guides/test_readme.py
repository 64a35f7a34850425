"""The Python of the README: each block that declares entries runs as it stands there, all others compile."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from qbeat.beat.app.reading import read_entries
from qbeat.schedules.base import from_us, to_us
from tests.beat.apps import Apps, apps_in

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
DECLARING = [block for block in BLOCKS if "add_periodic_task(" in block or "beat_schedule" in block]
WRITTEN = to_us(datetime(2026, 11, 21, tzinfo=UTC))
OWN_APP = 'from celery import Celery\n\napp = Celery("tasks", broker="memory://")\n'


COMPANY = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:test
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20270101
DTEND;VALUE=DATE:20270106
END:VEVENT
END:VCALENDAR
"""


@pytest.fixture
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Apps]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "company.ics").write_text(COMPANY)
    with apps_in(tmp_path) as found:
        yield found


def with_what_it_leaves_out(block: str) -> str:
    """A block as a module of its own: with an app and the tasks that it takes from what stands before it."""
    if "Celery(" in block:
        return block
    tasks = dict.fromkeys(re.findall(r"(\w+)\.s\(", block))
    return OWN_APP + "".join(f"\n@app.task\ndef {task}(): ...\n" for task in tasks) + block


def test_there_are_blocks_that_declare_entries() -> None:
    assert len(DECLARING) >= 3


@pytest.mark.parametrize("block", DECLARING)
def test_a_block_that_declares_entries_declares_as_many_as_it_shows(apps: Apps, block: str) -> None:
    app = apps.load(with_what_it_leaves_out(block), header="")
    app.conf.result_expires = None
    entries = read_entries(app)
    shown = len(re.findall(r"add_periodic_task\(|\"schedule\":", block))
    assert len(entries) == shown
    assert not [entry.name for entry in entries if entry.schedule.next_us(WRITTEN, WRITTEN) is None]


def test_the_block_on_calendars_keeps_days_off_free(apps: Apps) -> None:
    [block] = [block for block in DECLARING if "calendar_from_ics" in block]
    app = apps.load(with_what_it_leaves_out(block), header="")
    days: dict[str, list[str]] = {}
    for entry in read_entries(app):
        at = WRITTEN
        for _ in range(40):
            at = entry.schedule.next_us(at) or at
            days.setdefault(entry.task.rpartition(".")[2], []).append(f"{from_us(at):%Y-%m-%d}")
    assert {"2026-12-23", "2026-12-28"} <= {*days["pay_bills"]}
    assert {"2026-12-24", "2026-12-25", "2026-12-26"}.isdisjoint(days["pay_bills"])
    assert {"2026-11-26", "2026-12-25"}.isdisjoint(days["read_quotes"])
    assert days["report"][:3] == ["2026-12-01", "2027-01-06", "2027-02-01"]


@pytest.mark.parametrize("block", BLOCKS)
def test_what_a_block_imports_from_qbeat_is_there(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("qbeat"):
            module = import_module(str(node.module))
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def test_each_name_in_prose_that_is_a_module_of_qbeat_can_be_imported() -> None:
    for dotted in set(re.findall(r"`(qbeat(?:\.\w+){2,})`", README)):
        module, _, name = dotted.rpartition(".")
        assert hasattr(import_module(module), name), dotted
