"""Which app `-A` names, and what is said when it names none."""

from __future__ import annotations

import re
import sys

import pytest
from celery import Celery
from celery.app.utils import find_app as celery_find_app

from qbeat.beat.app.loading import AppOptions, find_app, load_app
from qbeat.beat.errors import CONFIGURATION, USAGE, AppError, DeclarationError
from tests.beat.apps import Apps

WEB = """
class Flask:
    def __init__(self):
        self.extensions = {}
"""

# --- what it finds


@pytest.mark.parametrize(
    ("name", "source", "given"),
    [
        ("mod_one", "app = Celery('found')", "mod_one"),
        ("mod_two", "celery = Celery('found')", "mod_two"),
        ("mod_three", "kiosk = Celery('found')", "mod_three"),
        ("mod_four", "other = Celery('other'); app = Celery('found')", "mod_four"),
        ("mod_five", "app = Celery('other'); kiosk = Celery('found')", "mod_five:kiosk"),
        ("mod_six", "app = Celery('other'); kiosk = Celery('found')", "mod_six.kiosk"),
        ("pkg1.celery", "app = Celery('found')", "pkg1"),
        ("pkg2.celery", "app = Celery('found')", "pkg2.celery"),
        ("pkg3.celery", "app = Celery('found')", "pkg3.celery:app"),
        ("pkg4.sub.tasks", "app = Celery('found')", "pkg4.sub.tasks"),
        ("pkg5.sub.celery", "app = Celery('found')", "pkg5.sub"),
    ],
)
def test_it_finds_the_app_that_celery_finds(apps: Apps, name: str, source: str, given: str) -> None:
    apps.write(source, name=name)
    found = find_app(given)
    assert found.main == "found"
    assert found is celery_find_app(given)


def test_a_package_may_name_its_app_itself(apps: Apps) -> None:
    apps.write("app = Celery('found')", name="shop.celery")
    (apps.folder / "shop" / "__init__.py").write_text("from .celery import app as celery_app\n")
    assert find_app("shop").main == "found"
    assert find_app("shop:celery_app").main == "found"


def test_beside_a_web_app_it_finds_the_only_celery_app(apps: Apps) -> None:
    name = apps.write(f"{WEB}\napp = Flask()\ntasks = Celery('found')\nsame = tasks")
    assert find_app(name).main == "found"


def test_it_finds_the_celery_app_that_a_web_app_carries(apps: Apps) -> None:
    name = apps.write(
        f"{WEB}\napp = Flask()\napp.extensions['celery'] = Celery('found')\nother = Celery('other')"
    )
    assert find_app(name).main == "found"


def test_a_real_flask_app_is_no_obstacle(apps: Apps) -> None:
    name = apps.write(
        """
        from flask import Flask
        app = Flask(__name__)
        celery = Celery(app.name)
        celery.conf.update(app.config)
        """
    )
    assert isinstance(find_app(name), Celery)


# --- what it says when it finds none


def refusal(name: str) -> str:
    with pytest.raises(AppError) as caught:
        find_app(name)
    assert caught.value.exit_code == USAGE
    return str(caught.value)


def test_of_several_apps_beside_a_web_app_it_names_all(apps: Apps) -> None:
    name = apps.write(f"{WEB}\napp = Flask()\none = Celery('one')\ntwo = Celery('two')")
    assert refusal(name) == (
        f"-A {name} leads to a {name}.Flask, not to a Celery app; "
        f"the Celery apps there are {name}:one, {name}:two; name one as -A module:attribute"
    )


def test_a_web_app_without_a_celery_app_is_told(apps: Apps) -> None:
    name = apps.write(f"{WEB}\napp = Flask()")
    assert refusal(name) == (
        f"-A {name} leads to a {name}.Flask, not to a Celery app; name the app as -A module:attribute"
    )


def test_a_function_that_makes_an_app_is_no_app(apps: Apps) -> None:
    name = apps.write("def create_app():\n    return Celery('made')")
    assert "leads to a builtins.function, not to a Celery app" in refusal(f"{name}:create_app")


def test_a_module_that_is_not_there_is_told_with_the_cure(apps: Apps) -> None:
    assert refusal("nosuch") == (
        "there is no module 'nosuch' for -A nosuch; run qbeat in the folder that holds it, "
        "or name that folder with --workdir"
    )
    assert "there is no module 'nosuch' for -A nosuch.celery:app" in refusal("nosuch.celery:app")


def test_a_part_of_a_package_that_is_not_there_is_named(apps: Apps) -> None:
    apps.write("", name="shop.tasks")
    assert "shop.nosuch" in refusal("shop.nosuch")
    assert len(refusal("shop.nosuch").splitlines()) == 1


@pytest.mark.parametrize("given", ["{}:nosuch", "{}.nosuch"])
def test_an_attribute_that_is_not_there_is_told_with_those_that_are(apps: Apps, given: str) -> None:
    name = apps.write("app = Celery('one')")
    sentence = refusal(given.format(name))
    assert len(sentence.splitlines()) == 1
    assert "nosuch" in sentence
    assert f"{name}:app" in sentence


