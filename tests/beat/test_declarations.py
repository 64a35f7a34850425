"""Where entries come from: hooks, module level, beat_schedule, a config module; and what they are called."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from celery.utils.dispatch import Signal

from qbeat.beat.app.reading import read_entries
from qbeat.beat.errors import CONFIGURATION, FAILED, DeclarationError
from qbeat.schedules import Crontab, Interval
from tests.beat.apps import APP, HEADER, Apps
from tests.servers import QbeatProcess, eventually, run_qbeat
from tests.servers.worker import clean_environment

LATE = """
@app.on_after_configure.connect
def late(sender, **kwargs):
    sender.add_periodic_task(60, check_cat.s())
"""


def refusal(app: Celery, exit_code: int = CONFIGURATION) -> str:
    """What is said when the entries of an app are read that cannot be."""
    with pytest.raises(DeclarationError) as caught:
        read_entries(app)
    assert caught.value.exit_code == exit_code
    return str(caught.value)


def line_of(app: Celery, text: str) -> int:
    """The number of the only line of an app's module that holds ``text``."""
    source = Path(sys.modules[app.tasks["tasks.add"].__module__].__file__ or "").read_text().splitlines()
    [number] = [number for number, line in enumerate(source, 1) if text in line]
    return number


def seconds_of(schedule: object) -> float:
    assert isinstance(schedule, Interval)
    return schedule.every.total_seconds()


# --- where they come from


def test_a_hook_on_after_configure_declares_entries(apps: Apps) -> None:
    entries = apps.entries(
        """
        @app.on_after_configure.connect
        def setup(sender, **kwargs):
            sender.add_periodic_task(60, check_cat.s())
        """
    )
    assert list(entries) == ["tasks.check_cat()"]
    assert entries["tasks.check_cat()"].task == "tasks.check_cat"
    assert seconds_of(entries["tasks.check_cat()"].schedule) == 60


def test_a_hook_connected_after_the_app_was_configured_is_called_all_the_same(
    apps: Apps, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "qbeat.app")
    entries = apps.entries(f"app.conf.timezone\n{LATE}")
    assert list(entries) == ["tasks.check_cat()"]
    [line] = [record.getMessage() for record in caplog.records if record.name == "qbeat.app"]
    assert "late was connected to on_after_configure after the app had been configured" in line


def test_a_late_hook_in_a_module_of_tasks_is_called(apps: Apps) -> None:
    app_name = apps.write('app = Celery("tasks", broker="memory://", include=["late_tasks"])')
    apps.write(
        f"""
        from {app_name} import app

        @app.task
        def feed(): ...

        @app.on_after_configure.connect
        def late(sender, **kwargs):
            sender.add_periodic_task(60, feed.s())
        """,
        name="late_tasks",
    )
    assert list(apps.entries(f"from {app_name} import app", header="")) == ["late_tasks.feed()"]


def test_a_hook_that_celery_called_is_not_called_again(apps: Apps) -> None:
    app = apps.load(
        """
        calls = []

        @app.on_after_configure.connect
        def early(sender, **kwargs):
            calls.append("early")

        app.conf.timezone

        @app.on_after_configure.connect
        def late(sender, **kwargs):
            calls.append("late")

        app.calls = calls
        """
    )
    assert app.calls == ["early", "late"]


def test_a_hook_on_after_finalize_declares_entries(apps: Apps) -> None:
    entries = apps.entries(
        """
        @app.on_after_finalize.connect
        def setup(sender, **kwargs):
            sender.add_periodic_task(crontab(hour=7, minute=30, day_of_week=1), add.s(1, 2), name="add")
        """
    )
    assert entries["add"].args == (1, 2)
    assert entries["add"].schedule == Crontab(hour=7, minute=30, day_of_week=1, timezone="UTC")


def test_entries_may_be_added_at_module_level_before_the_app_is_configured(apps: Apps) -> None:
    entries = apps.entries("app.add_periodic_task(5, add.s(1, 2), name='one')")
    assert list(entries) == ["one"]


def test_entries_may_be_added_at_module_level_after_the_app_was_configured(apps: Apps) -> None:
    entries = apps.entries("app.conf.timezone; app.add_periodic_task(5, add.s(1, 2), name='one')")
    assert list(entries) == ["one"]


