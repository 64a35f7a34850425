"""The class behind ``-S qbeat``: to Celery a scheduler of its own kind, inside the same engine as ``qbeat -A``."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from billiard import current_process
from celery import Celery, beat, signals

from qbeat.beat.app.declarations import call_late_hooks
from qbeat.beat.app.reading import read_entries, read_entry
from qbeat.beat.broker_url import broker_of
from qbeat.beat.closed_files import keep_parents_from_reuse, keep_usual_from_reuse
from qbeat.beat.echoes import drop_echoes
from qbeat.beat.entries import Entry as EngineEntry
from qbeat.beat.own_loggers import hear_own_loggers
from qbeat.beat.plugin.deferral import DeferredSignals
from qbeat.beat.plugin.ending import in_one_sentence, is_detached, is_embedded, is_for_beat_alone
from qbeat.beat.plugin.engine import Engine
from qbeat.beat.plugin.lifeline import Lifeline
from qbeat.beat.plugin.schedule import Entries, PluginEntry, declaration_of, view_of, words_of
from qbeat.beat.plugin.store_choice import store_of, without_password
from qbeat.beat.publishing.plain import FiringEntry, PlainScheduler, copied
from qbeat.beat.service import keep_off_result_backend
from qbeat.beat.settings import read_settings

logger = logging.getLogger("qbeat.plugin")

_Known = tuple[tuple[Any, ...], EngineEntry]
"""What an entry of the schedule said, and what the engine was told of it."""

MAX_INTERVAL: Final = 1.0
"""Celery sleeps as long as ``tick`` says, and cannot be woken."""

SHOWN_FOR: Final = 0.5
"""Seconds before the schedule, when it is looked at, tells anew how far its entries have come."""

_abandoned: Final[list[object]] = []
"""What a forked child has inherited: closing it, or losing it, would disturb the parent's connections."""


