"""What may surprise in a schedule: warnings for its author, and notes on single fire times.

Everything here is advice; a schedule that cannot be is refused when it is built, with a ``ScheduleError``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from qbeat.schedules.base import Schedule, to_us
from qbeat.schedules.cron import Cron
from qbeat.schedules.crontab import Crontab
from qbeat.schedules.dst import LocalTimes
from qbeat.schedules.interval import Interval
from qbeat.schedules.lint_fields import advice_on_fields
from qbeat.schedules.wallclock import FieldSchedule
from qbeat.schedules.words import describe_duration
from qbeat.schedules.wrapping import innermost
from qbeat.schedules.zones import DAY, Change, naive_of

YEARS_AHEAD: Final = 3
"""How far ahead clock changes are looked at."""

_YEAR: Final = 366 * DAY
_CRON_NAMES: Final = {"month_of_year": "month"}
"""Celery's names of fields for which cron strings have others."""


class Advice(NamedTuple):
    """One thing that may surprise: ``code`` is a word for programs, ``text`` one sentence for people."""

    code: str
    text: str


def advice(schedule: Schedule, now: datetime, years: int = YEARS_AHEAD) -> list[Advice]:
    """Return what may surprise in a schedule; ``now`` (aware) says which clock changes still lie ahead."""
    return [*_advice(innermost(schedule), to_us(now), to_us(now) + years * _YEAR)]


def note(schedule: Schedule, fire_time: datetime) -> str | None:
    """Return what a clock change did to one fire time (aware) of a schedule, or ``None`` if nothing."""
    inner = innermost(schedule)
    at = to_us(fire_time)
    times = _local_times(inner)
    if times is None or inner.next_us(at - 1) != at:
        return None
    return _note_on_gap(times, at) or _note_on_fold(times, at)


def _local_times(schedule: Schedule) -> LocalTimes | None:
    """Return the local times that a schedule names; intervals, instants and the sun have none."""
    times = getattr(schedule, "local_times", None)
    return times if isinstance(times, LocalTimes) else None


def _note_on_gap(times: LocalTimes, at: int) -> str | None:
    change = _change_at(times, at)
    if change is None or times.all_hours or times.gap == "skip":
        return None
    said = _clock if _is_within_a_day(change) else _date_and_clock
    swallowed = [said(wall) for wall in _walls(times, change.before, change.after)]
    if not swallowed:
        return None
    what = " and ".join(swallowed) if len(swallowed) < 3 else f"{swallowed[0]} and others"  # noqa: PLR2004 - one or two are named
    return f"stands for {what}: the clock goes from {said(change.before)} to {said(change.after)}"


def _note_on_fold(times: LocalTimes, at: int) -> str | None:
    wall = times.zone.local(at)
    passes = times.zone.instants(wall)
    if len(passes) < 2:  # noqa: PLR2004 - two passes make a fold
        return None
    which = "first" if at == passes[0] else "second"
    if times.all_hours or times.fold == "every":
        return f"{which} pass: the clock shows {_clock(wall)} twice"
    return f"{which} pass only: the clock shows {_clock(wall)} twice"


def _change_at(times: LocalTimes, at: int) -> Change | None:
    return next((change for change in times.zone.changes(at - 1, at) if change.forward), None)


def _is_within_a_day(change: Change) -> bool:
    """Whether the clock shows the same date before and after: then its times say enough."""
    return change.before // DAY == change.after // DAY


def _walls(times: LocalTimes, begin: int, end: int) -> Iterator[int]:
    """Yield the matching walls in ``[begin, end)``, four at most: enough to say more than two."""
    wall = times.next_wall(begin - 1)
    for _ in range(4):
        if wall is None or wall >= end:
            return
        yield wall
        wall = times.next_wall(wall)


def _advice(schedule: Schedule, since: int, until: int) -> Iterator[Advice]:
    if isinstance(schedule, Interval):
        yield from _on_interval(schedule)
    if isinstance(schedule, FieldSchedule):
        texts = schedule.parts if isinstance(schedule, Cron) else {}
        if isinstance(schedule, Crontab):
            texts = {_CRON_NAMES.get(name, name): text for name, text in schedule.texts.items()}
        yield from (Advice(*found) for found in advice_on_fields(schedule.fields, texts))
        yield from _on_years(schedule, since)
    times = _local_times(schedule)
    if times is not None and not times.all_hours:
        yield from _on_gaps(times, since, until)
        yield from _on_folds(times, since, until)


def _on_interval(schedule: Interval) -> Iterator[Advice]:
    if not schedule.relative and schedule.every % timedelta(days=1) == timedelta(0):
        every = describe_duration(schedule.every)
        yield Advice(
            "day-is-24-hours",
            f"every {every} is elapsed time, so the local time moves when the clocks change;"
            " for the same local time use a crontab",
        )


def _on_years(schedule: FieldSchedule, since: int) -> Iterator[Advice]:
    years = schedule.fields.years
    if years is not None and schedule.next_us(since) is None:
        yield Advice("years-over", f"the last of its years is {max(years)}: it never fires again")


def _on_gaps(times: LocalTimes, since: int, until: int) -> Iterator[Advice]:
    found = [
        (change, wall)
        for change in times.zone.changes(since, until)
        if change.forward
        for wall in [next(_walls(times, change.before, change.after), None)]
        if wall is not None
    ]
    if found:
        change, wall = found[0]
        said = _clock if _is_within_a_day(change) else _date_and_clock
        then = "is dropped" if times.gap == "skip" else f"fires at {said(change.after)}"
        yield Advice(
            "in-a-gap",
            f"{_date_and_clock(wall)} does not exist in {times.zone.name}: it {then}{_more(len(found) - 1)}",
        )


def _on_folds(times: LocalTimes, since: int, until: int) -> Iterator[Advice]:
    found = [
        (change, walls)
        for change in times.zone.changes(since, until)
        if not change.forward
        for walls in [[*_walls(times, change.after, change.before)]]
        if walls
    ]
    if not found:
        return
    change, walls = found[0]
    when = f"the clock shows {_date_and_clock(walls[0])} twice in {times.zone.name}"
    if times.fold == "every":
        yield Advice("in-a-fold", f"{when}: it fires both times{_more(len(found) - 1)}")
    elif len(walls) > 2:  # noqa: PLR2004 - a rhythm rather than single times
        length = describe_duration(timedelta(microseconds=change.before - change.after))
        yield Advice(
            "pauses-in-a-fold",
            f"{when}: since its hours are named it pauses for the repeated {length}, unless the entry"
            f' says fold="every"{_more(len(found) - 1)}',
        )
    else:
        yield Advice("in-a-fold", f"{when}: it fires on the first pass only{_more(len(found) - 1)}")


def _more(others: int) -> str:
    return f" (and on {others} more date{'s' if others > 1 else ''} ahead)" if others else ""


def _clock(wall: int) -> str:
    return f"{naive_of(wall):%H:%M:%S}".removesuffix(":00")


def _date_and_clock(wall: int) -> str:
    return f"{naive_of(wall):%Y-%m-%d} {_clock(wall)}"
