"""Watches an app declare its periodic tasks, so that none is lost on the way into ``beat_schedule``.

Celery keeps declarations in a dict: of two unnamed ones of the same signature only the last survives, two
that were given one name silently become one, and the signature of a chain or group is flattened into a task
that no worker can run. It also sends ``on_after_configure`` once, so a hook connected later is never called,
and an error in a hook goes to a log that nobody has set up by then. ``watch`` notes each call to
``add_periodic_task``, the moment of that signal and what hooks raise, for every app in the process.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from celery import Celery
from celery.utils.dispatch import Signal

from qbeat.beat.app.places import place_of_caller
from qbeat.beat.errors import QbeatError

logger = logging.getLogger("qbeat.app")

_DECLARING: Final = ("on_configure", "on_after_configure", "on_after_finalize")
"""The signals of an app in whose hooks it declares entries."""


@dataclass(frozen=True)
class Declaration:
    """One call to ``add_periodic_task``."""

    key: str
    named: bool
    entry: dict[str, Any]
    """What the app stores under ``key``, unless a later declaration takes its place."""
    where: str
    """File and line of the caller."""


@dataclass(frozen=True)
class FailedHook:
    """A hook that raised: what it would have declared from there on is not known."""

    hook: str
    signal: str
    error: Exception

    @property
    def may_pass(self) -> bool:
        """Whether the error is not about what was declared, as that of a database that is away."""
        from qbeat.schedules import ScheduleError  # noqa: PLC0415 - every command of Celery's imports this module

        return not isinstance(self.error, (ScheduleError, QbeatError))


@dataclass
class Watched:
    """What was seen of one app."""

    declarations: list[Declaration] = field(default_factory=list)
    called_hooks: frozenset[Any] | None = None
    """The hooks that ``on_after_configure`` reached; ``None`` if it has not been sent."""
    replaced: dict[str, Any] = field(default_factory=dict)
    """Entries of ``beat_schedule`` whose place a call to ``add_periodic_task`` took."""
    failed_hooks: list[FailedHook] = field(default_factory=list)


_watched: weakref.WeakKeyDictionary[Celery, Watched] = weakref.WeakKeyDictionary()


def watched(app: Celery) -> Watched:
    """Return what has been seen of ``app``; nothing for one that was made before the watch began."""
    return _watched.setdefault(app, Watched())


_watching: bool = False


@contextmanager
def watch(silently: Callable[[Celery], bool] = lambda app: True) -> Iterator[None]:  # noqa: ARG005 - any app
    """Note declarations while this runs; a watch within a watch changes nothing.

    Celery's warning that a declaration is lost stays away from apps for which ``silently`` answers that it is
    none of their concern: those whose entries qbeat is going to read.
    """
    global _watching  # noqa: PLW0603 - it patches a class, which is as global
    if _watching:
        yield
        return
    # Celery has no public seam for any of the four.
    seams: list[tuple[type, str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = [
        (Celery, "_sig_to_periodic_task_entry", _noting_declarations),
        (Celery, "_add_periodic_task", functools.partial(_noting_replaced, silently=silently)),
        (Celery, "_load_config", _noting_hooks),
        (Signal, "send", _noting_failures),
    ]
    originals = [getattr(owner, name) for owner, name, _ in seams]
    for (owner, name, noting), original in zip(seams, originals, strict=True):
        setattr(owner, name, noting(original))
    _watching = True
    try:
        yield
    finally:
        _watching = False
        for (owner, name, _), original in zip(seams, originals, strict=True):
            setattr(owner, name, original)


def call_late_hooks(app: Celery) -> None:
    """Call the ``on_after_configure`` hooks that were connected after the signal had been sent."""
    seen = watched(app).called_hooks
    if seen is None:
        return
    for key, receiver in list(app.on_after_configure.receivers or ()):
        hook = receiver() if isinstance(receiver, weakref.ReferenceType) else receiver
        if key in seen or hook is None:
            continue
        logger.info(
            "%s was connected to on_after_configure after the app had been configured; it is called now "
            "(on_after_finalize is the signal for a hook in a module of tasks).",
            _name_of(hook),
        )
        try:
            hook(signal=app.on_after_configure, sender=app, source=app.conf)
        except Exception as error:  # noqa: BLE001 - whoever reads the entries tells it
            watched(app).failed_hooks.append(FailedHook(_name_of(hook), "on_after_configure", error))
    watched(app).called_hooks = _hooks(app)


def _noting_declarations(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def noting(  # noqa: PLR0917 - Celery's signature
        app: Celery,
        schedule: Any,
        sig: Any,
        args: Any = (),
        kwargs: Any = None,
        name: Any = None,
        **options: Any,
    ) -> tuple[str, dict[str, Any]]:
        key, entry = original(app, schedule, sig, args, kwargs, name, **options)
        watched(app).declarations.append(Declaration(key, bool(name), entry, place_of_caller()))
        return key, entry

    return noting


def _noting_replaced(original: Callable[..., Any], silently: Callable[[Celery], bool]) -> Callable[..., Any]:
    @functools.wraps(original)
    def noting(app: Celery, key: str, entry: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        seen = watched(app)
        before = app.conf.beat_schedule.get(key)
        if before is not None and not any(before is known.entry for known in seen.declarations):
            seen.replaced[key] = before
        if silently(app):
            # What the original does, without its warning that the entry before is lost: here it is not.
            app.conf.beat_schedule[key] = entry
        else:
            original(app, key, entry, *args, **kwargs)

    return noting


def _noting_hooks(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def noting(app: Celery) -> Any:
        configuration = original(app)
        watched(app).called_hooks = _hooks(app)
        return configuration

    return noting


def _noting_failures(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def noting(signal: Signal, sender: Any, **named: Any) -> Any:
        responses = original(signal, sender, **named)
        if isinstance(sender, Celery):
            for name in _DECLARING:
                if getattr(sender, name, None) is signal:
                    watched(sender).failed_hooks.extend(_failures(responses, name))
        return responses

    return noting


def _failures(responses: list[tuple[Any, Any]], signal: str) -> Iterator[FailedHook]:
    """Yield what was raised. Celery returns it like an answer; the traceback of an answer begins in the hook."""
    for hook, response in responses:
        traceback = response.__traceback__ if isinstance(response, Exception) else None
        if traceback is not None and traceback.tb_frame.f_globals.get("__name__") == Signal.__module__:
            yield FailedHook(_name_of(hook), signal, response)


def _hooks(app: Celery) -> frozenset[Any]:
    return frozenset(key for key, _ in app.on_after_configure.receivers or ())


def _name_of(hook: Any) -> str:
    return f"{getattr(hook, '__module__', '?')}.{getattr(hook, '__qualname__', repr(hook))}"
