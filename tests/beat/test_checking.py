"""`qbeat check`: what it says about entries that never fire, and about those that cannot say when."""

from __future__ import annotations

import pytest

from qbeat.beat.app.checking import Finding, check_app
from qbeat.beat.cli.group import invoke
from qbeat.beat.closed_files import open_files
from tests.beat.apps import APP, Apps

OWN = """
class Own(BaseSchedule):
    def is_due(self, last_run_at):
        {body}
"""


def findings(apps: Apps, schedule: str, *, policies: str = "None", body: str = "pass") -> list[Finding]:
    app = apps.load(
        "from qbeat.schedules import *\n" + OWN.format(body=body) + f"app.conf.result_expires = None\n"
        f"app.add_periodic_task({schedule}, check_cat.s(), name='feed', qbeat={policies})\n"
    )
    return check_app(app)[0]


@pytest.mark.parametrize(
    ("schedule", "policies", "described"),
    [
        ("Once('2020-01-01T00:00Z')", "None", "once, at 2020-01-01 00:00 UTC"),
        ("60", "{'end': '2020-01-01'}", "every minute, until 2020-01-01 00:00"),
        ("crontab(0, 0)", "{'end': '2020-01-01'}", "every day (UTC), until 2020-01-01 00:00"),
        ("RRule('DTSTART:20190101T000000\\nRRULE:FREQ=DAILY;COUNT=3')", "None", "2019-01-01 (UTC)"),
        ("Cron('0 0 * * *')", "{'start': '9999-12-30'}", "from 9999-12-30 00:00"),
    ],
)
def test_an_entry_of_which_nothing_lies_ahead_is_told(
    apps: Apps, schedule: str, policies: str, described: str
) -> None:
    [found] = findings(apps, schedule, policies=policies)
    assert (found.entry, found.code) == ("feed", "never-fires")
    assert found.text.startswith("nothing of it lies ahead, so it never fires")
    assert found.text.endswith(described)


def test_years_that_are_over_are_told_once(apps: Apps) -> None:
    [found] = findings(apps, "Cron('0 0 0 1 1 * 2020', seconds='first')")
    assert found.code == "years-over"


@pytest.mark.parametrize("answer", ["False, None", "False, 1.0", "False, float('inf')"])
def test_an_is_due_that_is_never_true_is_told(apps: Apps, answer: str) -> None:
    [found] = findings(apps, "Own()", body=f"return {answer}")
    assert found.code == "never-due"
    assert found.text == (
        "its is_due says of no time ahead that it is due, as far as qbeat asks: it does not fire before the next "
        "start; its answer should follow from last_run_at and self.now() alone"
    )


def test_an_is_due_that_raises_is_told_with_its_error(apps: Apps) -> None:
    [found] = findings(apps, "Own()", body="raise LookupError('no cat')")
    assert found.code == "schedule-fails"
    assert found.text == "its schedule cannot say when it fires: LookupError: no cat"


@pytest.mark.parametrize("answer", ["None", "5", "True"])
def test_an_is_due_without_its_two_answers_is_told(apps: Apps, answer: str) -> None:
    [found] = findings(apps, "Own()", body=f"return {answer}")
    assert found.code == "schedule-fails"


@pytest.mark.parametrize(
    "schedule", ["60", "crontab(0, 0)", "Once('2999-01-01T00:00Z')", "solar('sunset', 10, 20)"]
)
def test_what_fires_some_day_is_passed_in_silence(apps: Apps, schedule: str) -> None:
    assert findings(apps, schedule) == []


def test_a_look_at_many_entries_leaves_no_files_open(apps: Apps) -> None:
    app = apps.load("for n in range(20):\n    app.add_periodic_task(60, check_cat.s(), name=f'feed {n}')\n")
    before = open_files()
    check_app(app)
    assert open_files() <= before


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("qbeat_store = 'nope://host'", "nope:// is no kind of store"),
        ("qbeat_store = 'redis:/host'", "redis: without two slashes is no URL of a store"),
        ("qbeat_store = 'redis://host/name'", "the store's URL names the database 'name'"),
        ("qbeat_store = 'postgresql://u:secret@host'", "postgresql://u:***@host names no database"),
        ("qbeat_store = 'postgresql://host:abc/x'", "the store's URL cannot be read"),
        ("qbeat_store = 'sqlite://'", "an SQLite store needs a file"),
        ("qbeat_store = 'broker'", "-s broker needs a broker that is Redis"),
        ("qbeat_history_days = 'abc'", "qbeat_history_days is 'abc'; give days"),
        ("qbeat_health = 'here'", "the health port is 'here'; give an address"),
    ],
)
def test_a_setting_that_cannot_be_ends_the_check_as_it_would_end_the_start(
    apps: Apps, capsys: pytest.CaptureFixture[str], setting: str, sentence: str
) -> None:
    name = apps.write(f"{APP}app.conf.{setting}\n")
    assert invoke(["check", "-A", name]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith(f"qbeat: {sentence}")


@pytest.mark.parametrize("store", ["absent/x.db", "redis://127.0.0.1:1/0", "postgresql://127.0.0.1:1/x"])
def test_the_check_asks_no_store(apps: Apps, store: str) -> None:
    assert invoke(["check", "-A", apps.write(f"{APP}app.conf.qbeat_store = {store!r}\n")]) == 0


def test_warnings_end_with_1_only_where_check_is_strict(
    apps: Apps, capsys: pytest.CaptureFixture[str]
) -> None:
    name = apps.write(
        APP + "from qbeat.schedules import Once\n"
        "app.add_periodic_task(Once('2020-01-01T00:00Z'), check_cat.s(), name='feed')\n"
    )
    assert invoke(["-A", name, "check"]) == 0
    assert "feed" in capsys.readouterr().out
    assert invoke(["-A", name, "check", "--strict"]) == 1
