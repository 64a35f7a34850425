"""Finds the Celery app that ``-A`` names and loads it in Celery's own order."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from celery import Celery
from celery.app.utils import find_app as celery_find_app
from celery.exceptions import ImproperlyConfigured
from celery.utils.imports import import_from_cwd

from qbeat.beat.app.declarations import call_late_hooks, watch
from qbeat.beat.app.places import place_of, place_of_exit
from qbeat.beat.errors import AppError, DeclarationError, QbeatError
from qbeat.schedules import ScheduleError


@dataclass(frozen=True, slots=True)
class AppOptions:
    """What the command line says about the app; each means what it means for ``celery beat``."""

    app: str | None = None
    broker: str | None = None
    result_backend: str | None = None
    loader: str | None = None
    config: str | None = None
    settings: Sequence[str] = ()
    """``key=value`` arguments, such as ``beat.max_loop_interval=5``."""
    skip_checks: bool = False


def load_app(options: AppOptions) -> Celery:
    """Import the app, its tasks and its periodic tasks, as ``celery beat`` does, and finalize it.

    The order is Celery's: find the app, read its configuration, ``loader.init_worker()`` (which imports the
    task modules), ``finalize()``. Hooks that missed ``on_after_configure`` are called at the end.
    """
    _export(options)
    with watch(), _telling_of_exits():
        app = find_app(options.app) if options.app else _default_app()
        _read_configuration(app, options.settings)
        _import_tasks(app)
        call_late_hooks(app)
    return app


@contextmanager
def _telling_of_exits() -> Iterator[None]:
    """Raise an ``AppError`` for code of the app's that would end the process, perhaps with 0 and without a word."""
    try:
        yield
    except SystemExit as end:
        said = "" if end.code is None else repr(end.code)
        raise AppError(
            f"the app cannot be loaded: it ends the process by sys.exit({said}) at {place_of_exit(end)}; "
            f"take that out, or put it under if __name__ == '__main__'"
        ) from end


def find_app(name: str) -> Celery:
    """Return the app that ``name`` stands for: ``module``, ``package``, ``module:attribute``.

    Where Celery's own search ends at something that is no Celery app (``-A hello``, and ``hello.app`` is a
    Flask object), the app is the one that this object carries, or else the only one in the module.
    """
    found = _search(name)
    if isinstance(found, Celery):
        return found
    carried = getattr(found, "extensions", None)
    if isinstance(carried, dict) and isinstance(carried.get("celery"), Celery):
        return carried["celery"]
    return _only_app_of(name, found)


def _search(name: str) -> Any:
    module = name.partition(":")[0]
    try:
        return celery_find_app(name)
    except ModuleNotFoundError as error:
        if error.name is not None and not _is_part_of(error.name, module):
            raise _failure(f"-A {name} cannot be imported", error) from error
        if ":" in name and _is_imported(module):
            raise AppError(_no_such_attribute(name)) from error
        parent, _, part = module.rpartition(".")
        if _is_imported(parent):
            apps = _describe(_apps_in(sys.modules[parent]), parent)
            raise AppError(f"{parent} has no part {part!r} for -A {name}; {apps}") from error
        raise AppError(
            f"there is no module {error.name or module!r} for -A {name}; run qbeat in the folder that holds it, "
            f"or name that folder with --workdir"
        ) from error
    except AttributeError as error:
        if _is_imported(module):
            raise AppError(_no_such_attribute(name)) from error
        raise _failure(f"-A {name} cannot be imported", error) from error
    except QbeatError:
        raise
    except Exception as error:
        raise _failure(f"-A {name} cannot be imported", error) from error


def _is_part_of(missing: str, module: str) -> bool:
    return missing == module or module.startswith(f"{missing}.") or missing.startswith(f"{module}:")


def _is_imported(module: str) -> bool:
    return module in sys.modules


def _no_such_attribute(name: str) -> str:
    module, _, attribute = name.partition(":")
    apps = _describe(_apps_in(sys.modules[module]), name)
    if attribute:
        return f"{module} has no attribute {attribute!r}; {apps}"
    return f"{module} holds no Celery app; {apps}"


