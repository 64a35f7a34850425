"""What schedules that wrap another one have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from qbeat.schedules.base import Schedule
from qbeat.schedules.codec import from_data


class Wrapping(Schedule):
    """A schedule whose fire times come from ``inner``."""

    inner: Schedule

    def __reduce__(self) -> tuple[Callable[..., Schedule], tuple[dict[str, Any]]]:
        return from_data, (self.to_data(),)


def layers(schedule: Schedule) -> Iterator[Schedule]:
    """Yield the schedule, then what it wraps, inwards."""
    yield schedule
    while isinstance(schedule, Wrapping):
        schedule = schedule.inner
        yield schedule


def innermost(schedule: Schedule) -> Schedule:
    """Return what is left when all that wraps it is taken away: the schedule itself if nothing does."""
    *_, found = layers(schedule)
    return found


def zone_of(schedule: Schedule) -> str | None:
    """Return the name of the zone that the schedule has of its own, ``None`` until it is resolved."""
    found = getattr(schedule, "timezone", None)
    return found if isinstance(found, str) else None