def test_beat_schedule_declares_entries(apps: Apps) -> None:
    entries = apps.entries(
        """
        app.conf.beat_schedule = {
            "every-30": {"task": "tasks.add", "schedule": 30.0, "args": (16, 16)},
            "weekly": {
                "task": "tasks.add", "schedule": crontab(hour=7, day_of_week="mon"),
                "kwargs": {"x": 1, "y": 2}, "options": {"queue": "low"},
            },
        }
        """
    )
    assert set(entries) == {"every-30", "weekly"}
    assert entries["every-30"].args == (16, 16)
    assert entries["weekly"].kwargs == {"x": 1, "y": 2}
    assert entries["weekly"].options == {"queue": "low"}


def test_all_ways_together_add_up(apps: Apps) -> None:
    entries = apps.entries(
        """
        app.conf.beat_schedule = {"a": {"task": "tasks.add", "schedule": 1, "args": (1, 2)}}
        app.add_periodic_task(2, check_cat.s(), name="b")

        @app.on_after_configure.connect
        def configured(sender, **kwargs):
            sender.add_periodic_task(3, check_cat.s(), name="c")

        @app.on_after_finalize.connect
        def finalized(sender, **kwargs):
            sender.add_periodic_task(4, check_cat.s(), name="d")
        """
    )
    assert {name: seconds_of(entry.schedule) for name, entry in entries.items()} == {
        "a": 1, "b": 2, "c": 3, "d": 4,
    }  # fmt: skip


def test_a_config_module_declares_entries(apps: Apps) -> None:
    config = apps.write(
        """
        timezone = "Asia/Shanghai"
        beat_schedule = {"feed": {"task": "tasks.check_cat", "schedule": timedelta(minutes=1)}}
        """
    )
    entries = apps.entries(f'app.config_from_object("{config}")')
    assert entries["feed"].schedule == Interval(timedelta(minutes=1))
    assert entries["feed"].timezone == "Asia/Shanghai"


def test_the_old_uppercase_names_declare_entries(apps: Apps) -> None:
    config = apps.write(
        """
        CELERY_TIMEZONE = "Asia/Shanghai"
        CELERYBEAT_SCHEDULE = {"feed": {"task": "tasks.check_cat", "schedule": 60}}
        """
    )
    entries = apps.entries(f'app.config_from_object("{config}")')
    assert entries["feed"].timezone == "Asia/Shanghai"


def test_a_namespace_holds_for_entries_as_for_everything(apps: Apps) -> None:
    config = apps.write(
        """
        CELERY_TIMEZONE = "Asia/Shanghai"
        CELERY_BEAT_SCHEDULE = {"feed": {"task": "tasks.check_cat", "schedule": 60}}
        """
    )
    entries = apps.entries(f'app.config_from_object("{config}", namespace="CELERY")')
    assert entries["feed"].timezone == "Asia/Shanghai"


def test_a_task_may_be_given_itself_in_place_of_its_signature(apps: Apps) -> None:
    assert list(apps.entries("app.add_periodic_task(5, check_cat)")) == ["tasks.check_cat()"]


def test_arguments_and_options_beside_the_signature_reach_the_entry(apps: Apps) -> None:
    entries = apps.entries(
        "app.add_periodic_task(5, add.s(1).set(queue='low'), args=(2,), name='n', expires=10, priority=3)"
    )
    # Celery puts new arguments before those of the signature.
    assert entries["n"].args == (2, 1)
    assert entries["n"].options == {"queue": "low", "expires": 10, "priority": 3}


def test_without_entries_there_are_none(apps: Apps) -> None:
    assert apps.entries("") == {}


# --- hooks that fail


def test_a_schedule_that_a_hook_cannot_make_is_a_declaration_error_with_hook_and_line(apps: Apps) -> None:
    app = apps.load(
        """
        from qbeat.schedules import Cron

        @app.on_after_configure.connect
        def set_up(sender, **kwargs):
            sender.add_periodic_task(30.0, check_cat.s())
            sender.add_periodic_task(Cron("0 0 30 2 *"), check_cat.s(), name="never")
            sender.add_periodic_task(60, check_cat.s(), name="lost")
        """
    )
    message = refusal(app)
    [line] = message.splitlines()
    assert re.match(r"the hook written_\d+\.set_up of on_after_configure \(written_", line)
    assert f".py:{line_of(app, 'never')}): " in line
    assert "can never fire" in line
    assert "Traceback" not in line


