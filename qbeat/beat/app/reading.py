"""Reads the entries that an app declares, each checked."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import BaseSchedule

from qbeat.beat.app.celery_schedules import compile_schedule
from qbeat.beat.app.declarations import watched
from qbeat.beat.app.items import MAX_NAME, Item, items_of
from qbeat.beat.app.timezone import timezone_of
from qbeat.beat.entries import NOTHING, Entry
from qbeat.beat.errors import DeclarationError, HookError
from qbeat.beat.policies import DEFAULTS, Policies, PolicyError, read_policies
from qbeat.beat.publishing import canvas
from qbeat.schedules import ScheduleError
from qbeat.schedules.base import to_us
from qbeat.store.checks import storable

logger = logging.getLogger("qbeat.app")

_KEYS: Final = ("task", "schedule", "args", "kwargs", "options", "relative", "last_run_at", "total_run_count")
_ALLOWED_KEYS: Final = frozenset({*_KEYS, "name", "app"})
_LONGEST_NAME: Final = MAX_NAME + 100
"""Characters, with what has been added to tell entries apart: what every store holds."""
_HINTS: Final = {
    "enabled": "take the entry out, or pause it",
    "queue": "options such as queue belong in 'options'",
    "expires": "options such as expires belong in 'options'",
    "priority": "options such as priority belong in 'options'",
    "crontab": "write 'schedule': crontab(...)",
    "interval": "write 'schedule': seconds",
}


def read_entries(app: Celery, *, tell_unknown: bool = True) -> list[Entry]:
    """Return the entries of a loaded app, or raise ``DeclarationError`` with all that is wrong with them.

    It is a ``HookError`` if that is nothing but hooks' own errors. ``tell_unknown`` logs tasks that are unknown.
    """
    entries: list[Entry] = []
    problems: list[str] = []
    timezone = timezone_of(app)
    for item in items_of(app, problems):
        try:
            entries.append(_entry(app, item, timezone))
        except (ScheduleError, PolicyError, TypeError) as error:
            problems.append(f"entry {item.name!r} ({item.where}): {error}")
    if problems:
        passing = sum(failed.may_pass for failed in watched(app).failed_hooks)
        kind = HookError if passing == len(problems) else DeclarationError
        raise kind("\n".join(problems))
    if tell_unknown:
        _warn_of_unknown_tasks(app, entries)
    return entries


def read_entry(app: Celery, name: str, declared: Any) -> Entry:
    """Return one entry, given as in ``beat_schedule``; raises what is wrong with it, a ``ValueError`` or ``TypeError``."""
    return _entry(app, Item(name, declared, "scheduler.schedule"), timezone_of(app))


def _entry(app: Celery, item: Item, timezone: str) -> Entry:
    declared = _as_mapping(item.declared)
    _check_name(item.name)
    _check_keys(declared)
    options, policies = _options(item.name, declared)
    timezone = policies.timezone or timezone
    schedule = declared.get("schedule")
    own_schedule = schedule if isinstance(schedule, BaseSchedule) else None
    if own_schedule is not None:
        own_schedule.app = app
    task = _task_name(declared)
    args = tuple(_checked(declared, "args", (list, tuple), ()))
    kwargs = dict(_checked(declared, "kwargs", Mapping, NOTHING)) or NOTHING
    return Entry(
        name=item.name,
        task=task,
        schedule=compile_schedule(
            schedule,
            name=item.name,
            timezone=timezone,
            relative=bool(declared.get("relative")),
            policies=policies,
        ),
        timezone=timezone,
        args=args,
        kwargs=kwargs,
        options=options,
        policies=policies,
        celery_schedule=own_schedule,
        canvas=_canvas(task, args, kwargs),
        last_run_at=_last_run_at(declared),
    )


def _as_mapping(declared: Any) -> Mapping[str, Any]:
    if type(declared) is dict:  # the look at any mapping is not as quick
        return declared
    if isinstance(declared, ScheduleEntry):
        return {key: value for key, value in vars(declared).items() if key in _KEYS and value is not None}
    if not isinstance(declared, Mapping):
        raise TypeError(f"it is {declared!r}; give a dict with 'task' and 'schedule'")
    return declared


def _check_keys(declared: Mapping[str, Any]) -> None:
    if _ALLOWED_KEYS.issuperset(declared):
        return
    for key in declared:
        if key in _ALLOWED_KEYS:
            continue
        close = difflib.get_close_matches(str(key), _KEYS, n=1)
        cure = _HINTS.get(str(key)) or (
            f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_KEYS)}"
        )
        raise TypeError(f"it has an unknown key {key!r}; {cure}")


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"its name is {name!r}; give a text")
    if len(name) > _LONGEST_NAME:
        raise TypeError(f"its name has {len(name)} characters; give one of at most {_LONGEST_NAME}")
    _check_storable("its name", name)


def _check_storable(what: str, text: str) -> None:
    if storable(text) != text:
        raise TypeError(
            f"{what} has a NUL or half a surrogate pair in it, which no store keeps; take that out"
        )


def _options(name: str, declared: Mapping[str, Any]) -> tuple[Mapping[str, Any], Policies]:
    """Return what ``apply_async`` takes, and the policies that stand beside it."""
    given = _checked(declared, "options", Mapping, NOTHING)
    if not given:
        return NOTHING, DEFAULTS
    options = dict(given)
    if not isinstance(options.get("headers") or {}, Mapping):
        raise TypeError(f"its option headers is {options['headers']!r}; give a dict")
    if options.pop("task_id", None) is not None:
        logger.warning("entry %r: its option task_id is left out; each firing has an id of its own.", name)
    policies = read_policies(options.pop("qbeat", None))
    return options or NOTHING, policies


def _checked(declared: Mapping[str, Any], key: str, kind: Any, default: Any) -> Any:
    value = declared.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        wanted = "a dict" if kind is Mapping else "a list or tuple"
        raise TypeError(f"its {key} is {value!r}; give {wanted}")
    return value


def _task_name(declared: Mapping[str, Any]) -> str:
    task = declared.get("task")
    name = getattr(task, "name", task)
    if not isinstance(name, str) or not name:
        raise TypeError(f"its task is {task!r}; give the task's name, such as 'tasks.check_cat'")
    _check_storable(f"its task's name {name!r}", name)
    return name


def _canvas(task: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    if task not in canvas.KINDS:
        return None
    kind = task.removeprefix("celery.")
    if not kwargs.get("tasks"):
        raise TypeError(f"it is an empty {kind}; give it tasks to run")
    return {
        "task": task,
        "args": args,
        "kwargs": kwargs,
        "options": {},
        "subtask_type": kind,
        "immutable": False,
    }


def _last_run_at(declared: Mapping[str, Any]) -> int | None:
    value = declared.get("last_run_at")
    if not isinstance(value, datetime):
        return None
    return to_us(value if value.tzinfo else value.astimezone())


def _warn_of_unknown_tasks(app: Celery, entries: list[Entry]) -> None:
    tasks = app.tasks
    for entry in entries:
        if entry.task not in tasks:
            logger.warning(
                "entry %r: the task %r is not registered here; it is sent by its name, without the options "
                "of its definition (is its module in include or autodiscovered?).",
                entry.name,
                entry.task,
            )