def test_a_module_without_an_app_is_told(apps: Apps) -> None:
    name = apps.write("x = 1")
    assert refusal(name) == f"{name} holds no Celery app; name the app as -A module:attribute"


@pytest.mark.parametrize(
    ("source", "last_line"),
    [
        ("import nosuch_library", "ModuleNotFoundError: No module named 'nosuch_library'"),
        ("from celery import nosuch", "ImportError: cannot import name 'nosuch' from 'celery'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax"),
        ("object().nosuch", "AttributeError: 'object' object has no attribute 'nosuch'"),
    ],
)
def test_a_module_that_fails_is_told_with_its_own_error(apps: Apps, source: str, last_line: str) -> None:
    name = apps.write(f"\n{source}")
    first, *_, last = refusal(name).splitlines()
    assert first == f"-A {name} cannot be imported:"
    assert last.startswith(last_line)


def test_tasks_that_fail_to_import_are_told_with_their_own_error(apps: Apps) -> None:
    apps.write("1 / 0", name="broken_tasks")
    name = apps.write("app = Celery('one', include=['broken_tasks'])")
    with pytest.raises(
        AppError, match=re.compile("^the app's tasks cannot be imported:.*ZeroDivisionError", re.DOTALL)
    ):
        load_app(AppOptions(app=name))


CRON = 'from qbeat.schedules import Cron\n\nschedule = Cron("0 0 30 2 *")  # here\n'


@pytest.mark.parametrize("given", ["{}", "{}:app", "{}.app"])
def test_a_schedule_that_a_module_cannot_make_is_one_sentence_with_its_line(apps: Apps, given: str) -> None:
    name = apps.write(CRON + "app = Celery('one')")
    assert refused_schedule(given.format(name)) == (
        f"{name}.py:{line_of(apps, name)}: day_of_month has no day that one of the months ever has: "
        "this can never fire; choose another day or month"
    )


def test_such_a_schedule_is_placed_in_the_module_that_makes_it(apps: Apps) -> None:
    schedules = apps.write(CRON)
    name = apps.write(f"from {schedules} import schedule\napp = Celery('one')")
    assert refused_schedule(name).startswith(f"{schedules}.py:{line_of(apps, schedules)}: ")


@pytest.mark.parametrize(
    "app",
    [
        "app = Celery('one', include=['{}'])",
        "app = Celery('one'); app.config_from_object('{}')",
        "app = Celery('one'); app.config_from_object('{}:schedule')",
        "app = Celery('one'); app.config_from_object('{}'); app.conf.timezone",
        "app = Celery('one', config_source='{}')",
    ],
)
def test_so_is_one_in_a_module_of_tasks_or_of_configuration(apps: Apps, app: str) -> None:
    other = apps.write(CRON)
    name = apps.write(app.format(other))
    assert refused_schedule(name).startswith(f"{other}.py:{line_of(apps, other)}: day_of_month has no day")


def test_an_error_that_follows_from_no_schedule_stays_its_own(apps: Apps) -> None:
    name = apps.write(f"try:\n    {CRON.splitlines()[0]}\n    Cron('')\nexcept ValueError:\n    1 / 0")
    assert refusal(name).splitlines()[-1] == "ZeroDivisionError: division by zero"


def refused_schedule(name: str) -> str:
    with pytest.raises(DeclarationError) as caught:
        load_app(AppOptions(app=name))
    assert caught.value.exit_code == CONFIGURATION
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def line_of(apps: Apps, module: str) -> int:
    source = (apps.folder / f"{module}.py").read_text().splitlines()
    return next(number for number, line in enumerate(source, 1) if "# here" in line)


def test_a_configuration_that_is_not_there_is_one_sentence(apps: Apps) -> None:
    name = apps.write("app = Celery('one')\napp.config_from_object('nosuch_config')")
    with pytest.raises(
        AppError, match=r"^the app's configuration cannot be imported: .*nosuch_config"
    ) as caught:
        load_app(AppOptions(app=name))
    assert len(str(caught.value).splitlines()) == 1


def test_old_and_new_names_of_settings_mixed_are_one_error(apps: Apps) -> None:
    config = apps.write("CELERY_TIMEZONE = 'UTC'\ntask_serializer = 'json'\nCELERYD_CONCURRENCY = 1")
    name = apps.write(f"app = Celery('one')\napp.config_from_object('{config}')")
    with pytest.raises(
        AppError, match=r"^the app's configuration cannot be: Cannot mix new setting names"
    ) as caught:
        load_app(AppOptions(app=name))
    assert len(str(caught.value).splitlines()) == 1


