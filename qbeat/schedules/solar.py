"""Solar events: dawn, sunrise, noon, sunset and dusk at a place, as Celery names and computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, timedelta
from functools import lru_cache
from importlib import import_module
from math import isfinite
from typing import Any, Final, NamedTuple, Self

from qbeat.schedules.base import LATEST, SECOND, Schedule, ScheduleError, from_us, to_us
from qbeat.schedules.codec import from_data
from qbeat.schedules.zones import DAY


class _Event(NamedTuple):
    horizon: str  # degrees above the ideal horizon, as ephem writes angles
    rising: bool
    centre: bool  # of the sun's disc, or its upper limb
    words: str


EVENTS: Final[Mapping[str, _Event | None]] = {
    "dawn_astronomical": _Event("-18", rising=True, centre=True, words="astronomical dawn"),
    "dawn_nautical": _Event("-12", rising=True, centre=True, words="nautical dawn"),
    "dawn_civil": _Event("-6", rising=True, centre=True, words="civil dawn"),
    "sunrise": _Event("-0:34", rising=True, centre=False, words="sunrise"),
    "solar_noon": None,
    "sunset": _Event("-0:34", rising=False, centre=False, words="sunset"),
    "dusk_civil": _Event("-6", rising=False, centre=True, words="civil dusk"),
    "dusk_nautical": _Event("-12", rising=False, centre=True, words="nautical dusk"),
    "dusk_astronomical": _Event("-18", rising=False, centre=True, words="astronomical dusk"),
}
"""Celery's names; ``solar_noon`` is the sun's transit and has no horizon."""

_SEARCH_DAYS: Final = 400
"""Every event happens at least once a year wherever it happens at all."""
_LAST_DAY: Final = LATEST // DAY - 1
"""The sun is not followed into the last days that a clock can show: it is computed from beyond them."""

_NARROW: Final = 1e-8  # days: a millisecond, well below the second that fire times are rounded to


class Solar(Schedule):
    """Fires at an event of the sun at latitude ``lat`` (north positive) and longitude ``lon`` (east positive), degrees.

    ``event`` is one of ``EVENTS``. Fire times are those of Celery's ``solar`` rounded to the whole second, since
    below it two machines' mathematics need not agree. A day on which the event does not happen has no fire time.
    Needs the ``ephem`` package once it is resolved or asked. Raises ``ScheduleError``.
    """

    def __init__(self, event: str, lat: float, lon: float) -> None:
        if event not in EVENTS:
            raise ScheduleError(
                f"event is {event!r}, which is no solar event",
                field="event",
                cure=f"one of: {', '.join(EVENTS)}",
            )
        self.event = event
        self.lat = _degrees("lat", lat, 90)
        self.lon = _degrees("lon", lon, 180)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_data`` wrote down."""
        return cls(data["event"], data["lat"], data["lon"])

    def next_us(self, after: int, anchor: int = 0) -> int | None:  # noqa: ARG002 - the contract of every schedule
        """Return the first event strictly later than ``after``, ``None`` if there is none within 400 days."""
        today = (after + self._shift) // DAY
        for day in range(today - 1, min(today + _SEARCH_DAYS, _LAST_DAY)):
            for found in _events_of(self.event, self.lat, self.lon, day):
                if found > after:
                    return found
        return None

    def to_data(self) -> dict[str, Any]:
        """Return ``{"kind": "solar", "event": …, "lat": …, "lon": …}``."""
        return {"kind": "solar", "event": self.event, "lat": self.lat, "lon": self.lon}

    def describe(self) -> str:
        """Say in English when this fires."""
        event = EVENTS[self.event]
        north, east = "N" if self.lat >= 0 else "S", "E" if self.lon >= 0 else "W"
        place = f"{abs(self.lat):g}° {north}, {abs(self.lon):g}° {east}"
        return f"at {event.words if event else 'solar noon'} at {place}"

    def resolve(self, *, name: str, timezone: str) -> Self:  # noqa: ARG002 - the contract of every schedule
        """Return this schedule, or raise ``ScheduleError`` if ``ephem`` is not installed."""
        _ephem()
        return self

    def __reduce__(self) -> tuple[Callable[..., Schedule], tuple[dict[str, Any]]]:
        return from_data, (self.to_data(),)

    @property
    def _shift(self) -> int:
        """How far mean solar time here is ahead of UTC, in microseconds."""
        return _shift(self.lon)


def _shift(lon: float) -> int:
    return round(lon / 360 * DAY)


def _degrees(name: str, value: object, limit: int) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not isfinite(value)
        or abs(value) > limit
    ):
        raise ScheduleError(f"{name} is {value!r}", field=name, cure=f"give degrees from {-limit} to {limit}")
    return float(value)


@lru_cache(maxsize=4096)
def _events_of(event: str, lat: float, lon: float, day: int) -> tuple[int, ...]:
    """Return the fire times of one solar day: from the midnight that begins the mean solar day ``day`` to the next.

    The day, not the instant of the question, is what the computation starts from: so every question about the same
    event gets the same answer to the microsecond.
    """
    sky = _Sky(EVENTS[event], lat, lon)
    return sky.events(day * DAY - _shift(lon))


class _Sky:
    """The sun over one place, in ephem's days."""

    def __init__(self, event: _Event | None, lat: float, lon: float) -> None:
        ephem = _ephem()
        self._event = event
        self._ephem = ephem
        self._sun = ephem.Sun()
        self._place = ephem.Observer()
        self._place.lat, self._place.lon = str(lat), str(lon)
        self._place.elevation, self._place.pressure = 0, 0
        self._horizon = float(ephem.degrees(event.horizon)) if event else 0.0

    def events(self, midnight: int) -> tuple[int, ...]:
        """Return the fire times of the solar day that begins near this instant, in microseconds."""
        low = self._transit("next_antitransit", midnight - DAY // 4)
        noon = self._transit("next_transit", midnight + DAY // 4)
        if self._event is None:
            return (self._fire_time(noon),)
        end = self._transit("next_antitransit", midnight + 3 * DAY // 4)
        crossings = (self._crossing(low, noon), self._crossing(noon, end))
        return tuple(self._fire_time(at) for at in crossings if at is not None)

    def _transit(self, which: str, start: int) -> float:
        start_date = self._ephem.Date(from_us(start).replace(tzinfo=None))
        return float(getattr(self._place, which)(self._sun, start=start_date))

    def _crossing(self, low: float, high: float) -> float | None:
        """Return when the sun crosses the horizon in the event's direction between two of its extremes, if it does."""
        if self._is_past(low) or not self._is_past(high):
            return None
        while high - low > _NARROW:
            middle = (low + high) / 2
            if self._is_past(middle):
                high = middle
            else:
                low = middle
        return high

    def _is_past(self, date: float) -> bool:
        """Whether the sun is on that side of the horizon on which it is after the event."""
        assert self._event is not None
        self._place.date = date
        self._sun.compute(self._place)
        height = float(self._sun.alt) - self._horizon
        if not self._event.centre:
            height += float(self._sun.radius)
        return (height >= 0) == self._event.rising

    def _fire_time(self, date: float) -> int:
        at = self._ephem.Date(date).datetime() + timedelta(microseconds=SECOND // 2)
        return to_us(at.replace(microsecond=0, tzinfo=UTC))


def _ephem() -> Any:
    try:
        return import_module("ephem")
    except ImportError:
        raise ScheduleError(
            "solar schedules need the package ephem, which is not installed",
            cure='pip install "qbeat[solar]"',
        ) from None