HOOKS = {
    "on_after_configure": "@app.on_after_configure.connect",
    "on_after_finalize": "@app.on_after_finalize.connect",
    "on_configure": "@app.on_configure.connect",
    "a late on_after_configure": "app.conf.timezone\n\n@app.on_after_configure.connect",
}


@pytest.mark.parametrize("connect", HOOKS.values(), ids=HOOKS.keys())
@pytest.mark.parametrize("strong", ["", "(weak=False)"])
def test_any_error_in_a_hook_is_a_declaration_error_and_logged_with_its_traceback(
    apps: Apps, caplog: pytest.LogCaptureFixture, connect: str, strong: str
) -> None:
    app = apps.load(
        f"""
{connect}{strong}
def set_up(sender, **kwargs):
    rate = int("once\\na minute")  # here

app.add_periodic_task(60, check_cat.s(), name="fine")
""".replace("\n\n@", "\n@")
    )
    [line] = refusal(app, FAILED).splitlines()
    assert re.match(r"the hook written_\d+\.set_up of on_", line)
    assert f".py:{line_of(app, '# here')}) raises ValueError: invalid literal for int()" in line
    assert line.endswith("; what it declares may be missing, so nothing starts: mend it, or catch the error")
    [record] = [record for record in caplog.records if record.name == "qbeat.app"]
    assert record.levelname == "ERROR"
    assert record.exc_info


def test_an_error_deep_in_a_library_is_placed_where_the_hook_calls_it(apps: Apps) -> None:
    app = apps.load(
        """
        import json

        @app.on_after_finalize.connect
        def set_up(sender, **kwargs):
            json.loads("{")  # here
        """
    )
    assert f".py:{line_of(app, '# here')}) raises JSONDecodeError: " in refusal(app, FAILED)


def test_errors_of_hooks_and_of_entries_are_told_at_once(apps: Apps) -> None:
    app = apps.load(
        """
        @app.on_after_configure.connect
        def one(sender, **kwargs):
            raise LookupError("no cat")

        @app.on_after_finalize.connect
        def two(sender, **kwargs):
            sender.add_periodic_task("soon", check_cat.s(), name="soon")
            raise OSError

        app.conf.timezone

        @app.on_after_configure.connect
        def three(sender, **kwargs):
            sender.add_periodic_task(60, check_cat.s(), name="fine")
            raise LookupError("no dog")
        """
    )
    first, second, third, fourth = refusal(app).splitlines()
    assert ".one of on_after_configure" in first
    assert "raises LookupError: no cat;" in first
    assert ".two of on_after_finalize" in second
    assert "raises OSError; what" in second
    assert ".three of on_after_configure" in third
    assert fourth.startswith("entry 'soon' ")


def test_a_hook_that_catches_its_errors_declares_what_it_declares(apps: Apps) -> None:
    entries = apps.entries(
        """
        @app.on_after_configure.connect
        def set_up(sender, **kwargs):
            sender.add_periodic_task(60, check_cat.s(), name="fine")
            try:
                raise LookupError("no cat")
            except LookupError as error:
                return error
        """
    )
    assert list(entries) == ["fine"]


def test_hooks_of_other_signals_may_fail_as_they_do_in_celery(apps: Apps) -> None:
    entries = apps.entries(
        """
        from celery import signals

        @signals.import_modules.connect
        def told(sender, **kwargs):
            signals.beat_init.send(sender=sender)

        @signals.beat_init.connect
        def broken(sender, **kwargs):
            raise LookupError("no cat")

        app.add_periodic_task(60, check_cat.s(), name="fine")
        """
    )
    assert list(entries) == ["fine"]


FAILING_HOOK = """
@app.on_after_configure.connect
def set_up(sender, **kwargs):
    sender.add_periodic_task(60, check_cat.s(), name="kept")
    if os.path.exists("fail"):
        raise ValueError("no more")
    sender.add_periodic_task(60, check_cat.s(), name="lost")
"""


