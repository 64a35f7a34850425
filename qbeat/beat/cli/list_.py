"""``qbeat list``: the entries with their last and next fire times."""

from __future__ import annotations

from typing import Any

import click

from qbeat.beat.cli.options import app_options, json_option, store_option, tool_store


@click.command("list")
@app_options
@store_option
@click.option("--all", "with_retired", is_flag=True, help="Retired entries too.")
@json_option
def command(store: str | None, with_retired: bool, as_json: bool, **options: Any) -> None:
    """List the entries with their last and next fire times, the next one first."""
    from qbeat.beat.cli.output import print_json, print_table
    from qbeat.beat.instants import iso_or_none
    from qbeat.beat.views import describe, entry_object

    with tool_store(store, **options) as opened:
        records = [record for record in opened.entries() if with_retired or record.retired_at is None]
    if as_json:
        print_json([entry_object(record) for record in records])
        return
    records.sort(key=lambda record: (record.next_fire_time is None, record.next_fire_time or 0, record.name))
    print_table(
        ("NAME", "TASK", "SCHEDULE", "NEXT", "LAST", "COUNT"),
        (
            (
                record.name,
                record.task,
                describe(record),
                "retired" if record.retired_at else iso_or_none(record.next_fire_time) or "",
                iso_or_none(record.last_fire_time) or "",
                str(record.total_run_count),
            )
            for record in records
        ),
        empty="No entries yet: they are entered when qbeat runs for the first time.",
    )
