"""Reads the entries that an app declares, each checked, each under a name that is the same after a restart."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from celery import Celery
from celery.app import backends
from celery.beat import ScheduleEntry
from celery.schedules import BaseSchedule, crontab

from qbeat.beat.app_timezone import timezone_of
from qbeat.beat.celery_schedules import compile_schedule
from qbeat.beat.declarations import Declaration, Watched, watched
from qbeat.beat.entries import NOTHING, Entry, digest, printable, without_addresses
from qbeat.beat.errors import DeclarationError
from qbeat.beat.policies import DEFAULTS, Policies, PolicyError, read_policies
from qbeat.beat.publishing import canvas
from qbeat.schedules import ScheduleError
from qbeat.schedules.base import to_us

logger = logging.getLogger("qbeat.app")

CLEANUP: Final = "celery.backend_cleanup"
MAX_NAME: Final = 400
"""Characters; what a store can hold with room for what is added to tell entries apart."""

_KEYS: Final = ("task", "schedule", "args", "kwargs", "options", "relative", "last_run_at", "total_run_count")
_ALLOWED_KEYS: Final = frozenset({*_KEYS, "name", "app"})
_HINTS: Final = {
    "enabled": "take the entry out, or pause it",
    "queue": "options such as queue belong in 'options'",
    "expires": "options such as expires belong in 'options'",
    "priority": "options such as priority belong in 'options'",
    "crontab": "write 'schedule': crontab(...)",
    "interval": "write 'schedule': seconds",
}


class Item(NamedTuple):
    """One entry as declared, before it is checked."""

    name: str
    declared: Any
    where: str


def read_entries(app: Celery) -> list[Entry]:
    """Return the entries of a loaded app, or raise ``DeclarationError`` with all that is wrong with them."""
    entries: list[Entry] = []
    problems: list[str] = []
    timezone = timezone_of(app)
    for item in _items(app, problems):
        try:
            entries.append(_entry(app, item, timezone))
        except (ScheduleError, PolicyError, TypeError) as error:
            problems.append(f"entry {item.name!r} ({item.where}): {error}")
    if problems:
        raise DeclarationError("\n".join(problems))
    _warn_of_unknown_tasks(app, entries)
    return entries


def read_entry(app: Celery, name: str, declared: Any) -> Entry:
    """Return one entry, given as in ``beat_schedule``; raises what is wrong with it, a ``ValueError`` or ``TypeError``."""
    return _entry(app, Item(name, declared, "scheduler.schedule"), timezone_of(app))


# --- names


def _items(app: Celery, problems: list[str]) -> Iterator[Item]:
    seen = watched(app)
    schedule = app.conf.beat_schedule or {}
    if not isinstance(schedule, Mapping):
        problems.append(f"beat_schedule is {schedule!r}; give a dict of entries by name")
        return
    if seen.declarations or seen.replaced:
        yield from _told_apart(schedule, seen, problems)
    else:
        yield from (Item(name, entry, "beat_schedule") for name, entry in schedule.items())
    if CLEANUP not in schedule and _wants_cleanup(app):
        yield Item(CLEANUP, _cleanup_entry(), "Celery's default")


def _told_apart(schedule: Mapping[str, Any], seen: Watched, problems: list[str]) -> Iterator[Item]:
    """Yield all that was declared, where some of it may have taken another's place in ``beat_schedule``."""
    declared: dict[str, list[Declaration]] = {}
    for declaration in seen.declarations:
        declared.setdefault(declaration.key, []).append(declaration)
    groups: dict[Any, list[Item]] = {}
    for name, entry in schedule.items():
        for item in _items_of(name, entry, declared.get(name, ()), seen.replaced, problems):
            groups.setdefault(item.name, []).append(item)
    for items in groups.values():
        yield from items if len(items) == 1 else _with_own_names(items)


