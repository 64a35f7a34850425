"""``qbeat history``: what became of past fire times."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import click

from qbeat.beat.cli.options import app_options, json_option, store_option, tool_store


@click.command("history")
@app_options
@store_option
@click.option("-n", "count", type=click.IntRange(min=1), help="Only the latest so many.")
@json_option
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
def command(
    store: str | None, count: int | None, as_json: bool, entries: tuple[str, ...], **options: Any
) -> None:
    """Show what became of past fire times, of all entries or of each ENTRY, the latest last."""
    from qbeat.beat.cli.names import check_names
    from qbeat.beat.cli.output import print_json_lines, print_table
    from qbeat.beat.views import history_object

    with tool_store(store, **options) as opened:
        check_names(opened, entries)
        records = list(opened.history(entries=entries or None, newest_first=True, limit=count))
    # Stores order what falls together by ids, which are drawn at random.
    records.sort(key=attrgetter("fire_time", "entry", "lane"))
    rows = [history_object(record) for record in records]
    if as_json:
        print_json_lines(rows)
        return
    print_table(
        ("FIRE TIME", "ENTRY", "OUTCOME", "LATE", "TASK ID"),
        (
            (
                row["fire_time"] + (f" … {row['until']}" if row.get("count") not in {None, 1} else ""),
                row["entry"],
                _outcome(row),
                "" if row["lateness_ms"] is None else f"{row['lateness_ms']:.0f} ms",
                row["task_id"] or "",
            )
            for row in rows
        ),
        empty="Nothing has fired yet.",
    )


def _outcome(row: dict[str, Any]) -> str:
    outcome = row["outcome"]
    if outcome == "skipped":
        count = row["count"]
        return row["reason"] if count == 1 else f"{row['reason']} ({'many' if count is None else count})"
    return f"{outcome}: {row['reason']}" if row["reason"] else outcome
