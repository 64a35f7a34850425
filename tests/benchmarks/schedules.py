"""What a schedule costs: CPU time for the next fire time, beside croniter and Celery.

    python -m tests.benchmarks.schedules

Eight typical expressions in America/New_York, each asked at instants spread over a year with clock changes. The
table shows microseconds of CPU per question, the median of several rounds in which all sides take turns. Exit code
1 if qbeat is not at least 6 times cheaper than croniter and 3 times cheaper than Celery in the median, or if its
cost depends on how long ago the anchor was.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any, Final
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import crontab
from croniter import croniter

from qbeat.schedules import Cron, Interval
from qbeat.schedules.base import to_us
from qbeat.schedules.tzdb import database

EXPRESSIONS: Final = (
    "* * * * *",
    "*/5 * * * *",
    "0 * * * *",
    "30 4 * * *",
    "0 9-17 * * 1-5",
    "15 14 1 * *",
    "0 0 1,15 * 3",
    "0 0 29 2 *",
)
ZONE: Final = "America/New_York"
CRONITER_GOAL: Final = 6
CELERY_GOAL: Final = 3
ROUNDS: Final = 7
QUESTIONS: Final = 400
YEARS_AGO: Final = (0, 1, 10, 50)
FLAT: Final = 2
"""An anchor of long ago may cost this many times what one of today costs before it counts as slower (noise)."""

Ask = Callable[[datetime], Any]


@dataclass(frozen=True)
class Row:
    """Microseconds of CPU per question for one expression."""

    expression: str
    instant: float
    ours: float
    croniter: float
    celery: float


def main() -> int:
    """Print the tables and return the exit code."""
    tz_database = database()
    print(f"{ZONE}, {tz_database.source} {tz_database.version}, Python {sys.version.split()[0]}")
    print("microseconds of CPU per question, median of", ROUNDS, "rounds\n")
    rows = [measure(expression) for expression in EXPRESSIONS]
    fine = report(rows)
    return 0 if report_anchors() and fine else 1


def measure(expression: str) -> Row:
    """Return what each side takes for one expression."""
    asked = instants()
    ours = Cron(expression, ZONE)
    microseconds = [to_us(at) for at in asked]
    sides: list[tuple[Callable[[Any], Any], list[Any]]] = [
        (ours.next_us, microseconds),
        (ours.next_after, asked),
        (croniter_side(expression), asked),
        (celery_side(expression), asked),
    ]
    rounds = [[cpu(ask, values) for ask, values in sides] for _ in range(ROUNDS)]
    return Row(expression, *(median(side) for side in zip(*rounds, strict=True)))


def instants() -> list[datetime]:
    """Return instants over one year, in the zone as a scheduler of that zone would hold them."""
    start = datetime(2026, 1, 1, 0, 7, 30, tzinfo=UTC)
    step = timedelta(days=365) / QUESTIONS
    return [(start + n * step).astimezone(ZoneInfo(ZONE)) for n in range(QUESTIONS)]


def croniter_side(expression: str) -> Ask:
    """Return croniter's question, on an object that is built once."""
    walker = croniter(expression, datetime(2026, 1, 1, tzinfo=ZoneInfo(ZONE)))
    return lambda at: walker.get_next(datetime, start_time=at)


def celery_side(expression: str) -> Ask:
    """Return Celery's question, on an object that is built once."""
    minute, hour, day, month, weekday = expression.split(" ")
    kind = crontab(minute, hour, weekday, day, month, app=Celery(set_as_current=False))
    kind.tz = ZoneInfo(ZONE)
    now = datetime(2026, 6, 1, tzinfo=ZoneInfo(ZONE))
    kind.nowfun = lambda: now
    ask: Ask = kind.remaining_estimate
    return ask


def cpu(ask: Callable[[Any], Any], values: list[Any]) -> float:
    """Return microseconds of this thread's CPU per question."""
    begin = time.thread_time()
    for value in values:
        ask(value)
    return (time.thread_time() - begin) / len(values) * 1e6


def report(rows: list[Row]) -> bool:
    """Print the comparison and return whether the goals are met."""
    print(
        f"{'expression':18}{'next_us':>9}{'next_after':>12}{'croniter':>10}{'times':>7}{'Celery':>9}{'times':>7}"
    )
    for row in rows:
        print(
            f"{row.expression:18}{row.instant:9.2f}{row.ours:12.2f}{row.croniter:10.1f}"
            f"{row.croniter / row.ours:7.1f}{row.celery:9.1f}{row.celery / row.ours:7.1f}"
        )
    over_croniter = median(row.croniter / row.ours for row in rows)
    over_celery = median(row.celery / row.ours for row in rows)
    fine = over_croniter >= CRONITER_GOAL and over_celery >= CELERY_GOAL
    print(
        f"\nnext_after, median of the eight: {over_croniter:.1f} times cheaper than croniter's get_next"
        f" (goal {CRONITER_GOAL}), {over_celery:.1f} times cheaper than Celery's remaining_estimate"
        f" (goal {CELERY_GOAL}): {'reached' if fine else 'MISSED'}"
    )
    return fine


def report_anchors() -> bool:
    """Print what the age of the anchor costs and return whether it costs nothing."""
    kinds: dict[str, Any] = {
        "every 5 minutes": Interval(300),
        "every day, relative": Interval(timedelta(days=1), relative=True, timezone=ZONE),
        "*/5 * * * *": Cron("*/5 * * * *", ZONE),
        "30 4 * * *": Cron("30 4 * * *", ZONE),
    }
    after = to_us(datetime(2026, 6, 1, 12, 1, tzinfo=UTC))
    anchors = [after - years * 365 * 86_400_000_000 for years in YEARS_AGO]
    header = "".join(f"{f'{years} years':>10}" for years in YEARS_AGO)
    print(f"\nnext_us with an anchor of so long ago\n{'':22}{header}")
    fine = True
    for label, kind in kinds.items():
        ask = partial(kind.next_us, after)
        rounds = [[cpu(ask, [at] * QUESTIONS) for at in anchors] for _ in range(ROUNDS)]
        costs = [median(side) for side in zip(*rounds, strict=True)]
        flat = max(costs) <= FLAT * costs[0]
        fine = fine and flat
        print(f"{label:22}" + "".join(f"{cost:10.2f}" for cost in costs) + ("" if flat else "  GROWS"))
    return fine


if __name__ == "__main__":
    sys.exit(main())
