"""RRULE: the recurrences of RFC 5545, each local time by the rule across clock changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any, Final, Self

from qbeat.schedules.base import LATEST, Schedule, ScheduleError
from qbeat.schedules.codec import from_data
from qbeat.schedules.dst import LocalTimes, checked_fold, checked_gap, next_instant
from qbeat.schedules.recurrence import Recurrence
from qbeat.schedules.rrule_text import RecurrenceText, Stamp, parse, until_of
from qbeat.schedules.rrule_words import describe
from qbeat.schedules.zones import DAY, Zone, zone, zone_name

_EXCLUDED_IN_A_ROW: Final = 100_000


class RRule(Schedule):
    """Fires by RFC 5545 text: lines of ``DTSTART``, ``RRULE``, ``RDATE`` and ``EXDATE``.

    The rule counts in local time: in the zone of ``DTSTART`` (``TZID=`` or ``Z``), else in ``timezone``, else in the
    app's. Each local time happens once, one that the clock skips when it comes out of the gap, one that it shows
    twice on the first pass; ``fold="every"`` and ``gap="skip"`` are the exceptions, as for crontabs. Raises
    ``ScheduleError``, also for a rule that can never fire.
    """

    def __init__(
        self, text: str, timezone: str | tzinfo | None = None, *, fold: str = "once", gap: str = "fire"
    ) -> None:
        if not isinstance(text, str):
            raise ScheduleError(f"text is {text!r}", field="text", cure="give RFC 5545 text")
        said = parse(text)
        self._said = said
        self.rule_text = "\n".join(said.lines)
        self.timezone = _zone_of(said.start, zone_name(timezone))
        self.fold = checked_fold(fold)
        self.gap = checked_gap(gap)
        self._zone = zone(self.timezone or "UTC")
        self._times = _Times(said, self._zone)
        if self.timezone and self.next_us(_instant(said.start, self._zone) - DAY) is None and not said.extra:
            raise ScheduleError(
                "UNTIL or EXDATE leave nothing of the rule: this can never fire",
                field="text",
                cure="correct them",
            )

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_data`` wrote down."""
        return cls(**{name: value for name, value in data.items() if name != "kind"})

    def next_us(self, after: int, anchor: int = 0) -> int | None:  # noqa: ARG002 - the contract of every schedule
        """Return the first fire time strictly later than ``after``, in microseconds since the epoch."""
        times = self._times
        for _ in range(_EXCLUDED_IN_A_ROW):
            found = next_instant(self._zone, times.next_wall, after, fold=self.fold, gap=self.gap)
            found = times.sooner(found, after)
            if found is None or found > LATEST:
                return None
            if found not in times.excluded_instants:
                return found
            after = found
        return None

    @property
    def local_times(self) -> LocalTimes:
        """The local times of the rule and how clock changes are taken."""
        return LocalTimes(self._zone, self._times.next_wall, fold=self.fold, gap=self.gap)

    def to_data(self) -> dict[str, Any]:
        """Return ``{"kind": "rrule", "text": …, "timezone": …}``."""
        data: dict[str, Any] = {"kind": "rrule", "text": self.rule_text, "timezone": self.timezone}
        if self.fold != "once":
            data["fold"] = self.fold
        return data | {"gap": self.gap} if self.gap != "fire" else data

    def describe(self) -> str:
        """Say in English when this fires."""
        return describe(self._said) + (f" ({self.timezone})" if self.timezone else "")

    def resolve(self, *, name: str, timezone: str) -> Self:  # noqa: ARG002 - the contract of every schedule
        """Return this in ``timezone`` unless it has a zone of its own."""
        return self if self.timezone else self.from_data(self.to_data() | {"timezone": timezone})

    def __reduce__(self) -> tuple[Callable[..., Schedule], tuple[dict[str, Any]]]:
        return from_data, (self.to_data(),)


class _Times:
    """What a recurrence names in one zone: local times (walls), and single instants added or taken away."""

    def __init__(self, said: RecurrenceText, where: Zone) -> None:
        start = _local(said.start, where)
        self._rules = [(Recurrence(rule, start), _last_wall(until_of(rule), where)) for rule in said.rules]
        first = () if said.rules else (said.start,)
        self._walls = sorted(
            {_local(stamp, where) for stamp in (*first, *said.extra) if _is_local(stamp, where)}
        )
        self._instants = sorted({stamp.instant() for stamp in said.extra if not _is_local(stamp, where)})
        self._excluded_days = {stamp.wall // DAY for stamp in said.excluded if stamp.whole_day}
        timed = [stamp for stamp in said.excluded if not stamp.whole_day]
        self._excluded = {stamp.wall for stamp in timed if _is_local(stamp, where)}
        self.excluded_instants = {stamp.instant() for stamp in timed if not _is_local(stamp, where)}

    def next_wall(self, after: int) -> int | None:
        """Return the first local time strictly later than the wall ``after`` that is not excluded."""
        for _ in range(_EXCLUDED_IN_A_ROW):
            found = self._next_named(after)
            if found is None or not (found in self._excluded or found // DAY in self._excluded_days):
                return found
            after = found
        return None

    def sooner(self, found: int | None, after: int) -> int | None:
        """Return ``found`` or the next added instant, whichever comes first."""
        i = bisect_right(self._instants, after)
        added = self._instants[i] if i < len(self._instants) else None
        return min((at for at in (found, added) if at is not None), default=None)

    def _next_named(self, after: int) -> int | None:
        i = bisect_right(self._walls, after)
        soonest = self._walls[i] if i < len(self._walls) else None
        for rule, last in self._rules:
            found = rule.next_wall(after)
            if found is not None and (last is None or found <= last) and (soonest is None or found < soonest):
                soonest = found
        return soonest


def _zone_of(start: Stamp, given: str | None) -> str | None:
    if start.zone and given and start.zone != given:
        raise ScheduleError(
            f"DTSTART is in {start.zone}, but timezone is {given}",
            field="timezone",
            cure="give one of them: a DTSTART without Z and TZID counts in timezone",
        )
    return start.zone or given


def _is_local(stamp: Stamp, where: Zone) -> bool:
    return stamp.zone is None or stamp.zone == where.name


def _instant(stamp: Stamp, where: Zone) -> int:
    return where.first_instant(stamp.wall) if _is_local(stamp, where) else stamp.instant()


def _local(stamp: Stamp, where: Zone) -> int:
    return stamp.wall if _is_local(stamp, where) else where.high_water(stamp.instant())


def _last_wall(until: Stamp | None, where: Zone) -> int | None:
    """Return the last local time that UNTIL allows: a date all day, an instant what the clock has shown by then."""
    if until is None:
        return None
    return until.wall + DAY - 1 if until.whole_day else _local(until, where)