def test_a_configuration_that_fails_is_told_with_its_own_error(apps: Apps) -> None:
    config = apps.write("1 / 0")
    name = apps.write(f"app = Celery('one')\napp.config_from_object('{config}')")
    with pytest.raises(AppError, match=r"^the app's configuration cannot be read:") as caught:
        load_app(AppOptions(app=name))
    assert str(caught.value).splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_without_a_name_the_default_app_needs_a_configuration(apps: Apps) -> None:
    with pytest.raises(AppError, match="which app"):
        load_app(AppOptions())


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("import sys; sys.exit(0)", "sys.exit(0)"),
        ("import sys; sys.exit()", "sys.exit()"),
        ("import sys; sys.exit('no settings')", "sys.exit('no settings')"),
        ("raise SystemExit(3)", "sys.exit(3)"),
        ("import argparse; argparse.ArgumentParser().parse_args(['--no-such'])", "sys.exit(2)"),
    ],
)
@pytest.mark.parametrize(
    "source",
    ["{}", "def end(**_):\n    {}\n\napp = Celery()\napp.on_after_configure.connect(end)"],
    ids=["while it is imported", "in a hook"],
)
def test_an_app_that_ends_the_process_is_told_as_one_that_cannot_be_loaded(
    apps: Apps, source: str, ending: str, said: str
) -> None:
    name = apps.write(source.format(ending))
    with pytest.raises(AppError) as caught:
        load_app(AppOptions(app=name))
    assert re.fullmatch(
        rf"the app cannot be loaded: it ends the process by {re.escape(said)} at {name}\.py:\d+; take that out, "
        r"or put it under if __name__ == '__main__'",
        str(caught.value),
    )
    assert caught.value.exit_code == USAGE


def test_where_it_ends_may_be_in_a_module_that_it_imports(apps: Apps) -> None:
    settings = apps.write("import sys\nsys.exit('no settings')")
    with pytest.raises(AppError, match=rf" at {settings}\.py:\d+; take that out"):
        load_app(AppOptions(app=apps.write(f"import {settings}")))


def test_an_interruption_while_the_app_is_imported_stays_one(apps: Apps) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_app(AppOptions(app=apps.write("raise KeyboardInterrupt")))


# --- what else the command line says about it


def test_the_tasks_are_imported_and_registered(apps: Apps) -> None:
    apps.write(
        """
        @shared_task(name="shop.sell")
        def sell(): ...
        """,
        name="more_tasks",
    )
    name = apps.write("app = Celery('one', include=['more_tasks'])")
    app = load_app(AppOptions(app=name))
    assert "shop.sell" in app.tasks
    assert app.finalized
    assert "more_tasks" in sys.modules


def test_tasks_are_autodiscovered(apps: Apps) -> None:
    apps.write("@shared_task(name='shop.sell')\ndef sell(): ...", name="shop.tasks")
    app = apps.load("app = Celery('one'); app.autodiscover_tasks(['shop'])", header="")
    assert "shop.sell" in app.tasks


def test_the_broker_of_the_command_line_wins(apps: Apps) -> None:
    app = apps.load("app = Celery('one', broker='redis://in-code/0')", header="", broker="redis://given/0")
    assert app.connection_for_write().hostname == "given"


def test_the_result_backend_of_the_command_line_is_taken(apps: Apps) -> None:
    app = apps.load("app = Celery('one')", header="", result_backend="redis://given/1")
    assert app.conf.result_backend == "redis://given/1"


def test_settings_may_be_given_as_arguments(apps: Apps) -> None:
    given = ["beat.max_loop_interval=7", "task_default_queue=low", "qbeat.store=named.db"]
    app = apps.load("app = Celery('one')", header="", settings=given)
    assert app.conf.beat_max_loop_interval == 7
    assert app.conf.task_default_queue == "low"
    assert app.conf.qbeat_store == "named.db"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("nosuch", "'nosuch' is no setting; write section.key=value, such as beat.max_loop_interval=5"),
        ("timezone=UTC", "'timezone=UTC' is no setting; write section.key=value"),
        ("beat.nosuch=5", "there is no setting 'beat.nosuch'"),
        ("nosuch_key=5", "there is no setting 'nosuch_key'"),
        ("beat.max_loop_interval=soon", "the setting 'beat.max_loop_interval=soon' cannot be: "),
    ],
)
def test_an_argument_that_is_no_setting_is_refused(apps: Apps, setting: str, sentence: str) -> None:
    with pytest.raises(AppError, match=f"^{re.escape(sentence)}"):
        apps.load("app = Celery('one')", header="", settings=[setting])


def test_a_config_module_configures_the_default_app(apps: Apps) -> None:
    config = apps.write("timezone = 'Asia/Shanghai'\nimports = ['more_tasks']")
    apps.write("@shared_task(name='shop.sell')\ndef sell(): ...", name="more_tasks")
    app = load_app(AppOptions(config=config))
    assert app.conf.timezone == "Asia/Shanghai"
    assert "shop.sell" in app.tasks


def test_a_loader_of_the_users_own_is_used(apps: Apps) -> None:
    loader = apps.write(
        """
        from celery.loaders.app import AppLoader

        class Loader(AppLoader):
            def on_worker_init(self):
                self.told = "worker init"
        """
    )
    app = apps.load("app = Celery('one')", header="", loader=f"{loader}:Loader")
    assert app.loader.told == "worker init"
