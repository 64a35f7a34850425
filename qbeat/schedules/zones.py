"""Time zones as integer arithmetic: between instants and wall clocks, in microseconds.

An *instant* is microseconds since the Unix epoch in UTC. A *wall* is what a local clock shows, written as the
microseconds that the same reading would have as an instant in UTC. ``local(instant) = instant + offset``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from qbeat.schedules.base import EPOCH, SECOND, ScheduleError
from qbeat.schedules.tzdb import database

MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_CHUNK_BITS: Final = 45  # 2**45 µs are 407 days
_MARGIN: Final = 3 * DAY  # more than two offsets, which stay below a day each, can reach
_SAMPLE: Final = DAY  # no zone has changed its offset twice within six days
_FIRST_PROBE: Final = -(2**55)  # year 828; before it the first known offset holds
_LAST_PROBE: Final = 2**57  # year 6537; after it the last probed offset holds
_BEFORE_ALL: Final = -(2**62)
_AFTER_ALL: Final = 2**62

_FIXED: Final = re.compile(r"UTC([+-])(\d\d):(\d\d)(?::(\d\d))?")


class Change(NamedTuple):
    """One change of a zone's offset: at ``instant``, the local clock goes from ``before`` to ``after`` (walls)."""

    instant: int
    before: int
    after: int

    @property
    def forward(self) -> bool:
        """Whether the clock skips walls here (a gap) rather than repeats them (a fold)."""
        return self.after > self.before


class _Chunk(NamedTuple):
    """The offsets of about a year: segment ``i`` begins at ``starts[i]`` and has ``offsets[i]``.

    ``floors[i]`` is the latest wall that the clock showed before the segment began.
    """

    starts: list[int]
    offsets: list[int]
    floors: list[int]


class Zone:
    """A time zone by its name; ``zone(name)`` hands out one shared object for each."""

    __slots__ = ("_chunks", "_info", "name")

    def __init__(self, name: str, info: tzinfo) -> None:
        self.name = name
        self._info = info
        self._chunks: dict[int, _Chunk] = {}

    def __repr__(self) -> str:
        return f"zone({self.name!r})"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return zone, (self.name,)

    def offset(self, instant: int) -> int:
        """Return how far the local clock is ahead of UTC at this instant, in microseconds."""
        starts, offsets, _ = self._chunk(instant)
        return offsets[bisect_right(starts, instant) - 1]

    def local(self, instant: int) -> int:
        """Return the wall that the local clock shows at this instant."""
        return instant + self.offset(instant)

    def high_water(self, instant: int) -> int:
        """Return the latest wall that the local clock has shown up to this instant, this one included."""
        starts, offsets, floors = self._chunk(instant)
        i = bisect_right(starts, instant) - 1
        local = instant + offsets[i]
        floor = floors[i]
        return local if local > floor else floor  # noqa: FURB136 - a call costs more than the rest

    def first_instant(self, wall: int) -> int:
        """Return the first instant at which the local clock shows this wall or a later one."""
        earliest = wall - DAY
        starts, offsets, _ = self._chunk(earliest)
        i = bisect_right(starts, earliest)
        last = len(starts)
        while i < last:
            found = wall - offsets[i - 1]
            if found < starts[i]:
                return found if found > starts[i - 1] else starts[i - 1]  # noqa: FURB136 - as above
            i += 1
        found = wall - offsets[-1]
        return max(found, starts[-1])

    def instants(self, wall: int) -> list[int]:
        """Return every instant at which the local clock shows exactly this wall: none in a gap, two in a fold."""
        starts, offsets, _ = self._chunk(wall - DAY)
        ends = [*starts[1:], _AFTER_ALL]
        found = (wall - offset for offset in offsets)
        return [at for at, start, end in zip(found, starts, ends, strict=True) if start <= at < end]

    def stretch(self, instant: int) -> tuple[int, int]:
        """Return the offset at this instant and until when it is known to hold.

        That is the next change of the offset or, where none is near, a bound at least two days ahead.
        """
        starts, offsets, _ = self._chunk(instant)
        i = bisect_right(starts, instant)
        end = starts[i] if i < len(starts) else (((instant >> _CHUNK_BITS) + 1) << _CHUNK_BITS) + _MARGIN - 1
        return offsets[i - 1], end

    def changes(self, after: int, until: int) -> list[Change]:
        """Return the offset changes in ``(after, until]``."""
        found = []
        before, end = self.stretch(after)
        while end <= until:
            now, following = self.stretch(end)
            if now != before:
                found.append(Change(end, end + before, end + now))
            before, end = now, following
        return found

    def _chunk(self, instant: int) -> _Chunk:
        index = instant >> _CHUNK_BITS
        chunk = self._chunks.get(index)
        if chunk is None:
            chunk = self._chunks[index] = self._build(index)
        return chunk

    def _build(self, index: int) -> _Chunk:
        begin = (index << _CHUNK_BITS) - _MARGIN
        end = ((index + 1) << _CHUNK_BITS) + _MARGIN
        starts, offsets, floors = [begin], [self._probe(begin)], [_BEFORE_ALL]
        for start, stop in pairwise((*range(begin, end, _SAMPLE), end)):
            if self._probe(stop) != offsets[-1]:
                change = self._first_change(start, stop)
                floors.append(max(floors[-1], change - 1 + offsets[-1]))
                starts.append(change)
                offsets.append(self._probe(change))
        return _Chunk(starts, offsets, floors)

    def _first_change(self, start: int, stop: int) -> int:
        """Return the first instant in ``(start, stop]`` whose offset differs from that of ``start``."""
        old = self._probe(start)
        while stop - start > 1:
            middle = (start + stop) // 2
            if self._probe(middle) == old:
                start = middle
            else:
                stop = middle
        return stop

    def _probe(self, instant: int) -> int:
        within = min(max(instant, _FIRST_PROBE), _LAST_PROBE)
        offset = (EPOCH + timedelta(microseconds=within)).astimezone(self._info).utcoffset()
        return offset // timedelta(microseconds=1) if offset is not None else 0


