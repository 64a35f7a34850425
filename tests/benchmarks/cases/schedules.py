"""What a schedule costs: CPU time for the next fire time, beside croniter and Celery."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
from tests.benchmarks.results import Part, Row, Sizes, at_least, at_most

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
ROUNDS: Final = 7
QUESTIONS: Final = 400
YEARS_AGO: Final = (1, 10, 50)

Ask = Callable[[datetime], Any]


@dataclass(frozen=True)
class Costs:
    """Microseconds of CPU per question for one expression."""

    expression: str
    instant: float
    ours: float
    croniter: float
    celery: float


def run(_sizes: Sizes) -> Part:
    """Compare qbeat with croniter and Celery's crontab."""
    tz_database = database()
    found = [measure(expression) for expression in EXPRESSIONS]
    return Part(
        "Schedules",
        f"Eight typical expressions in {ZONE} ({tz_database.source} {tz_database.version}), each asked for the next "
        f"fire time at {QUESTIONS} instants spread over a year with clock changes: microseconds of CPU per question, "
        f"the median of {ROUNDS} rounds in which all sides take turns. `next_us` is what the scheduler asks, in "
        "microseconds since the epoch, `next_after` the same with datetimes, as croniter's `get_next` and Celery's "
        "`remaining_estimate` have them; *times*: their cost in costs of `next_after`. The goals are medians of the "
        f"eight. *Age*: the cost with an anchor of {YEARS_AGO[-1]} years ago against one of last year, the worst of four "
        "kinds of schedules; more than twice would be more than noise.",
        [_row(costs) for costs in found],
        [
            at_least("croniter's get_next against next_after", median(_times(found, "croniter")), 6),
            at_least("Celery's remaining_estimate against next_after", median(_times(found, "celery")), 3),
            at_most("age", _growth(), 2),
        ],
    )


def _row(costs: Costs) -> Row:
    return {
        "": f"`{costs.expression}`",
        "next_us": costs.instant,
        "next_after": costs.ours,
        "croniter": costs.croniter,
        "times": costs.croniter / costs.ours,
        "Celery": costs.celery,
        "times ": costs.celery / costs.ours,
    }


def _times(found: Sequence[Costs], side: str) -> list[float]:
    return [getattr(costs, side) / costs.ours for costs in found]


def measure(expression: str) -> Costs:
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
    return Costs(expression, *(median(side) for side in zip(*rounds, strict=True)))


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


def _growth() -> float:
    """Return how many times more the next fire time costs with the oldest anchor, for the worst kind."""
    kinds: tuple[Any, ...] = (
        Interval(300),
        Interval(timedelta(days=1), relative=True, timezone=ZONE),
        Cron("*/5 * * * *", ZONE),
        Cron("30 4 * * *", ZONE),
    )
    after = to_us(datetime(2026, 6, 1, 12, 1, tzinfo=UTC))
    anchors = [after - years * 365 * 86_400_000_000 for years in YEARS_AGO]
    worst = 0.0
    for kind in kinds:
        ask = partial(kind.next_us, after)
        rounds = [[cpu(ask, [at] * QUESTIONS) for at in anchors] for _ in range(ROUNDS)]
        costs = [median(side) for side in zip(*rounds, strict=True)]
        worst = max(worst, max(costs) / costs[0])
    return worst
