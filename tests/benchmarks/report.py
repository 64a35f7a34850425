"""Results as text: tables for the terminal and for a page whose parts are replaced one by one."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.processes import memory_of_machine
from tests.benchmarks.results import Figure, Goal, Part, Row

_PACKAGES: Final = (
    "celery",
    "kombu",
    "redis",
    "celery-redbeat",
    "django-celery-beat",
    "sqlalchemy-celery-beat",
    "sqlalchemy",
    "django",
)


def rendered(part: Part) -> str:
    """Return a part as Markdown, without its title."""
    blocks = [part.method, *_table(part.rows)]
    if part.goals:
        blocks += _table([_goal_row(goal) for goal in part.goals])
    return "\n\n".join(blocks)


def write(page: Path, parts: Mapping[str, Part]) -> None:
    """Put parts between their marks in ``page``, and their figures into the JSON file beside it."""
    text = page.read_text()
    for name, part in parts.items():
        text = _replaced(text, name, f"{rendered(part)}\n\n{_measured_on()}")
    page.write_text(text)
    figures_file = page.with_suffix(".json")
    figures: dict[str, Any] = json.loads(figures_file.read_text()) if figures_file.exists() else {}
    for name, part in parts.items():
        figures[name] = asdict(part) | {"at": _today(), "machine": machine(), "versions": versions()}
    figures_file.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def machine() -> str:
    """Return the size of this machine."""
    memory = memory_of_machine() / 2**30
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GB, {platform.system()} {platform.release()}"
    )


def versions() -> dict[str, str]:
    """Return the versions of who is compared."""
    return {"python": platform.python_version()} | dict(_installed(_PACKAGES))


def _replaced(text: str, name: str, content: str) -> str:
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, found, rest = text.partition(begin)
    _, found_too, after = rest.partition(end)
    if not (found and found_too):
        raise ValueError(f"the page has no place for {name}: it wants the lines {begin} and {end}")
    return f"{before}{begin}\n{content}\n{end}{after}"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    headings = list(rows[0])
    lines = [
        headings,
        ["---"] + ["---:"] * (len(headings) - 1),
        *([_text(row.get(heading)) for heading in headings] for row in rows),
    ]
    yield "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _goal_row(goal: Goal) -> Row:
    sign = "≥" if goal.is_floor else "≤"
    return {
        "goal": goal.what,
        "wanted": f"{sign} {_text(goal.wanted)}",
        "measured": goal.measured,
        "met": "yes" if goal.is_met else "**no**",
    }


def _text(figure: Figure) -> str:
    if figure is None:
        return "-"
    if isinstance(figure, str):
        return figure
    if isinstance(figure, int) or abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.3g}"


def _measured_on() -> str:
    listed = ", ".join(f"{name} {number}" for name, number in versions().items())
    return f"Measured on {_today()}: {machine()}; {listed}."


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _installed(packages: Iterable[str]) -> Iterator[tuple[str, str]]:
    for package in packages:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
