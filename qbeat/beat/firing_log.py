"""What the log says of firings: a line for each that went out, went back or was given up, a few for many skips."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from qbeat.beat.entries import Entry
from qbeat.beat.instants import iso
from qbeat.beat.publishing.base import Result, Verdict
from qbeat.store.records import Firing, Skip

logger = logging.getLogger("qbeat")

SKIPS_TOLD: Final = 20
"""Skips in one batch of claims that get a line of their own in the log."""


def log_fired(entry: Entry, firing: Firing, published_at: int) -> None:
    """Write the one line that each firing gets."""
    if not logger.isEnabledFor(logging.INFO):
        return
    late = (published_at - firing.fire_time) / 1_000
    logger.info(
        "%s (%s) fired for %s, %.0f ms late, id %s",
        *(entry.name, entry.task, iso(firing.fire_time), late, firing.task_id),
        extra={
            "entry": entry.name,
            "fire_time": iso(firing.fire_time),
            "task_id": firing.task_id,
            "lateness_ms": late,
        },
    )


def log_result(result: Result, *, final: bool) -> None:
    """Write how a try to publish ended; a failure is ``final`` if it is not tried again."""
    firing, entry = result.submission.firing, result.submission.entry
    if result.verdict is Verdict.PUBLISHED:
        log_fired(entry, firing, result.finished_at)
    elif result.verdict is Verdict.FAILED:
        ending = "given up" if final else "it is tried again"
        logger.error(
            "%s cannot be published for %s: %s (%s)", entry.name, iso(firing.fire_time), result.error, ending
        )
    elif result.error is not None:
        logger.warning("%s for %s waits in the outbox: %s", entry.name, iso(firing.fire_time), result.error)


def log_skips(skipped: Sequence[tuple[Entry, Skip]]) -> None:
    """Tell of skips: of the first ones each, of the others how many, for after an outage everything is late."""
    for entry, skip in skipped[:SKIPS_TOLD]:
        if skip.first == skip.last:
            logger.warning("%s: the fire time %s is %s.", entry.name, iso(skip.first), skip.reason)
        else:
            count = "many" if skip.count is None else skip.count
            logger.warning(
                "%s: %s fire times from %s to %s are %s.",
                *(entry.name, count, iso(skip.first), iso(skip.last), skip.reason),
            )
    if len(skipped) > SKIPS_TOLD:
        others = len({entry.name for entry, _ in skipped[SKIPS_TOLD:]})
        logger.warning("So it is with %d more entries; the history has each fire time.", others)
