"""Results as text: tables for the terminal, and a page made anew from all that was measured so far.

The figures lie in a JSON file beside the page, so that a run of one case leaves the others as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.benchmarks.results import Figure, Goal, Part, Row

_HEAD: Final = """\
# Benchmarks

Written by `make bench WRITE=docs/benchmarks.md`; `make bench CASE="burst rabbitmq"` measures some of the cases,
`ENTRIES=1000 REPEATS=1 SECONDS=5` makes them small. The code is in `tests/benchmarks`.

qbeat and those it is compared with run in turn, in the same run, on the same machine and the same servers, each as
a process of its own that is started as its users start it, with `-l WARNING` and with the same app. Rivals come
from PyPI into an environment of their own (`.venv-bench`). CPU time is what Linux counts for the whole process, all
of its threads included; servers are not counted. Where there are several rounds, figures are medians. A rival that
would take minutes is watched for a window of some seconds, and its rate is what it sent in it. What counts are the
ratios: the figures themselves change with the machine and with whatever else it does."""


@dataclass(frozen=True)
class Record:
    """A part, when and where it was measured, and the versions of all that took part."""

    part: Part
    day: str
    machine: str
    versions: Mapping[str, str]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return what ``asdict`` made plain."""
        fields = dict(plain["part"])
        goals = [Goal(**goal) for goal in fields.pop("goals")]
        return cls(Part(**fields, goals=goals), plain["day"], plain["machine"], plain["versions"])


def rendered(part: Part) -> str:
    """Return a part as Markdown, without its title."""
    goals = [table([_goal_row(goal) for goal in part.goals])] if part.goals else []
    return "\n\n".join([part.method, table(part.rows), *goals])


def page(records: Iterable[Record]) -> str:
    """Return the whole page."""
    listed = list(records)
    parts = [f"## {record.part.title}\n\n{rendered(record.part)}" for record in listed]
    return "\n\n".join([_HEAD, _summary(listed), *parts, _machines(listed)]) + "\n"


def write(path: Path, name: str, record: Record, order: Sequence[str]) -> None:
    """Put a case's record into the JSON file beside the page, and make the page anew, its parts in this order."""
    beside = path.with_suffix(".json")
    known: dict[str, Any] = json.loads(beside.read_text()) if beside.exists() else {}
    known[name] = asdict(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    path.write_text(page(Record.from_plain(known[each]) for each in order if each in known))


def table(rows: Sequence[Row]) -> str:
    """Return rows, all of which have the headings of the first one, as a Markdown table."""
    headings = list(rows[0])
    lines = [
        headings,
        ["---"] + ["---:"] * (len(headings) - 1),
        *([text(row.get(heading)) for heading in headings] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def text(figure: Figure) -> str:
    """Return a figure: whole from 100 on, with three significant digits below, and a dash for none."""
    if figure is None:
        return "-"
    if isinstance(figure, str):
        return figure
    if isinstance(figure, int) or abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.3g}"


def _summary(records: Iterable[Record]) -> str:
    rows: list[Row] = [
        {"": record.part.title, **_goal_row(goal)} for record in records for goal in record.part.goals
    ]
    met = sum(row["met"] == "yes" for row in rows)
    return f"## Goals\n\n{met} of {len(rows)} are met.\n\n{table(rows)}" if rows else ""


def _goal_row(goal: Goal) -> Row:
    sign = "≥" if goal.is_floor else "≤"
    return {
        "goal": goal.what,
        "wanted": f"{sign} {text(goal.wanted)}",
        "measured": goal.measured,
        "met": "yes" if goal.is_met else "**no**",
    }


def _machines(records: Sequence[Record]) -> str:
    """Return where and when the parts were measured, those with the same answer together."""
    titles: dict[str, list[str]] = {}
    for record in records:
        listed = ", ".join(f"{name} {number}" for name, number in record.versions.items())
        titles.setdefault(f"on {record.day}; {record.machine}; {listed}", []).append(record.part.title)
    lines = [f"- {', '.join(measured)}: {where}." for where, measured in titles.items()]
    return "\n".join(["## Where and when\n", *lines])