class QbeatScheduler(PlainScheduler):
    """Celery's scheduler with qbeat's engine in place of its heap and its shelf.

    ``schedule`` shows the entries as Celery's. Whoever changes it, or calls ``add``, changes what fires from the
    next tick on. ``apply_entry``, ``apply_async`` and ``send_task`` may be overridden, or replaced on the object:
    each firing then goes through them.
    """

    Entry: ClassVar[type] = PluginEntry
    max_interval: float = MAX_INTERVAL

    def __init__(
        self,
        app: Celery,
        schedule: Mapping[str, Any] | None = None,
        max_interval: float | None = None,
        Producer: Any = None,  # noqa: N803 - Celery's name
        lazy: bool = False,
        *,
        schedule_filename: str | None = None,
        **kwargs: Any,
    ) -> None:
        hear_own_loggers()
        self.schedule_filename = schedule_filename
        if is_embedded():
            keep_parents_from_reuse(os.getppid())
        elif is_detached():
            keep_usual_from_reuse()
        with in_one_sentence():
            if is_for_beat_alone():
                broker_of(app)
            self._settings = read_settings(
                app,
                store=store_of(app, schedule_filename),
                max_interval=max_interval or None,
            )
        self._engine: Engine | None = None
        self._known: dict[str, _Known] = {}
        self._ticking = False
        self._close_after_tick = False
        self._exit_code: int | None = None
        self._deferral = DeferredSignals()
        self._lifeline: Lifeline | None = None
        self._pid = os.getpid()
        self._shown_at = 0.0
        beat.Scheduler.__init__(
            self,
            app,
            schedule=Entries(schedule or {}),
            max_interval=min(self._settings.max_interval, MAX_INTERVAL),
            Producer=Producer,
            lazy=lazy,
            **kwargs,
        )
        if not lazy:
            signals.beat_init.connect(self._begin_as_service)
            signals.beat_embedded_init.connect(self._begin_embedded)

    # --- what Celery's loop calls

    def tick(self, *_: Any, **__: Any) -> float:
        """Do what is due; return the seconds until there may be more to do, one at most."""
        with self._deferral.held():
            self._ticking = True
            try:
                with in_one_sentence():
                    wait = self._turn()
            except SystemExit as end:
                self._exit_code = end.code if isinstance(end.code, int) else None
                raise
            finally:
                self._ticking = False
                if self._close_after_tick:
                    self.close()
        return min(wait, self.max_interval)

    def close(self) -> None:
        """Finish what is being published and let go of everything; again, or before the first tick, does nothing.

        In the middle of a tick, as from a signal handler, it is done when the tick has ended. A tick after it
        opens everything anew.
        """
        if self._ticking:
            self._close_after_tick = True
            return
        self._close_after_tick = False
        self._leave_to_parent()
        engine, self._engine = self._engine, None
        try:
            if engine is not None:
                engine.close()
        finally:
            super().close()
            self._release_connection()
            code, self._exit_code = self._exit_code, None
        if code is not None:
            # What ``tick`` raises, Celery takes for a wish to stop, and forgets the code.
            raise SystemExit(code)

    def sync(self) -> None:
        """Do nothing: what has fired is in the store already."""

    @property
    def info(self) -> str:
        """The lines of Celery's banner."""
        return f"    . store -> {without_password(self._settings.store)}"

    # --- the schedule

    def setup_schedule(self) -> None:
        """Read what the app declares."""
        call_late_hooks(self.app)
        given = dict(self.data)
        with in_one_sentence():
            self._read_declared()
        self.data.update(given)

    def get_schedule(self) -> Entries:
        """Return the entries by name, with how far they have come as this replica knows it."""
        if time.monotonic() - self._shown_at >= SHOWN_FOR:
            self._show_progress()
            self._shown_at = time.monotonic()
        found: Entries = self.data
        return found

    def set_schedule(self, schedule: Mapping[str, Any]) -> None:
        """Put other entries in the place of all."""
        self.data = Entries(schedule)
        self.data.is_changed = True

    schedule = property(get_schedule, set_schedule)

    def merge_inplace(self, b: Mapping[str, Any]) -> None:
        """Make the schedule what ``b`` says; the app's own ``beat_schedule`` is read as at the start."""
        if b is self.app.conf.beat_schedule:
            self._read_declared()
        else:
            super().merge_inplace(b)

    # --- sending

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send an entry now, as Celery does; what others write into it on the way stays out of the schedule."""
        if not isinstance(entry, FiringEntry):
            entry = _copy(entry, entry.options)
        super().apply_entry(entry, producer=producer)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send a firing of the engine's, or an entry that Celery's code has been given."""
        if isinstance(entry, FiringEntry):
            return super().apply_async(entry, producer=producer, **kwargs)
        entry = self.reserve(entry) if advance else entry
        sent = _copy(entry, {name: value for name, value in entry.options.items() if name != "qbeat"})
        return beat.Scheduler.apply_async(self, sent, producer=producer, advance=False, **kwargs)

    @property
    def is_watched(self) -> bool:
        """Whether somebody has overridden, or replaced on this object, what each firing goes through."""
        names = ("apply_entry", "apply_async", "send_task")
        kind = type(self)
        return any(
            name in vars(self) or getattr(kind, name) is not getattr(QbeatScheduler, name) for name in names
        )

    # --- the engine

    def _turn(self) -> float:
        if self._lifeline is not None and self._lifeline.is_cut:
            logger.warning("The worker that qbeat is embedded in is gone; qbeat goes with it.")
            raise SystemExit
        self._leave_to_parent()
        changed, self.data.is_changed = self.data.is_changed, False
        if self._engine is None:
            self._engine = Engine(self.app, self._settings, self._read_schedule(), self)
        elif changed:
            self._follow_schedule(self._engine)
        return self._engine.turn()

    def _follow_schedule(self, engine: Engine) -> None:
        entries = self._read_schedule()
        if engine.redeclare(entries):
            logger.info("The schedule has been changed; %d entries are in force.", len(entries))

    def _read_declared(self) -> None:
        declared = read_entries(self.app)
        views = {entry.name: view_of(entry, self.app) for entry in declared}
        self._known = {entry.name: (words_of(views[entry.name]), entry) for entry in declared}
        for name in [name for name in self.data if name not in views]:
            del self.data[name]
        self.data.update(views)

    def _read_schedule(self) -> list[EngineEntry]:
        """Return the entries of the schedule; one that cannot be is logged, and does not fire."""
        known: dict[str, _Known] = {}
        for name, shown in dict(self.data).items():
            try:
                known[name] = self._read_one(name, shown)
            except (ValueError, TypeError, AttributeError) as error:
                logger.error("entry %r in the schedule does not fire: %s", name, error)  # noqa: TRY400 - no bug to trace
        self._known = known
        return [entry for _, entry in known.values()]

    def _read_one(self, name: str, shown: Any) -> _Known:
        words = words_of(shown)
        known = self._known.get(name)
        if known is not None and known[0] == words:
            return known
        return words, read_entry(self.app, name, declaration_of(shown))

    def _show_progress(self) -> None:
        engine = self._engine
        if engine is None or engine.pid != os.getpid():
            return
        for name, cursor, runs in engine.progress():
            entry = self.data.get(name)
            if entry is not None:
                entry.last_run_at = datetime.fromtimestamp(cursor / 1e6, UTC).astimezone(self.app.timezone)
                entry.total_run_count = runs

    def _leave_to_parent(self) -> None:
        """In a forked child: use nothing that the parent has opened."""
        if self._pid == os.getpid():
            return
        _abandoned.extend(
            (self._engine, self.__dict__.pop("connection", None), self.__dict__.pop("producer", None))
        )
        self._engine = None
        self._pid = os.getpid()

    def _release_connection(self) -> None:
        # Celery 5.7 does this by itself.
        self.__dict__.pop("producer", None)
        connection = self.__dict__.pop("connection", None)
        if connection is not None:
            connection.release()

    # --- the process

    def _begin_as_service(self, sender: Any = None, **_: Any) -> None:
        """Celery's service begins to turn this scheduler: in the main thread, the process is there for nothing else."""
        if getattr(sender, "scheduler", None) is not self:
            return
        if threading.current_thread() is threading.main_thread():
            keep_off_result_backend(self.app)
            self._deferral.install()
            drop_echoes()

    def _begin_embedded(self, sender: Any = None, **_: Any) -> None:
        if getattr(sender, "scheduler", None) is self:
            self._lifeline = Lifeline(getattr(current_process(), "_parent_pid", None) or os.getppid())
            if is_embedded():
                self._deferral.install(once=True)


def _copy(entry: Any, options: Mapping[str, Any]) -> Any:
    """Return a copy of a Celery entry with a copy of these options, which stands in no schedule."""
    found = object.__new__(type(entry))
    found.__dict__.update(vars(entry), options=copied(options))
    if isinstance(found, PluginEntry):
        found.owner = None
    return found