def zone(name: str) -> Zone:
    """Return the time zone of this name in the tz database (``"Europe/Berlin"``, ``"UTC"``, ``"UTC+02:00"``).

    Raises ``ScheduleError`` for a name that the database does not have.
    """
    if not isinstance(name, str):
        raise _unknown(name)
    return _zone(name)


@cache
def _zone(name: str) -> Zone:
    return Zone(name, _fixed(name) or _named(name))


def zone_name(timezone_: str | tzinfo | None) -> str | None:
    """Return the checked name of a time zone given by name or as an object (``zoneinfo``, ``datetime``, pytz)."""
    if timezone_ is None:
        return None
    if isinstance(timezone_, str):
        return zone(timezone_).name
    if isinstance(timezone_, timezone):
        return zone(str(timezone_)).name
    for attribute in ("key", "zone"):
        name = getattr(timezone_, attribute, None)
        if isinstance(name, str):
            return zone(name).name
    raise ScheduleError(
        f"the time zone {timezone_!r} has no name in the tz database",
        field="timezone",
        cure='give a name like "Europe/Berlin"',
    )


def _fixed(name: str) -> tzinfo | None:
    if name == "UTC":
        return UTC
    match = _FIXED.fullmatch(name)
    if match is None:
        return None
    sign, hours, minutes, seconds = match.groups(default="0")
    ahead = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))
    if ahead >= timedelta(days=1):
        raise ScheduleError(
            f"{name!r} is a day or more from UTC", field="timezone", cure="give less than 24 hours"
        )
    return timezone(ahead if sign == "+" else -ahead)


def _named(name: str) -> tzinfo:
    database()  # decides once which tz database is read
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise _unknown(name) from None


def _unknown(name: object) -> ScheduleError:
    close = get_close_matches(str(name)[:100], available_timezones(), n=1)
    return ScheduleError(
        f"the tz database has no time zone {name!r}",
        field="timezone",
        cure=f"did you mean {close[0]!r}?" if close else 'give a name like "Europe/Berlin"',
    )


def wall_of(naive: datetime) -> int:
    """Return a naive local datetime as a wall in microseconds."""
    return (naive.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def naive_of(wall: int) -> datetime:
    """Return a wall as a naive local datetime."""
    return (EPOCH + timedelta(microseconds=wall)).replace(tzinfo=None)
