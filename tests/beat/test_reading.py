"""What an entry may say, what is refused with which sentence, and what Celery adds by itself."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from qbeat.beat.app.reading import read_entries
from qbeat.beat.entries import generation_of
from qbeat.beat.errors import CONFIGURATION, DeclarationError, SettingError
from qbeat.beat.policies import Policies
from qbeat.schedules import Cron, Crontab, Interval
from qbeat.schedules.base import from_us, to_us
from tests.beat.apps import APP, Apps
from tests.beat.world import entry


def entry_source(**changes: str) -> str:
    """An entry ``feed`` of ``beat_schedule``; each keyword is a key and the source of its value."""
    entry = {"task": "'tasks.check_cat'", "schedule": "60"} | changes
    text = ", ".join(f"{key!r}: {value}" for key, value in entry.items() if value)
    return f"app.conf.beat_schedule = {{'feed': {{{text}}}}}"


# --- what is refused


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"shedule": "60"}, "it has an unknown key 'shedule'; did you mean 'schedule'?"),
        ({"enabled": "True"}, "it has an unknown key 'enabled'; take the entry out, or pause it"),
        ({"queue": "'low'"}, "it has an unknown key 'queue'; options such as queue belong in 'options'"),
        ({"zzz": "1"}, "it has an unknown key 'zzz'; known are task, schedule, args, kwargs, options, relative"),
        ({"schedule": "'*/5 * * * *'"}, "its schedule is '*/5 * * * *'; give seconds, a timedelta, crontab(...)"),
        ({"schedule": ""}, "its schedule is None; give seconds, a timedelta, crontab(...)"),
        ({"schedule": "None"}, "its schedule is None; give seconds, a timedelta, crontab(...)"),
        ({"schedule": "True"}, "its schedule is True; give seconds, a timedelta, crontab(...)"),
        ({"schedule": "0"}, "every is 0; give at least a millisecond"),
        ({"schedule": "-5"}, "every is -5; give a positive duration"),
        ({"schedule": "schedule(0)"}, "give at least a millisecond"),
        ({"schedule": "timedelta(0)"}, "give at least a millisecond"),
        ({"schedule": "1e-4"}, "every is 0.0001; give at least a millisecond"),
        ({"schedule": "float('nan')"}, "every is nan"),
        ({"schedule": "float('inf')"}, "every is inf"),
        ({"task": ""}, "its task is None; give the task's name, such as 'tasks.check_cat'"),
        ({"task": "''"}, "its task is ''; give the task's name"),
        ({"task": "5"}, "its task is 5; give the task's name"),
        ({"task": r"'tasks.\0cat'"}, r"its task's name 'tasks.\x00cat' has a NUL or half a"),
        ({"task": r"'tasks.\ud800cat'"}, "half a surrogate pair in it, which no store keeps; take that out"),
        ({"args": "'abc'"}, "its args is 'abc'; give a list or tuple"),
        ({"args": "5"}, "its args is 5; give a list or tuple"),
        ({"args": "{'x': 1}"}, "its args is {'x': 1}; give a list or tuple"),
        ({"kwargs": "[1]"}, "its kwargs is [1]; give a dict"),
        ({"kwargs": "'x=1'"}, "its kwargs is 'x=1'; give a dict"),
        ({"options": "['queue']"}, "its options is ['queue']; give a dict"),
        ({"options": "{'headers': 5}"}, "its option headers is 5; give a dict"),
        ({"options": "{'qbeat': 5}"}, "the option qbeat is 5; give a dict such as {'catch_up': 'all'}"),
        ({"options": "{'qbeat': {'catchup': 'all'}}"}, "the option qbeat has no key 'catchup'; did you mean 'catch_up'?"),
        ({"options": "{'qbeat': {'zzz': 1}}"}, "the option qbeat has no key 'zzz'; it takes catch_up, "),
        ({"options": "{'qbeat': {'catch_up': 'never'}}"}, "catch_up is 'never'; it takes 'latest', 'skip', 'all'"),
        ({"options": "{'qbeat': {'catch_up': []}}"}, "catch_up is []; it takes 'latest', 'skip', 'all'"),
        ({"options": "{'qbeat': {'catch_up_window': 'x'}}"}, "catch_up_window is 'x'; write it like"),
        ({"options": "{'qbeat': {'catch_up_window': 0}}"}, "catch_up_window is 0; it must be longer than nothing"),
        ({"options": "{'qbeat': {'catch_up_window': float('nan')}}"}, "catch_up_window is nan"),
        ({"options": "{'qbeat': {'catch_up_window': 1e300}}"}, "catch_up_window is 1e+300"),
        ({"options": "{'qbeat': {'on_uncertain': 'maybe'}}"}, "on_uncertain is 'maybe'; it takes 'publish', 'skip'"),
        ({"options": "{'qbeat': {'timezone': 5}}"}, "timezone is 5; give a name such as 'Europe/Berlin'"),
        ({"options": "{'qbeat': {'timezone': 'Mars/Phobos'}}"}, "no time zone 'Mars/Phobos'"),
        ({"options": "{'qbeat': {'jitter': 'much'}}"}, "jitter is 'much'; write it like"),
        ({"options": "{'qbeat': {'jitter': '120%'}}"}, "jitter is '120%'; write a percentage"),
        ({"options": "{'qbeat': {'jitter': -1}}"}, "jitter is -1"),
        ({"options": "{'qbeat': {'start': 'soon'}}"}, "start is 'soon'"),
        ({"options": "{'qbeat': {'end': 5}}"}, "end is 5"),
        ({"options": "{'qbeat': {'start': datetime(2027, 1, 1), 'end': datetime(2026, 1, 1)}}"}, "end"),
        ({"options": "{'qbeat': {'max_runs': 0}}"}, "max_runs is 0"),
        ({"options": "{'qbeat': {'max_runs': 'x'}}"}, "max_runs is 'x'"),
        ({"options": "{'qbeat': {'max_runs': True}}"}, "max_runs is True"),
        ({"options": "{'qbeat': {'exclude': 'sundays'}}"}, "exclude is 'sundays'; give a Calendar"),
        ({"options": "{'qbeat': {'move': 'away'}}"}, "move is 'away'; it takes 'skip', "),
        ({"options": "{'qbeat': {'fold': 'twice'}}"}, "fold is 'twice'; it takes 'once', 'every'"),
        ({"options": "{'qbeat': {'gap': 'jump'}}"}, "gap is 'jump'; it takes 'fire', 'skip'"),
        ({"task": "'celery.group'"}, "it is an empty group; give it tasks to run"),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_is_refused_with_its_name_and_the_cure(
    apps: Apps, changes: dict[str, str], sentence: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        apps.entries(entry_source(**changes))
    [line] = str(caught.value).splitlines()
    assert line.startswith("entry 'feed' (beat_schedule): ")
    assert sentence in line.replace('"', "'")
    assert caught.value.exit_code == CONFIGURATION


def test_a_refusal_names_the_line_that_added_the_entry(apps: Apps) -> None:
    with pytest.raises(DeclarationError, match=r"^entry 'feed' \(written_\d+\.py:\d+\): every is 0"):
        apps.entries("app.add_periodic_task(0, check_cat.s(), name='feed')")


def test_an_entry_that_is_no_dict_is_refused(apps: Apps) -> None:
    with pytest.raises(DeclarationError, match=r"entry 'feed' \(beat_schedule\): it is 60; give a dict with"):
        apps.entries("app.conf.beat_schedule = {'feed': 60}")


def test_a_beat_schedule_that_is_no_dict_is_refused(apps: Apps) -> None:
    with pytest.raises(DeclarationError, match=r"^beat_schedule is \[1\]; give a dict of entries by name$"):
        apps.entries("app.conf.beat_schedule = [1]")


def test_an_entry_whose_name_is_no_text_is_refused(apps: Apps) -> None:
    with pytest.raises(DeclarationError, match=r"entry 5 \(beat_schedule\): its name is 5; give a text"):
        apps.entries("app.conf.beat_schedule = {5: {'task': 'tasks.check_cat', 'schedule': 60}}")


@pytest.mark.parametrize("name", ["a\0b", "\0", "a\ud800b", "\udfff"])
def test_a_name_that_no_store_keeps_is_refused(apps: Apps, name: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        apps.entries(f"app.conf.beat_schedule = {{{name!r}: {{'task': 'tasks.check_cat', 'schedule': 60}}}}")
    assert str(caught.value) == (
        f"entry {name!r} (beat_schedule): its name has a NUL or half a surrogate pair in it, "
        f"which no store keeps; take that out"
    )
    assert caught.value.exit_code == CONFIGURATION


@pytest.mark.parametrize("letter", ["n", "😀"])
def test_a_name_may_be_as_long_as_the_refusal_of_a_longer_one_says(apps: Apps, letter: str) -> None:
    def declaring(length: int) -> str:
        return f"app.add_periodic_task(60, check_cat.s(), name={letter * length!r})"

    assert list(apps.entries(declaring(500))) == [letter * 500]
    with pytest.raises(DeclarationError, match="its name has 501 characters; give one of at most 500"):
        apps.entries(declaring(501))


def test_a_time_zone_of_the_app_that_does_not_exist_is_refused_once(apps: Apps) -> None:
    with pytest.raises(
        SettingError, match=r"the app's setting timezone cannot be: .* 'Mars/Phobos'; give a name"
    ):
        apps.entries(f"app.conf.timezone = 'Mars/Phobos'\n{entry_source()}")


# --- what is taken as it is


def test_keys_that_celery_ignores_are_ignored(apps: Apps) -> None:
    assert list(apps.entries(entry_source(name="'other'", app="None", total_run_count="7"))) == ["feed"]


def test_empty_values_are_as_good_as_none(apps: Apps) -> None:
    entry = apps.entries(entry_source(args="None", kwargs="None", options="None"))["feed"]
    assert (entry.args, entry.kwargs, entry.options) == ((), {}, {})


def test_a_task_may_be_the_task_itself(apps: Apps) -> None:
    assert apps.entries(entry_source(task="check_cat"))["feed"].task == "tasks.check_cat"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0.25", Interval(0.25)),
        ("timedelta(minutes=5)", Interval(300)),
        ("schedule(timedelta(minutes=5))", Interval(300)),
        ("schedule(300, relative=True)", Interval(300, relative=True, timezone="UTC")),
        ("crontab()", Crontab(timezone="UTC")),
        ("crontab(hour='*/3', minute=0)", Crontab(hour="*/3", minute=0, timezone="UTC")),
        ("crontab(0, 0, day_of_month='2-30/2')", Crontab(0, 0, day_of_month="2-30/2", timezone="UTC")),
        ("__import__('qbeat.schedules').schedules.Cron('30 7 * * 1')", Cron("30 7 * * 1", timezone="UTC")),
        ("__import__('qbeat.schedules').schedules.Interval(5)", Interval(5)),
    ],
)
def test_whatever_celery_takes_for_a_schedule_is_one(apps: Apps, schedule: str, expected: object) -> None:
    assert apps.entries(entry_source(schedule=schedule))["feed"].schedule == expected


def test_relative_rounds_as_celery_does(apps: Apps) -> None:
    schedule = apps.entries(entry_source(schedule="3600", relative="True"))["feed"].schedule
    assert schedule == Interval(3600, relative=True, timezone="UTC")
    at = to_us(datetime(2026, 1, 1, 10, 20, tzinfo=UTC))
    assert schedule.next_us(at, at) == to_us(datetime(2026, 1, 1, 11, tzinfo=UTC))


def test_last_run_at_starts_the_grid(apps: Apps) -> None:
    entries = apps.entries(entry_source(last_run_at="datetime.fromisoformat('2026-01-01T10:00:07+01:00')"))
    assert entries["feed"].last_run_at == to_us(datetime(2026, 1, 1, 9, 0, 7, tzinfo=UTC))


def test_entry_objects_of_celery_are_taken_too(apps: Apps) -> None:
    entries = apps.entries(
        """
        from celery.beat import ScheduleEntry
        app.conf.beat_schedule = {
            "feed": ScheduleEntry(
                name="feed", task="tasks.add", schedule=schedule(60), args=(1,), kwargs={"y": 2},
                options={"queue": "low"}, last_run_at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"), app=app,
            )
        }
        """
    )
    feed = entries["feed"]
    assert (feed.task, feed.args, feed.kwargs, feed.options) == (
        "tasks.add",
        (1,),
        {"y": 2},
        {"queue": "low"},
    )
    assert feed.schedule == Interval(60)
    assert feed.last_run_at == to_us(datetime(2026, 1, 1, tzinfo=UTC))


def test_the_option_task_id_is_left_out_with_a_warning(apps: Apps, caplog: pytest.LogCaptureFixture) -> None:
    entries = apps.entries(entry_source(options="{'task_id': 'fixed', 'queue': 'low'}"))
    assert entries["feed"].options == {"queue": "low"}
    assert "entry 'feed': its option task_id is left out" in caplog.text


def test_a_task_that_is_not_registered_is_a_warning(apps: Apps, caplog: pytest.LogCaptureFixture) -> None:
    entries = apps.entries(entry_source(task="'elsewhere.feed'"))
    assert entries["feed"].task == "elsewhere.feed"
    assert "entry 'feed': the task 'elsewhere.feed' is not registered here" in caplog.text


def test_a_registered_task_is_no_warning(apps: Apps, caplog: pytest.LogCaptureFixture) -> None:
    apps.entries(entry_source())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# --- policies


def test_policies_are_the_option_qbeat_and_do_not_reach_the_message(apps: Apps) -> None:
    entries = apps.entries(
        """
        app.conf.beat_schedule = {
            "a": {"task": "tasks.check_cat", "schedule": 60, "options": {
                "queue": "low",
                "qbeat": {"catch_up": "all", "catch_up_window": 3600, "on_uncertain": "skip"},
            }},
        }
        app.add_periodic_task(60, check_cat.s(), name="b", qbeat={"catch_up_window": timedelta(hours=1)})
        app.add_periodic_task(60, check_cat.s().set(qbeat={"catch_up": "skip"}), name="c")
        """
    )
    assert entries["a"].options == {"queue": "low"}
    assert entries["a"].policies == Policies("all", timedelta(hours=1), "skip")
    assert entries["b"].options == {}
    assert entries["b"].policies == Policies(catch_up_window=timedelta(hours=1))
    assert entries["c"].policies == Policies(catch_up="skip")


def test_bounds_are_policies_too(apps: Apps) -> None:
    entry = apps.entries(
        entry_source(
            schedule="crontab(0, 8)",
            options="{'qbeat': {'start': '2026-06-01', 'end': datetime(2026, 6, 3, 12), 'timezone': 'Europe/Berlin'}}",
        )
    )["feed"]
    days = []
    instant: int | None = to_us(datetime(2026, 1, 1, tzinfo=UTC))
    while instant is not None and (instant := entry.schedule.next_us(instant)) is not None:
        days.append(from_us(instant).isoformat())
    assert days == [f"2026-06-0{day}T06:00:00+00:00" for day in (1, 2, 3)]


def test_jitter_is_a_policy_too(apps: Apps) -> None:
    jitter = apps.entries(entry_source(options="{'qbeat': {'jitter': '10%'}}"))["feed"].policies.jitter
    assert str(jitter) == "10%"


def test_reading_leaves_the_apps_own_declaration_as_it_is(apps: Apps) -> None:
    app = apps.load(entry_source(options="{'qbeat': {'catch_up': 'all'}}"))
    read_entries(app)
    assert app.conf.beat_schedule["feed"]["options"] == {"qbeat": {"catch_up": "all"}}
    [feed] = [entry for entry in read_entries(app) if entry.name == "feed"]
    assert feed.policies.catch_up == "all"


def test_an_entry_may_have_a_time_zone_of_its_own(apps: Apps) -> None:
    entry = apps.entries(
        entry_source(schedule="crontab(0, 8)", options="{'qbeat': {'timezone': 'Europe/Berlin'}}")
    )["feed"]
    assert entry.timezone == "Europe/Berlin"
    assert entry.schedule == Crontab(0, 8, timezone="Europe/Berlin")


# --- the time zone of the app


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", "UTC"),
        ("app.conf.timezone = 'Asia/Shanghai'", "Asia/Shanghai"),
        ("app.conf.timezone = 'Asia/Shanghai'; app.conf.enable_utc = False", "Asia/Shanghai"),
        ("from zoneinfo import ZoneInfo; app.conf.timezone = ZoneInfo('Asia/Shanghai')", "Asia/Shanghai"),
    ],
)
def test_schedules_live_in_the_time_zone_of_the_app(apps: Apps, settings: str, expected: str) -> None:
    entry = apps.entries(f"{settings}\n{entry_source(schedule='crontab(0, 8)')}")["feed"]
    assert entry.timezone == expected
    assert entry.schedule == Crontab(0, 8, timezone=expected)


# --- Celery's own entry


@pytest.mark.parametrize(
    ("settings", "installed"),
    [
        ("", True),  # no result backend at all
        ("import tempfile; app.conf.result_backend = f'file://{tempfile.gettempdir()}'", True),
        ("app.conf.result_backend = 'db+sqlite:///results.db'", True),
        ("app.conf.result_backend = 'redis://127.0.0.1:1/0'", False),
        ("app.conf.result_backend = 'rpc://'", False),
        ("app.conf.result_backend = 'cache+memory://'", False),
        ("app.conf.result_expires = None", False),
        ("app.conf.result_expires = 0", False),
        ("app.conf.result_expires = timedelta(days=1)", True),
    ],
)
def test_backend_cleanup_is_installed_exactly_when_celery_installs_it(
    apps: Apps, settings: str, installed: bool
) -> None:
    app = apps.load(settings)
    assert any(entry.name == "celery.backend_cleanup" for entry in read_entries(app)) is installed
    # Celery's own word on it.
    from celery.beat import Scheduler

    scheduler = Scheduler(app, lazy=True)
    scheduler.install_default_entries({})
    assert ("celery.backend_cleanup" in scheduler.schedule) is installed


def test_backend_cleanup_runs_at_four_and_expires_after_twelve_hours(apps: Apps) -> None:
    app = apps.load("app.conf.timezone = 'Europe/Berlin'")
    [cleanup] = read_entries(app)
    assert cleanup.task == "celery.backend_cleanup"
    assert cleanup.schedule == Crontab(0, 4, timezone="Europe/Berlin")
    assert cleanup.options == {"expires": 12 * 3600}


def test_an_entry_of_the_apps_own_named_backend_cleanup_takes_its_place(apps: Apps) -> None:
    app = apps.load(
        """
        app.conf.beat_schedule = {
            "celery.backend_cleanup": {"task": "celery.backend_cleanup", "schedule": 3600},
        }
        """
    )
    [cleanup] = read_entries(app)
    assert cleanup.schedule == Interval(3600)


def test_a_result_backend_that_cannot_be_loaded_ends_nothing(
    apps: Apps, caplog: pytest.LogCaptureFixture
) -> None:
    app = apps.load(f"app.conf.result_backend = 'nosuch://'\n{entry_source()}")
    assert [entry.name for entry in read_entries(app)] == ["feed"]
    assert "The result backend cannot be loaded" in caplog.text


# --- fingerprints


def fingerprint(apps: Apps, **changes: str) -> str:
    return apps.entries(entry_source(**changes))["feed"].fingerprint


def test_equal_declarations_have_equal_fingerprints(apps: Apps) -> None:
    text = {
        "args": "(1, {'b': object(), 'a': [2]})",
        "kwargs": "{'x': {'p', 'q', 'r'}}",
        "options": "{'queue': 'q'}",
    }
    assert fingerprint(apps, **text) == fingerprint(apps, **text)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "'tasks.add'"},
        {"schedule": "61"},
        {"schedule": "crontab()"},
        {"args": "(1,)"},
        {"kwargs": "{'x': 1}"},
        {"options": "{'queue': 'low'}"},
        {"options": "{'qbeat': {'catch_up': 'all'}}"},
        {"relative": "True"},
    ],
)
def test_any_change_of_a_declaration_changes_its_fingerprint(apps: Apps, change: dict[str, str]) -> None:
    assert fingerprint(apps, **change) != fingerprint(apps)


def test_a_declaration_has_one_generation_whatever_the_order_of_its_entries() -> None:
    one, other = entry("a", 10), entry("b", 20)
    assert generation_of([one, other]) == generation_of([other, one])
    assert generation_of([one, other]) != generation_of([one])
    assert generation_of([one]) != generation_of([replace(one, name="c")])
    assert generation_of([]) != generation_of([one])


@pytest.mark.parametrize("lazy", ["5", "10"])
def test_a_lazy_argument_is_not_evaluated_when_it_is_read(apps: Apps, lazy: str) -> None:
    entry = apps.entries(
        f"""
        from celery.beat import BeatLazyFunc
        def explode(number): raise AssertionError("evaluated")
        app.conf.beat_schedule = {{"feed": {{
            "task": "tasks.check_cat", "schedule": 60, "args": (BeatLazyFunc(explode, number={lazy}),),
        }}}}
        """
    )["feed"]
    [text] = entry.definition["args"]
    assert text.startswith("lazy ")
    assert "explode" in text
    assert lazy in text


def test_the_definition_is_json_ready(apps: Apps) -> None:
    import json

    entry = apps.entries(
        entry_source(args="(datetime.min, b'x', {1: 2}, {3}, add.s(1))", options="{'expires': timedelta(1)}")
    )["feed"]
    assert json.loads(json.dumps(entry.definition)) == entry.definition


# --- chains and groups


@pytest.mark.parametrize(
    ("canvas", "task"),
    [
        ("chain(add.s(1, 2), add.s(3))", "celery.chain"),
        ("add.s(1, 2) | add.s(3)", "celery.chain"),
        ("group(add.s(1, 2), add.s(3, 4))", "celery.group"),
        ("chord([add.s(1, 2)], add.s(3))", "celery.chord"),
    ],
)
def test_a_canvas_is_an_entry(apps: Apps, canvas: str, task: str) -> None:
    entry = apps.entries(f"app.add_periodic_task(60, {canvas}, name='all')")["all"]
    assert entry.task == task
    assert (entry.canvas is not None) == (task != "celery.chord")


def test_a_chain_of_one_is_its_only_task(apps: Apps) -> None:
    assert apps.entries("app.add_periodic_task(60, chain(add.s(1, 2)), name='one')")["one"].task in {
        "tasks.add",
        "celery.chain",
    }


def test_an_app_that_was_given_a_canvas_without_the_watch_is_still_read(apps: Apps) -> None:
    # Someone may make and configure an app before qbeat looks: its entries are in beat_schedule all the same.
    namespace: dict[str, object] = {}
    exec(
        compile(
            "from celery import Celery\n"
            + APP
            + "app.add_periodic_task(60, check_cat.s())\napp.conf.timezone\n",
            "outside.py",
            "exec",
        ),
        namespace,
    )
    app = namespace["app"]
    assert {entry.name for entry in read_entries(app)} >= {"tasks.check_cat()"}
