"""`qbeat check`: what it says about entries that never fire, and about those that cannot say when."""

from __future__ import annotations

import sys

import pytest
from celery import signals

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


def declared(apps: Apps, declaration: str, before: str = "", *, header: str = APP) -> list[Finding]:
    app = apps.load(
        f"app.conf.result_expires = None\n{before}\n"
        f"app.conf.beat_schedule = {{'feed': {{'schedule': 60, {declaration}}}}}\n",
        header=header,
    )
    return check_app(app)[0]


ADD = "'task': 'tasks.add'"
CAT = "'task': 'tasks.check_cat'"


@pytest.mark.parametrize(
    ("declaration", "why"),
    [
        (f"{ADD}, 'args': (1, lambda: 2)", "EncodeError: Object of type function is not JSON serializable"),
        ("'task': 'theirs.feed', 'args': (open,)", "is not JSON serializable"),
        (f"{ADD}, 'kwargs': {{'x': 1, 'y': {{2: {{3}}.add}}}}", "is not JSON serializable"),
        (f"{ADD}, 'args': (1,)", "TypeError: add() missing 1 required positional argument: 'y'"),
        (
            f"{CAT}, 'options': {{'queue': 'x', 'expires': 'soon'}}",
            "published: its option expires: ValueError",
        ),
        (f"{CAT}, 'options': {{'countdown': 'x'}}", "published: its option countdown: TypeError: "),
        (f"{CAT}, 'options': {{'serializer': 'nosuch'}}", "nosuch"),
    ],
)
def test_an_entry_that_cannot_be_published_is_told_with_the_reason(
    apps: Apps, declaration: str, why: str
) -> None:
    found = [each for each in declared(apps, declaration) if each.code != "unknown-task"]
    assert [each.code for each in found] == ["cannot-be-published"]
    assert found[0].text.startswith("it cannot be published: ")
    assert why in found[0].text
    assert "\n" not in found[0].text


@pytest.mark.parametrize(
    "options",
    [
        "'countdown': 5, 'expires': 30.5, 'priority': 3, 'queue': 'cats'",
        "'eta': datetime(2999, 1, 1), 'expires': datetime(2999, 1, 2), 'headers': {'by': 'us'}",
        "'expires': '2999-01-01T00:00:00', 'exchange': 'cats', 'routing_key': 'cats.fed', 'link': check_cat.si()",
        "'serializer': 'pickle', 'compression': 'zlib', 'ignore_result': True, 'time_limit': 3, 'shadow': 'cat'",
        "'MessageGroupId': 'cats'",
    ],
)
def test_options_that_celery_takes_are_passed_in_silence(apps: Apps, options: str) -> None:
    assert declared(apps, f"{CAT}, 'options': {{{options}}}") == []


@pytest.mark.parametrize(("serializer", "codes"), [("pickle", []), ("json", ["cannot-be-published"])])
def test_arguments_need_to_suit_the_serializer_of_their_entry(
    apps: Apps, serializer: str, codes: list[str]
) -> None:
    found = declared(apps, f"{ADD}, 'args': ({{1}}, 2), 'options': {{'serializer': {serializer!r}}}")
    assert [each.code for each in found] == codes


def test_of_many_entries_alike_each_is_looked_at(apps: Apps) -> None:
    app = apps.load(
        "app.conf.result_expires = None\n"
        "for n, args in enumerate([(1, 2), (3, 4), (5,), (6, print), (7, 8)]):\n"
        "    app.conf.beat_schedule[f'feed {n}'] = {'task': 'tasks.add', 'schedule': 60, 'args': args}\n"
    )
    assert [each.entry for each in check_app(app)[0]] == ["feed 2", "feed 3"]


def test_a_misspelt_option_is_told_with_the_one_that_was_meant(apps: Apps) -> None:
    [found] = declared(apps, f"{CAT}, 'options': {{'quue': 'cats'}}")
    assert (found.code, found.text) == (
        "unknown-option",
        "Celery has no option 'quue'; did you mean 'queue'?",
    )


@pytest.mark.parametrize("exclude", ["", "'exclude': Cron('* 3 * * *'), "])
def test_a_move_without_a_calendar_is_told(apps: Apps, exclude: str) -> None:
    [found] = declared(
        apps,
        f"{CAT}, 'options': {{'qbeat': {{{exclude}'move': 'next'}}}}",
        "from qbeat.schedules import Cron",
    )
    assert found.code == "move-without-days"
    assert found.text.startswith("move='next' does nothing: give exclude=Calendar(")


# --- what the check leaves alone

TRACE = """
from celery import signals
from celery.beat import BeatLazyFunc
seen = []

@signals.before_task_publish.connect
@signals.after_task_publish.connect
def trace(**told):
    seen.append(told)

class Own(app.Task):
    def apply_async(self, *args, **options):
        seen.append(args)

@app.task(name="tasks.own", base=Own)
def own(x):
    seen.append(x)

@app.task(name="tasks.run", typing=False)
def run(x):
    seen.append(x)

def spy():
    seen.append("called")
"""


@pytest.mark.parametrize(
    "declaration",
    [
        "'task': 'tasks.run', 'args': (1,)",
        "'task': 'tasks.own', 'args': (1,), 'options': {'quue': 1}",
        "'task': 'tasks.run', 'args': (BeatLazyFunc(spy),)",
        "'task': 'tasks.run', 'kwargs': {'x': BeatLazyFunc(spy)}",
        "'task': 'celery.chain', 'kwargs': {'tasks': [run.si(1)]}",
    ],
)
@pytest.mark.parametrize("is_eager", [False, True])
def test_nothing_of_the_users_own_runs(apps: Apps, declaration: str, is_eager: bool) -> None:
    assert declared(apps, declaration, f"{TRACE}app.conf.task_always_eager = {is_eager}") == []
    [seen] = [vars(module)["seen"] for module in [*sys.modules.values()] if "seen" in vars(module)]
    assert seen == []


def test_the_receivers_of_signals_are_there_again_afterwards(apps: Apps) -> None:
    receivers = list(signals.before_task_publish.receivers)
    assert declared(apps, f"{CAT}", TRACE) == []
    assert len(signals.before_task_publish.receivers) == len(receivers) + 1


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1", "foo://bar"])
def test_neither_broker_nor_result_backend_is_asked(apps: Apps, broker: str) -> None:
    header = APP.replace("memory://", broker)
    backend = "app.conf.result_backend = 'redis://127.0.0.1:1/0'"
    sent = f"{ADD}, 'args': (1, 2)"
    for declaration in (sent, f"{sent}, 'options': {{'countdown': 5}}", "'task': 'theirs.feed'"):
        found = declared(apps, declaration, backend, header=header)
        assert [each.code for each in found if each.code != "unknown-task"] == []


# --- settings


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
        ("broker_url = 'foo://bar'", "the broker cannot be: No such transport: foo"),
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


def test_an_unknown_task_is_told_once(
    apps: Apps, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    name = apps.write(f"{APP}app.conf.beat_schedule = {{'x': {{'task': 'theirs', 'schedule': 60}}}}\n")
    assert invoke(["check", "-A", name]) == 0
    out, err = capsys.readouterr()
    assert f"{out}{err}{caplog.text}".count("theirs") == 1


def test_one_entry_is_counted_as_one(apps: Apps, capsys: pytest.CaptureFixture[str]) -> None:
    feed = "app.add_periodic_task(60, check_cat.s(), name='feed')\n"
    assert invoke(["check", "-A", apps.write(f"{APP}app.conf.result_expires = None\n{feed}")]) == 0
    assert capsys.readouterr().out == "1 entry, no warnings.\n"


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
