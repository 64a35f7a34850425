"""The schedule as Celery's code knows it: a dict of Celery entries that notices when somebody changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from celery import Celery
from celery.beat import ScheduleEntry

from qbeat.beat.celery_view import FireTimes, as_celery
from qbeat.beat.entries import Entry
from qbeat.beat.publishing.plain import copied
from qbeat.schedules import Schedule
from qbeat.schedules.wrapping import layers

EDITABLE: Final = ("task", "schedule", "args", "kwargs", "options")
"""What an entry says; all else in a Celery entry is about what has fired."""


class PluginEntry(ScheduleEntry):
    """Celery's entry, which tells the dict that it is in when somebody edits it."""

    # Slots, because Celery takes all that is in an entry's ``__dict__`` for arguments of the next one.
    __slots__ = ("owner", "started_at")
    owner: Entries | None
    started_at: Any

    def __init__(
        self,
        name: str | None = None,
        task: Any = None,
        last_run_at: Any = None,
        total_run_count: int | None = None,
        schedule: Any = None,
        *args: Any,
        app: Celery | None = None,
        **kwargs: Any,
    ) -> None:
        self.owner = None
        self.started_at = last_run_at
        if isinstance(schedule, Schedule):
            schedule = as_celery(schedule, app)
        super().__init__(name, task, last_run_at, total_run_count, schedule, *args, app=app, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in EDITABLE and self.owner is not None:
            self.owner.is_changed = True

    def update(self, other: ScheduleEntry) -> None:
        """Take over what another entry says, as Celery does."""
        super().update(other)
        if self.owner is not None:
            self.owner.is_changed = True

    __hash__ = None  # type: ignore[assignment] # as Celery's


class Entries(dict[str, Any]):
    """Celery entries by name. ``is_changed`` tells of entries that came, went or say something else."""

    def __init__(self, entries: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self.is_changed = False
        self.update(entries)

    def __setitem__(self, name: str, entry: Any) -> None:
        before = self.get(name)
        super().__setitem__(name, entry)
        if isinstance(entry, PluginEntry):
            entry.owner = self
        # The next instance of an entry differs in what has fired alone.
        self.is_changed = self.is_changed or before is None or (before is not entry and before != entry)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self.is_changed = True

    def pop(self, name: str, *default: Any) -> Any:
        self.is_changed = self.is_changed or name in self
        return super().pop(name, *default)

    def popitem(self) -> tuple[str, Any]:
        self.is_changed = True
        return super().popitem()

    def clear(self) -> None:
        self.is_changed = True
        super().clear()

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *others: Any, **entries: Any) -> None:
        for name, entry in dict(*others, **entries).items():
            self[name] = entry

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc] # dict's has overloads
        self.update(other)
        return self


def view_of(entry: Entry, app: Celery) -> PluginEntry:
    """Return a Celery entry that shows what ``entry`` is; its policies stand in the option ``qbeat``."""
    policies = entry.policies.differing()
    shown = entry.celery_schedule if entry.celery_schedule is not None else _without_policies(entry)
    return PluginEntry(
        name=entry.name,
        task=entry.task,
        schedule=shown,
        args=copied(entry.args),
        kwargs=dict(copied(entry.kwargs)),
        options={**copied(entry.options), **({"qbeat": policies} if policies else {})},
        app=app,
    )


def _without_policies(entry: Entry) -> Schedule:
    """Return the schedule without what the policies have wrapped around it."""
    policies = entry.policies
    is_bounded = (policies.start, policies.end, policies.max_runs) != (None, None, None)
    wrapped = [is_bounded, policies.exclude is not None].count(True)
    return list(layers(entry.schedule))[wrapped]


def declaration_of(entry: Any) -> dict[str, Any]:
    """Return a Celery entry as it would stand in ``beat_schedule``."""
    declared = {name: getattr(entry, name) for name in EDITABLE}
    schedule = entry.schedule
    declared["schedule"] = schedule.original if isinstance(schedule, FireTimes) else schedule
    declared["last_run_at"] = entry.started_at if isinstance(entry, PluginEntry) else None
    return declared


def words_of(entry: Any) -> tuple[Any, ...]:
    """Return what an entry says, to be compared later on: a copy."""
    return tuple(copied(getattr(entry, name)) for name in EDITABLE)
