"""Celery's schedule objects as qbeat's: what an app may write where a schedule belongs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary
from zoneinfo import ZoneInfo

from celery.schedules import BaseSchedule, crontab, solar
from celery.schedules import schedule as celery_schedule

from qbeat.beat.entries import printable
from qbeat.beat.policies import DEFAULTS, Policies
from qbeat.schedules import Crontab, Interval, Schedule, ScheduleError
from qbeat.schedules.base import LATEST, from_us
from qbeat.schedules.codec import from_data, shared
from qbeat.schedules.wrapping import layers
from qbeat.schedules.zones import DAY, zone

MAX_POLLS: Final = 10_000
"""A schedule of the user's own that has not become due after so many looks ahead is taken for finished."""

ASK_AGAIN: Final = 300_000_000
"""Microseconds until Celery's beat asks a schedule again that is not due and gives no delay: its ``max_interval``."""

MAX_SILENT: Final = 1_000
"""After so many answers without a delay, three days ahead, such a schedule is taken for finished."""

_compiled: WeakValueDictionary[Hashable, Schedule] = WeakValueDictionary()
"""By zone, and by what entries declare: thousands of entries have the same few schedules."""


def compile_schedule(
    declared: Any, *, name: str, timezone: str, relative: bool = False, policies: Policies | None = None
) -> Schedule:
    """Return the schedule that ``declared`` stands for, as the entry ``name`` of an app in ``timezone`` uses it.

    Accepted are seconds, a ``timedelta``, Celery's schedules, subclasses of ``BaseSchedule``, and qbeat's own;
    anything else is a ``ScheduleError``. Bounds, exclusions, ``fold`` and ``gap`` come from ``policies``.
    """
    policies = policies or DEFAULTS
    meaning = (timezone, relative, _meaning(declared)) if policies is DEFAULTS else None
    known = _compiled.get(meaning)
    if known is not None:
        return known
    schedule = policies.apply(_translate(declared, timezone, relative, policies))
    schedule = schedule.resolve(name=name, timezone=timezone)
    if any(isinstance(layer, CustomSchedule) for layer in layers(schedule)):
        return schedule
    schedule = shared(schedule)
    if meaning is not None and meaning[-1] is not None:
        _compiled[meaning] = schedule
    return schedule


def _meaning(declared: Any) -> Hashable:
    """Return what two declarations of one schedule have in common, ``None`` where that is not plain to see."""
    if isinstance(declared, (int, float, timedelta)):
        return type(declared), declared
    if type(declared) is crontab:
        fields = (
            declared.minute,
            declared.hour,
            declared.day_of_week,
            declared.day_of_month,
            declared.month_of_year,
        )
        return getattr(vars(declared).get("tz"), "key", None), *map(frozenset, fields)
    return None


def _translate(declared: Any, timezone: str, relative: bool, policies: Policies) -> Schedule:
    if isinstance(declared, Schedule):
        return _with_clock_changes(declared, policies)
    if isinstance(declared, (int, float, timedelta)) and not isinstance(declared, bool):
        return Interval(declared, relative=relative)
    if _behaves_as(declared, celery_schedule, ("is_due", "remaining_estimate")):
        return Interval(declared.run_every, relative=bool(declared.relative))
    if _behaves_as(declared, crontab, ("is_due", "remaining_delta", "remaining_estimate")):
        return _from_crontab(declared, policies)
    if _behaves_as(declared, solar, ("is_due", "remaining_estimate")):
        from qbeat.schedules.solar import Solar  # noqa: PLC0415 - few apps look at the sun

        return Solar(declared.event, declared.lat, declared.lon)
    if isinstance(declared, BaseSchedule) or callable(getattr(declared, "is_due", None)):
        return CustomSchedule(declared, timezone)
    raise ScheduleError(
        f"its schedule is {declared!r}",
        field="schedule",
        cure="give seconds, a timedelta, crontab(...), another schedule object, or Cron('...') for a cron string",
    )


def _with_clock_changes(schedule: Schedule, policies: Policies) -> Schedule:
    """Return qbeat's own schedule with ``fold`` and ``gap`` as the entry asks; where it asks for none, its own stay."""
    asked = {name: value for name, value in policies.differing().items() if name in {"fold", "gap"}}
    if not asked or not hasattr(schedule, "fold"):
        return schedule
    return from_data(schedule.to_data() | asked)


def _behaves_as(declared: Any, base: type, methods: Iterable[str]) -> bool:
    """Whether ``declared`` is a ``base`` whose rule nobody has overridden."""
    return isinstance(declared, base) and all(
        getattr(type(declared), method) is getattr(base, method) for method in methods
    )


def _from_crontab(declared: Any, policies: Policies) -> Schedule:
    own_zone = vars(declared).get("tz")
    return Crontab.from_sets(
        minute=declared.minute,
        hour=declared.hour,
        day_of_week=declared.day_of_week,
        day_of_month=declared.day_of_month,
        month_of_year=declared.month_of_year,
        timezone=getattr(own_zone, "key", None),
        fold=policies.fold,
        gap=policies.gap,
    )


class CustomSchedule(Schedule):
    """A schedule of the user's own, asked through its ``is_due`` at instants that lie ahead.

    ``is_due(last_run_at)`` takes the time from ``self.now()``; here that is the instant in question, so the
    answer is the same on every replica. A class that reads the clock by other means is only as exact as that.
    """

    def __init__(self, declared: Any, timezone: str) -> None:
        self._declared = declared
        self._zone = ZoneInfo(zone(timezone).name)
        self._words = _text(declared)  # now: being asked may leave traces in the object

    def next_us(self, after: int, anchor: int = 0) -> int | None:  # noqa: ARG002 - the contract of every schedule
        last_run_at = self._local(after)
        instant = after + 1
        silent = 0
        for _ in range(MAX_POLLS):
            if instant > LATEST or silent > MAX_SILENT:
                return None
            due, delay = self._ask(last_run_at, instant)
            if due:
                return instant
            if delay is None or not math.isfinite(delay):
                silent += 1
                instant += ASK_AGAIN
            else:
                instant += max(1_000, math.ceil(delay * 1_000_000))
        return None

    def describe(self) -> str:
        return self._words

    def to_data(self) -> dict[str, Any]:
        kind = type(self._declared)
        return {
            "kind": "custom",
            "class": f"{kind.__module__}.{kind.__qualname__}",
            "text": self._words,
        }

    def _ask(self, last_run_at: datetime, instant: int) -> tuple[bool, float | None]:
        declared = self._declared
        before = getattr(declared, "nowfun", None)
        declared.nowfun = partial(self._local, instant)
        try:
            due, delay = declared.is_due(last_run_at)
        finally:
            declared.nowfun = before
        return bool(due), None if delay is None else float(delay)

    def _local(self, instant: int) -> datetime:
        at = from_us(instant)
        # In the last day that UTC can show, some zones can show none any more.
        return at.astimezone(self._zone) if instant < LATEST - DAY else at


def _text(declared: Any) -> str:
    state = {
        key: value for key, value in vars(declared).items() if key not in {"_app", "app", "nowfun", "tz"}
    }
    text = repr(declared)
    # ``printable``: the order of a set is another one in each process.
    return f"{type(declared).__name__}({printable(state)!r})" if " at 0x" in text else text
