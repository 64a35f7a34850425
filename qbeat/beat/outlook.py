"""When an entry fires next, and whether what the store says about it still holds."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from qbeat.beat.entries import Entry
from qbeat.schedules.bounds import firings_left, max_runs_of
from qbeat.schedules.interval import Interval
from qbeat.schedules.wrapping import Wrapping
from qbeat.store.records import EntryRecord

logger = logging.getLogger("qbeat.registry")


class Outlook(NamedTuple):
    """What is to come of an entry, in microseconds since the epoch; twice ``None`` where nothing is."""

    next_fire_time: int | None
    due_at: int | None
    """When to look at the entry: its next fire time plus jitter."""


NOTHING: Final = Outlook(None, None)


def outlook(entry: Entry, uid: str, *, cursor: int, anchor: int, fired: int = 0) -> Outlook:
    """Return what comes after the cursor of an entry that has fired ``fired`` times."""
    schedule = entry.schedule
    if isinstance(schedule, Wrapping) and firings_left(max_runs_of(schedule), fired) == 0:
        return NOTHING
    try:
        upcoming = schedule.next_us(cursor, anchor)
        return Outlook(upcoming, entry.policies.due_at(uid, schedule, upcoming, anchor))
    except Exception:
        # A schedule of the user's own may raise anything; the scheduler asks it again.
        logger.exception("entry %r: its schedule cannot say when it fires.", entry.name)
        return Outlook(None, cursor)


def is_outdated(entry: Entry, record: EntryRecord) -> bool:
    """Whether the schedule, though its data are those of the record, gives another next fire time today.

    What it says may rest on more than its data: on the tz database, on the package ``holidays``, on code of
    the user's or of qbeat's. Only an interval is mere arithmetic. One that cannot say leaves all as it is.
    """
    schedule = entry.schedule
    if type(schedule) is Interval and not schedule.relative:
        return False
    try:
        if schedule.next_us(record.cursor, record.anchor) == record.next_fire_time:
            return False
        return firings_left(max_runs_of(schedule), record.total_run_count) != 0
    except Exception:
        logger.exception("entry %r: its schedule cannot say whether it fires as it did.", entry.name)
        return False


def owes(record: EntryRecord, now: int) -> bool:
    """Whether a fire time of the entry has come that is not accounted for, by what the store says."""
    waits_for = record.due_at if record.next_fire_time is None else record.next_fire_time
    return waits_for is not None and waits_for <= now