def _items_of(
    name: str,
    entry: Any,
    declarations: Sequence[Declaration],
    replaced: Mapping[str, Any],
    problems: list[str],
) -> Sequence[Item]:
    """Return what stands under one name of ``beat_schedule``; nothing if that name was given more than once."""
    items = [
        Item(_stable(known), known.entry, known.where) if known else Item(name, other, "beat_schedule")
        for known, other in _claimants(name, entry, declarations, replaced)
    ]
    if len(items) > 1:
        named = [item for item in items if item.where == "beat_schedule" or _is_named(item, declarations)]
        if len(named) > 1:
            places = " and at ".join(dict.fromkeys(item.where for item in named))
            problems.append(f"entry {name!r} is declared more than once, at {places}; give each its own name")
            return ()
    return items


def _claimants(
    name: str, entry: Any, declarations: Sequence[Declaration], replaced: Mapping[str, Any]
) -> list[tuple[Declaration | None, Any]]:
    """Return all that was declared under one name, in order, each once: (declaration or None, entry)."""
    found: list[tuple[Declaration | None, Any]] = []
    if name in replaced:
        found.append((None, replaced[name]))
    for declaration in declarations:
        if not any(known and _same(known, declaration) for known, _ in found):
            found.append((declaration, declaration.entry))
    if not any(entry is declaration.entry for declaration in declarations):
        found.append((None, entry))
    return found


def _same(one: Declaration, other: Declaration) -> bool:
    """Whether two declarations are one line of code that ran twice (a module imported under two names)."""
    return one.where == other.where and printable(one.entry) == printable(other.entry)


def _stable(declaration: Declaration) -> str:
    """Return the name of an entry; one that Celery made of its arguments is freed of what a restart changes."""
    if declaration.named:
        return declaration.key
    name: str = without_addresses(declaration.key)
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME // 2]}… [{digest(name)[:8]}]"


def _is_named(item: Item, declarations: Sequence[Declaration]) -> bool:
    return any(known.named and known.entry is item.declared for known in declarations)


def _with_own_names(items: list[Item]) -> Iterator[Item]:
    """Let the first keep Celery's name and add to each later one's its schedule."""
    taken: set[str] = set()
    for item in items:
        name = item.name
        if name in taken:
            name = f"{item.name} [{_label(item.declared)}]"
        number = 2
        while name in taken:
            name = f"{item.name} [{_label(item.declared)}] {number}"
            number += 1
        taken.add(name)
        yield Item(name, item.declared, item.where)


def _label(declared: Any) -> str:
    """Return a short text for an entry's schedule. Names are made of it, so it must never change."""
    schedule = declared.get("schedule") if isinstance(declared, Mapping) else declared
    if isinstance(schedule, timedelta):
        return f"{schedule.total_seconds():g} s"
    if isinstance(schedule, (int, float)):
        return f"{schedule:g} s"
    if type(schedule) is crontab:
        fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        return " ".join(str(getattr(schedule, f"_orig_{field}")) for field in fields)
    return digest(printable(schedule))[:8]


# --- Celery's default entry


def _wants_cleanup(app: Celery) -> bool:
    if not app.conf.result_expires:
        return False
    try:
        # Of its class: making a backend may mean talking to it, and it may be away.
        backend, _ = backends.by_url(app.backend_cls or app.conf.result_backend, app.loader)
    except Exception as error:  # noqa: BLE001 - a backend that cannot be loaded must not end the scheduler
        logger.warning("The result backend cannot be loaded (%s); %s is not scheduled.", error, CLEANUP)
        return False
    return not backend.supports_autoexpire


def _cleanup_entry() -> dict[str, Any]:
    return {"task": CLEANUP, "schedule": crontab("0", "4", "*"), "options": {"expires": 12 * 3600}}


# --- checks


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
    if len(name) > MAX_NAME + 100:
        raise TypeError(f"its name has {len(name)} characters; give one of at most {MAX_NAME}")


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
    return name


def _canvas(task: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    if task not in canvas.KINDS:
        return None
    if not kwargs.get("tasks"):
        raise TypeError(f"it is an empty {task.removeprefix('celery.')}; give it tasks to run")
    kind = task.removeprefix("celery.")
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
