"""What must hold for every schedule, whatever its kind."""

from __future__ import annotations

import json
import pickle

from qbeat.schedules import Schedule
from qbeat.schedules.codec import from_data


def assert_orderly(schedule: Schedule, first: int, second: int) -> None:
    """Assert progress, monotony and stability of the answers at two instants (microseconds)."""
    first, second = sorted((first, second))
    following, later = schedule.next_us(first), schedule.next_us(second)
    assert following is None or following > first
    assert later is None or later > second
    if following is None:
        assert later is None
    elif second < following:
        assert later == following
    else:
        assert later is None or later > following
        assert schedule.next_us(following - 1) == following


def assert_splits(schedule: Schedule, begin: int, middle: int, end: int) -> None:
    """Assert that the fire times of a stretch are those of its two parts."""
    begin, middle, end = sorted((begin, middle, end))
    whole = fire_times(schedule, begin, end)
    assert whole == fire_times(schedule, begin, middle) + fire_times(schedule, middle, end)


def assert_comes_back(schedule: Schedule) -> None:
    """Assert that plain data, a pickle and a second resolution give the same schedule again."""
    assert schedule.describe()
    data = schedule.to_data()
    again = from_data(json.loads(json.dumps(data)))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert again.to_data() == data
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    resolved = schedule.resolve(name="entry", timezone="Europe/Berlin")
    assert resolved.resolve(name="entry", timezone="Asia/Tokyo") == resolved


def fire_times(schedule: Schedule, after: int, until: int, limit: int = 2000) -> list[int]:
    """Return the fire times in ``(after, until]``, at most ``limit`` of them."""
    found: list[int] = []
    following = schedule.next_us(after)
    while following is not None and following <= until and len(found) < limit:
        found.append(following)
        following = schedule.next_us(following)
    return found