def test_a_hook_that_begins_to_fail_retires_nothing_and_may_be_started_again(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(HEADER + APP + "import os\n" + FAILING_HOOK)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_qbeat(tmp_path, "-A", "tasks", *arguments)

    with QbeatProcess(tmp_path, "-A", "tasks"):
        eventually(lambda: "lost" in run("list").stdout, within=40)
    (tmp_path / "fail").touch()
    for command in ([], ["check"], ["check", "--json"]):
        done = run(*command)
        assert done.returncode == FAILED
        assert "qbeat: the hook tasks.set_up of on_after_configure (tasks.py:" in done.stderr
        assert "raises ValueError: no more" in done.stderr
    assert {row["name"] for row in json.loads(run("list", "--json").stdout)} >= {"kept", "lost"}


def test_celery_with_qbeat_inside_does_not_go_on_without_what_a_hook_did_not_declare(apps: Apps) -> None:
    from qbeat.beat.plugin.scheduler import QbeatScheduler

    app = apps.load(FAILING_HOOK, header=f"import os\nopen('fail', 'w')\n{APP}")
    with pytest.raises(DeclarationError, match="set_up of on_after_configure"):
        QbeatScheduler(app)


# --- what they are called


TWICE = """
@app.on_after_configure.connect
def setup(sender, **kwargs):
    sender.add_periodic_task(60, check_cat.s())
    sender.add_periodic_task(crontab(hour=7, minute=30, day_of_week=1), check_cat.s())
"""


def test_two_unnamed_entries_of_one_signature_both_live(apps: Apps) -> None:
    entries = apps.entries(TWICE)
    assert list(entries) == ["tasks.check_cat()", "tasks.check_cat() [30 7 * * 1]"]
    assert seconds_of(entries["tasks.check_cat()"].schedule) == 60
    assert isinstance(entries["tasks.check_cat() [30 7 * * 1]"].schedule, Crontab)


def test_three_unnamed_entries_of_one_signature_all_live(apps: Apps) -> None:
    entries = apps.entries(
        """
        app.add_periodic_task(60, check_cat.s())
        app.add_periodic_task(timedelta(minutes=5), check_cat.s())
        app.add_periodic_task(0.5, check_cat.s())
        """
    )
    assert {name: seconds_of(entry.schedule) for name, entry in entries.items()} == {
        "tasks.check_cat()": 60,
        "tasks.check_cat() [300 s]": 300,
        "tasks.check_cat() [0.5 s]": 0.5,
    }


def test_unnamed_entries_of_one_signature_and_one_schedule_are_numbered(apps: Apps) -> None:
    entries = apps.entries(
        """
        app.add_periodic_task(60, check_cat.s(), queue="a")
        app.add_periodic_task(60, check_cat.s(), queue="b")
        app.add_periodic_task(60, check_cat.s(), queue="c")
        """
    )
    assert {name: entry.options["queue"] for name, entry in entries.items()} == {
        "tasks.check_cat()": "a",
        "tasks.check_cat() [60 s]": "b",
        "tasks.check_cat() [60 s] 2": "c",
    }


def test_unnamed_entries_before_and_after_the_configuration_both_live(apps: Apps) -> None:
    entries = apps.entries(
        "app.add_periodic_task(60, check_cat.s()); app.conf.timezone; app.add_periodic_task(5, check_cat.s())"
    )
    assert list(entries) == ["tasks.check_cat()", "tasks.check_cat() [5 s]"]


CUSTOM_TWICE = (
    HEADER
    + APP
    + """
class EveryMinute(BaseSchedule):
    def __init__(self, options):
        self.options = options
        super().__init__()
    def is_due(self, last_run_at):
        return False, 60

app.add_periodic_task(60, check_cat.s())
app.add_periodic_task(crontab(minute="*/5"), check_cat.s())
app.add_periodic_task(EveryMinute({"at", "of", "in"}), check_cat.s())
app.add_periodic_task(solar("sunrise", 10, 20), check_cat.s())
"""
)

NAMES = """
from qbeat.beat.app.loading import AppOptions, load_app
from qbeat.beat.app.reading import read_entries
for entry in read_entries(load_app(AppOptions("tasks"))):
    print(entry.name, entry.fingerprint)
"""


def test_names_and_fingerprints_are_the_same_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(CUSTOM_TWICE)

    def names(seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", NAMES], cwd=tmp_path, env=clean_environment({"PYTHONHASHSEED": seed}),
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    first = names("1")
    assert len(first.splitlines()) == 5
    assert names("2") == first


def test_a_module_that_is_imported_under_two_names_declares_its_entries_once(apps: Apps) -> None:
    # ``python -m`` and packages on the path twice do this to users.
    entries = apps.entries(
        """
        def declare():
            app.add_periodic_task(60, check_cat.s(), name="feed")

        declare()
        declare()
        """
    )
    assert list(entries) == ["feed"]


def test_two_entries_given_one_name_are_an_error_that_says_where(apps: Apps) -> None:
    with pytest.raises(DeclarationError) as caught:
        apps.entries(
            """
            app.add_periodic_task(60, check_cat.s(), name="feed")
            app.add_periodic_task(5, check_cat.s(), name="feed")
            """
        )
    message = str(caught.value)
    assert message.startswith("entry 'feed' is declared more than once, at written_")
    assert message.endswith("; give each its own name")
    places = [word for word in message.replace(";", "").split() if ".py:" in word]
    lines = [int(place.rpartition(":")[2]) for place in places]
    assert lines[1] == lines[0] + 1


def test_a_name_of_beat_schedule_that_add_periodic_task_takes_is_an_error(apps: Apps) -> None:
    with pytest.raises(DeclarationError, match="'feed' is declared more than once, at beat_schedule and at"):
        apps.entries(
            """
            app.conf.beat_schedule = {"feed": {"task": "tasks.check_cat", "schedule": 5}}
            app.conf.timezone
            app.add_periodic_task(60, check_cat.s(), name="feed")
            """
        )


def test_the_name_of_an_unnamed_entry_holds_nothing_that_a_restart_changes(apps: Apps) -> None:
    entries = apps.entries(
        """
        class Cat: ...
        app.add_periodic_task(60, add.s(Cat(), 1))
        app.add_periodic_task(5, add.s(Cat(), 1))
        """
    )
    first, second = entries
    assert " at 0x" not in first
    assert first.endswith("Cat object>, 1)")
    assert second == f"{first} [5 s]"


def test_an_unnamed_entry_with_long_arguments_gets_a_name_that_every_store_can_hold(apps: Apps) -> None:
    entries = apps.entries(
        """
        app.add_periodic_task(60, add.s("a" * 2000, 1))
        app.add_periodic_task(60, add.s("a" * 2000, 2))
        """
    )
    assert len(entries) == 2
    assert all(name.startswith("tasks.add('aaaa") and len(name) < 400 for name in entries)


def test_a_given_name_that_no_store_can_hold_is_refused(apps: Apps) -> None:
    with pytest.raises(DeclarationError, match="its name has 600 characters; give one of at most 500"):
        apps.entries("app.add_periodic_task(60, check_cat.s(), name='n' * 600)")


def test_an_empty_name_is_none(apps: Apps) -> None:
    assert list(apps.entries("app.add_periodic_task(60, check_cat.s(), name='')")) == ["tasks.check_cat()"]


def test_a_named_entry_with_the_name_that_celery_gives_an_unnamed_one_lives_beside_it(apps: Apps) -> None:
    entries = apps.entries(
        """
        app.add_periodic_task(60, check_cat.s(), name="tasks.check_cat()")
        app.add_periodic_task(5, check_cat.s())
        """
    )
    assert {name: seconds_of(entry.schedule) for name, entry in entries.items()} == {
        "tasks.check_cat()": 60,
        "tasks.check_cat() [5 s]": 5,
    }


def test_all_errors_are_told_at_once(apps: Apps) -> None:
    with pytest.raises(DeclarationError) as caught:
        apps.entries(
            """
            app.add_periodic_task(60, check_cat.s(), name="feed")
            app.add_periodic_task(5, check_cat.s(), name="feed")
            app.add_periodic_task(0, check_cat.s(), name="zero")
            app.add_periodic_task("5", check_cat.s(), name="text")
            """
        )
    assert [line.split("'")[1] for line in str(caught.value).splitlines()] == ["feed", "zero", "text"]


def test_the_watch_leaves_celery_as_it_was(apps: Apps) -> None:
    def seams() -> list[object]:
        names = ("_sig_to_periodic_task_entry", "_add_periodic_task", "_load_config")
        return [*(vars(Celery)[name] for name in names), vars(Signal)["send"]]

    before = seams()
    apps.load("app.add_periodic_task(60, check_cat.s())")
    assert seams() == before