def _only_app_of(name: str, found: Any) -> Celery:
    module = sys.modules.get(name.partition(":")[0])
    apps = _apps_in(module) if module is not None else {}
    if ":" not in name and len(set(map(id, apps.values()))) == 1:
        return next(iter(apps.values()))
    kind = f"{type(found).__module__}.{type(found).__qualname__}"
    raise AppError(f"-A {name} leads to a {kind}, not to a Celery app; {_describe(apps, name)}")


def _apps_in(module: ModuleType) -> dict[str, Celery]:
    return {key: value for key, value in vars(module).items() if isinstance(value, Celery)}


def _describe(apps: Iterable[str], name: str) -> str:
    module = name.partition(":")[0]
    names = [f"{module}:{key}" if module else key for key in apps]
    if not names:
        return "name the app as -A module:attribute"
    return f"the Celery apps there are {', '.join(names)}; name one as -A module:attribute"


def _failure(problem: str, error: Exception) -> QbeatError:
    """Return what to say of user code that raised: its traceback, or one sentence for a schedule that cannot be."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ScheduleError):
            return DeclarationError(f"{place_of(cause)}: {cause}")
        # Kombu makes a plain ValueError of it on the way.
        cause = cause.__cause__ or cause.__context__ if type(cause) is ValueError else None
    return AppError(f"{problem}:\n{traceback.format_exc()}")


def _default_app() -> Celery:
    """Return the app that Celery itself falls back on, configured by ``--config`` or ``celeryconfig.py``."""
    if not has_default_app():
        raise AppError("which app? name its module with -A, such as qbeat -A tasks for tasks.py")
    from celery import current_app  # noqa: PLC0415 - reading it makes the default app

    app: Celery = current_app._get_current_object()  # noqa: SLF001 - the app behind the proxy
    return app


def has_default_app() -> bool:
    """Whether there is a configuration for the app that Celery falls back on."""
    return "CELERY_CONFIG_MODULE" in os.environ or _has_module("celeryconfig")


def _has_module(name: str) -> bool:
    try:
        import_from_cwd(name)
    except ImportError:
        return False
    return True


def _export(options: AppOptions) -> None:
    """Set what Celery reads from the environment while the app's module is imported."""
    for variable, value in (
        ("CELERY_LOADER", options.loader),
        ("CELERY_BROKER_URL", options.broker),
        ("CELERY_RESULT_BACKEND", options.result_backend),
        ("CELERY_CONFIG_MODULE", options.config),
        ("CELERY_SKIP_CHECKS", "true" if options.skip_checks else None),
    ):
        if value:
            os.environ[variable] = value


def _read_configuration(app: Celery, settings: Sequence[str]) -> None:
    try:
        app.conf.broker_url  # noqa: B018 - reading it loads the configuration
    except ImportError as error:
        raise AppError(f"the app's configuration cannot be imported: {error}") from error
    except ImproperlyConfigured as error:
        raise AppError(f"the app's configuration cannot be: {' '.join(str(error).split())}") from error
    except Exception as error:
        raise _failure("the app's configuration cannot be read", error) from error
    for setting in settings:
        _apply_setting(app, setting)


def _apply_setting(app: Celery, setting: str) -> None:
    """Apply a ``key=value`` argument; Celery knows its own keys, with a section: ``beat.max_loop_interval``."""
    key, separator, value = setting.partition("=")
    name = key.lower().replace(".", "_")
    if not separator or "_" not in name:
        raise AppError(
            f"{setting!r} is no setting; write section.key=value, such as beat.max_loop_interval=5"
        )
    if name.startswith("qbeat_"):
        app.conf[name] = value
        return
    try:
        app.config_from_cmdline([setting])
    except KeyError as error:
        raise AppError(f"there is no setting {key!r}") from error
    except ValueError as error:
        raise AppError(f"the setting {setting!r} cannot be: {error}") from error


def _import_tasks(app: Celery) -> None:
    try:
        app.loader.init_worker()
        app.finalize()
    except Exception as error:
        raise _failure("the app's tasks cannot be imported", error) from error
