"""Apps for tests: written as source, imported under a name of their own, forgotten afterwards."""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import celery._state
from celery import Celery, signals
from celery.utils.dispatch import Signal

from qbeat.beat.app.loading import AppOptions, load_app
from qbeat.beat.app.reading import read_entries
from qbeat.beat.entries import Entry

_numbers = itertools.count(1)

HEADER = """
from datetime import datetime, timedelta
from celery import Celery, chain, chord, group, shared_task
from celery.schedules import BaseSchedule, crontab, schedule, solar
"""
"""What guides import at the top of their ``tasks.py``."""

APP = """
app = Celery("tasks", broker="memory://")

@app.task(name="tasks.add")
def add(x, y):
    return x + y

@app.task(name="tasks.check_cat")
def check_cat():
    return "fed"
"""
"""An app with two tasks, without periodic ones."""


class Apps:
    """Modules in a folder that is on the path while a test runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._finalizers = set(celery._state._on_app_finalizers)

    def write(self, source: str, name: str | None = None) -> str:
        """Write a module (``pkg.celery`` makes the folder too); return its name, a new one if none is given."""
        module = name or f"written_{next(_numbers)}"
        path = self.folder.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(self.folder).parents:
            if parent.name:
                (self.folder / parent / "__init__.py").touch()
        path.write_text(HEADER + textwrap.dedent(source))
        importlib.invalidate_caches()
        return module

    def load(self, source: str, *, header: str = APP, **options: Any) -> Celery:
        """Load the app in ``source``, after the lines of ``header``, as ``qbeat -A`` does."""
        # ``shared_task`` and ``@app.task`` put themselves into every app of the process, those of other tests too.
        celery._state._on_app_finalizers.intersection_update(self._finalizers)
        return load_app(AppOptions(app=self.write(header + textwrap.dedent(source)), **options))

    def entries(self, source: str, *, header: str = APP) -> dict[str, Entry]:
        """Return the entries that ``source`` declares, by name, without Celery's own."""
        entries = read_entries(self.load(source, header=header))
        return {entry.name: entry for entry in entries if entry.name != "celery.backend_cleanup"}


@contextmanager
def apps_in(folder: Path) -> Iterator[Apps]:
    """Import from ``folder`` meanwhile; afterwards no modules, receivers of signals or current app are left behind."""
    before, path = set(sys.modules), list(sys.path)
    current, default = celery._state._tls.current_app, celery._state.default_app
    finalizers = set(celery._state._on_app_finalizers)
    receivers = [
        (signal, list(signal.receivers)) for signal in vars(signals).values() if isinstance(signal, Signal)
    ]
    sys.path.insert(0, str(folder))
    try:
        yield Apps(folder)
    finally:
        sys.path[:] = path
        celery._state._set_current_app(current)
        celery._state.default_app = default
        celery._state._on_app_finalizers.intersection_update(finalizers)
        for signal, kept in receivers:
            signal.receivers[:] = kept
            signal.sender_receivers_cache.clear()
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "") or ""):
                del sys.modules[name]
        importlib.invalidate_caches()
