"""Lists what an app declares, each under a name that is the same after a restart."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from celery import Celery
from celery.app import backends
from celery.schedules import crontab

from qbeat.beat.app.declarations import Declaration, FailedHook, Watched, watched
from qbeat.beat.app.places import place_of
from qbeat.beat.entries import digest, printable, without_addresses

logger = logging.getLogger("qbeat.app")

CLEANUP: Final = "celery.backend_cleanup"
MAX_NAME: Final = 400
"""Characters; what a store can hold with room for what is added to tell entries apart."""


class Item(NamedTuple):
    """One entry as declared, before it is checked."""

    name: str
    declared: Any
    where: str


def items_of(app: Celery, problems: list[str]) -> Iterator[Item]:
    """Yield all that a loaded app declares; hooks that failed and what cannot be told apart go to ``problems``.

    Celery's beat would go on after an error in a hook. Here that would mean to retire, in the store and for all
    replicas, what the hook has not come to declare; so whoever reads the entries refuses them, as a bad entry.
    """
    seen = watched(app)
    problems.extend(_problem_of(failed) for failed in seen.failed_hooks)
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


def _problem_of(failed: FailedHook) -> str:
    """Return what to say of a failed hook; an error that is not about a schedule is logged with its traceback."""
    error = failed.error
    said = f"the hook {failed.hook} of {failed.signal} ({place_of(error)})"
    text = " ".join(str(error).split())
    if not failed.may_pass:
        return f"{said}: {text}"
    logger.error("%s raises:", said, exc_info=error)
    raised = type(error).__name__ + (f": {text}" if text else "")
    return (
        f"{said} raises {raised}; what it declares may be missing, so nothing starts: "
        f"mend it, or catch the error"
    )


def _told_apart(schedule: Mapping[str, Any], seen: Watched, problems: list[str]) -> Iterator[Item]:
    """Yield all that was declared, where some of it may have taken another's place in ``beat_schedule``."""
    declared: dict[str, list[Declaration]] = {}
    for declaration in seen.declarations:
        declared.setdefault(declaration.key, []).append(declaration)
    groups: dict[Any, list[Item]] = {}
    for name, entry in schedule.items():
        for item in _claims_on(name, entry, declared.get(name, ()), seen.replaced, problems):
            groups.setdefault(item.name, []).append(item)
    for items in groups.values():
        yield from items if len(items) == 1 else _with_own_names(items)


def _claims_on(
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
