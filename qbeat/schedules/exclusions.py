"""Exclusions: another schedule without the days off of a calendar, or without what a second schedule covers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta, tzinfo
from typing import Any, Final, Literal, Self

from qbeat.schedules.base import LATEST, Schedule, ScheduleError
from qbeat.schedules.calendars import Calendar, date_of
from qbeat.schedules.codec import from_data
from qbeat.schedules.durations import duration_text, parse_duration
from qbeat.schedules.pauses import covered_until
from qbeat.schedules.working_days import HORIZON, WorkingDays
from qbeat.schedules.wrapping import Wrapping, zone_of
from qbeat.schedules.zones import DAY, MINUTE, zone, zone_name

Move = Literal["skip", "next", "previous"]

MOVES: Final[tuple[Move, ...]] = ("skip", "next", "previous")

_STEPS: Final = 10_000
_REFERENCE: Final = 56 * 365 * DAY  # some instant in 2025: it matters only that it is always the same


class ExceptDays(Wrapping):
    """Fires when ``inner`` does, but not on the days off of a calendar.

    With ``move="next"`` or ``"previous"`` a fire time on a day off moves to the next or the previous working day, at
    the same local time; fire times that meet there are one. Days are those of ``timezone`` (default: the zone of
    ``inner``, then the app's) and begin when the local clock first shows their midnight or later. Over more than 366
    days off in a row nothing is moved. ``calendar`` may be the name of one that ``with_calendars`` fills in.
    Raises ``ScheduleError``, also where the calendar leaves nothing.
    """

    def __init__(
        self,
        inner: Schedule,
        calendar: Calendar | str,
        move: str = "skip",
        timezone: str | tzinfo | None = None,
    ) -> None:
        if move not in MOVES:
            raise ScheduleError(f"move is {move!r}", field="move", cure=f"one of: {', '.join(MOVES)}")
        self.inner = inner
        self.calendar = calendar
        self.move: Move = move
        self.timezone = zone_name(timezone) or zone_of(inner)
        self._zone = zone(self.timezone or "UTC")

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_data`` wrote down."""
        calendar = data["calendar"]
        return cls(
            from_data(data["inner"]),
            calendar if isinstance(calendar, str) else Calendar.from_data(calendar),
            data.get("move", "skip"),
            data.get("timezone"),
        )

    def next_us(self, after: int, anchor: int = 0) -> int | None:
        """Return the first fire time left over strictly later than ``after``, ``None`` if none is left for 60 years."""
        days = WorkingDays(self._calendar(), self._zone)
        if self.move == "skip":
            return days.next_left(self.inner, after, anchor)
        found = days.next_moved(self.inner, after, anchor, forward=self.move == "next")
        return None if found is None or found > LATEST else found

    def why_excluded(self, instant: int) -> str | None:
        """Return why nothing of ``inner`` fires at this instant (microseconds), ``None`` if the day is no day off."""
        calendar = self._calendar()
        day = self._zone.high_water(instant) // DAY
        return (
            f"{date_of(day)} is a day off in the calendar {calendar.name!r}" if calendar.is_off(day) else None
        )

    def to_data(self) -> dict[str, Any]:
        """Return ``{"kind": "except_days", "inner": …, "calendar": …, "move": …, "timezone": …}``."""
        calendar = self.calendar if isinstance(self.calendar, str) else self.calendar.to_data()
        return {
            "kind": "except_days",
            "inner": self.inner.to_data(),
            "calendar": calendar,
            "move": self.move,
            "timezone": self.timezone,
        }

    def describe(self) -> str:
        """Say in English when this fires."""
        name = self.calendar if isinstance(self.calendar, str) else self.calendar.name
        moved = "" if self.move == "skip" else f", moved to the {self.move} working day instead"
        return f"{self.inner.describe()}, except on days off in {name}{moved}"

    def resolve(self, *, name: str, timezone: str) -> Self:
        """Return this with ``inner`` as the entry uses it, in the zone of ``inner`` or in ``timezone``.

        Raises ``ScheduleError`` where the calendar leaves nothing.
        """
        inner = self.inner.resolve(name=name, timezone=timezone)
        where = self.timezone or zone_of(inner) or timezone
        resolved = type(self)(inner, self.calendar, self.move, where)
        if isinstance(self.calendar, Calendar) and resolved.next_us(_REFERENCE) is None:
            resolved._refuse_nothing_left()  # noqa: SLF001 - another of this class
        return resolved

    def _calendar(self) -> Calendar:
        if isinstance(self.calendar, str):
            raise ScheduleError(
                f"the calendar {self.calendar!r} is not known",
                field="calendar",
                cure="define it, or correct its name",
            )
        return self.calendar

    def _refuse_nothing_left(self) -> None:
        if self.inner.next_us(_REFERENCE) is not None:
            raise ScheduleError(
                f"the calendar {self._calendar().name!r} leaves nothing of {self.inner.describe()!r}",
                field="calendar",
                cure='choose other days, or move="next"',
            )


class ExceptWhen(Wrapping):
    """Fires when ``inner`` does, but not while ``other`` covers the instant.

    Each fire time of ``other`` covers what is less than ``lasting`` later (default: the minute that it names), so
    ``ExceptWhen(Interval(30), Cron("* 0-6 * * *"))`` rests from midnight to seven. Raises ``ScheduleError``.
    """

    def __init__(self, inner: Schedule, other: Schedule, lasting: str | timedelta | float = "1m") -> None:
        self.inner = inner
        self.other = other
        self._lasting = parse_duration(lasting, field="lasting")
        if self._lasting == 0:
            raise ScheduleError("lasting is nothing", field="lasting", cure='give a duration such as "1m"')

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_data`` wrote down."""
        return cls(from_data(data["inner"]), from_data(data["other"]), data["lasting"])

    @property
    def timezone(self) -> str | None:
        """The zone of ``inner``, if it has one."""
        return zone_of(self.inner)

    def next_us(self, after: int, anchor: int = 0) -> int | None:
        """Return the first fire time of ``inner`` strictly later than ``after`` that ``other`` does not cover.

        ``None`` if it covers all for 60 years. Raises ``ScheduleError`` where ``other`` covers more fire times in a
        row than can be searched.
        """
        first = found = self.inner.next_us(after, anchor)
        for _ in range(_STEPS):
            if first is None or found is None or found > first + HORIZON:
                return None
            covering = self._covering(found)
            if covering is None:
                return found
            found = self.inner.next_us(max(found, self._end(covering) - 1), anchor)
        raise ScheduleError(
            f"{self.other.describe()!r} leaves nothing of {self.inner.describe()!r} for {_STEPS} fire times on end",
            field="other",
            cure="let it fire less often and give lasting the length of a whole pause",
        )

    def why_excluded(self, instant: int) -> str | None:
        """Return why nothing of ``inner`` fires at this instant (microseconds), ``None`` if ``other`` leaves it."""
        return None if self._covering(instant) is None else f"covered by {self.other.describe()!r}"

    def to_data(self) -> dict[str, Any]:
        """Return ``{"kind": "except_when", "inner": …, "other": …, "lasting": "1m"}``."""
        return {
            "kind": "except_when",
            "inner": self.inner.to_data(),
            "other": self.other.to_data(),
            "lasting": duration_text(self._lasting),
        }

    def describe(self) -> str:
        """Say in English when this fires."""
        lasting = "" if self._lasting == MINUTE else f" for {duration_text(self._lasting)}"
        return f"{self.inner.describe()}, except{lasting} {self.other.describe()}"

    def resolve(self, *, name: str, timezone: str) -> Self:
        """Return this with both schedules as the entry uses them; refuse one that leaves nothing."""
        resolved = type(self)(
            self.inner.resolve(name=name, timezone=timezone),
            self.other.resolve(name=name, timezone=timezone),
            timedelta(microseconds=self._lasting),
        )
        if resolved.next_us(_REFERENCE) is None and resolved.inner.next_us(_REFERENCE) is not None:
            raise ScheduleError(
                f"{self.other.describe()!r} leaves nothing of {self.inner.describe()!r}",
                field="other",
                cure="let it cover less",
            )
        return resolved

    def _end(self, covering: int) -> int:
        """Return an instant up to which ``other`` covers everything from its fire time ``covering`` on."""
        end = covering + self._lasting
        return end if self._lasting < MINUTE else max(end, covered_until(self.other, covering))

    def _covering(self, instant: int) -> int | None:
        """Return a fire time of ``other`` that covers the instant: one at the instant itself rather than an earlier."""
        reaches = (self._lasting,) if self._lasting <= MINUTE else (1, self._lasting)
        for reach in reaches:
            found = self.other.next_us(instant - reach)
            if found is not None and found <= instant:
                return found
        return None


def with_calendars(schedule: Schedule, calendars: Mapping[str, Calendar]) -> Schedule:
    """Return the schedule with each calendar that it only names filled in, through all that wraps and is wrapped.

    Raises ``ScheduleError`` for a name that ``calendars`` does not have.
    """
    data = schedule.to_data()
    filled = _filled(data, calendars)
    return schedule if filled == data else from_data(filled)


def _filled(data: Mapping[str, Any], calendars: Mapping[str, Calendar]) -> dict[str, Any]:
    filled = dict(data)
    for part in ("inner", "other"):
        if isinstance(data.get(part), Mapping):
            filled[part] = _filled(data[part], calendars)
    name = data.get("calendar")
    if isinstance(name, str):
        if name not in calendars:
            known = ", ".join(sorted(calendars))
            raise ScheduleError(
                f"the calendar {name!r} is not known",
                field="calendar",
                cure=f"one of: {known}" if known else "define it first",
            )
        filled["calendar"] = calendars[name].to_data()
    return filled
