"""``qbeat next``: what fires next."""

from __future__ import annotations

from typing import Any

import click

from qbeat.beat.cli.options import app_options, json_option, store_option, tool_store


@click.command("next")
@app_options
@store_option
@click.option(
    "-n",
    "count",
    default=10,
    show_default=True,
    type=click.IntRange(min=1, max=10_000),
    help="How many fire times.",
)
@json_option
@click.argument("entry", required=False)
def command(store: str | None, count: int, as_json: bool, entry: str | None, **options: Any) -> None:
    """Show what fires next, of all entries or of ENTRY."""
    from qbeat.beat.cli.output import print_json, print_table
    from qbeat.beat.clock import SystemClock
    from qbeat.beat.instants import iso
    from qbeat.beat.views import upcoming

    with tool_store(store, **options) as opened:
        records = [
            record for record in opened.entries([entry] if entry else None) if record.retired_at is None
        ]
    if entry and not records:
        raise click.UsageError(f"there is no entry {entry!r}; qbeat list shows which there are")
    found = upcoming(records, SystemClock().now(), count)
    if as_json:
        print_json([{"entry": name, "fire_time": iso(fire_time)} for name, fire_time in found])
        return
    print_table(
        ("FIRE TIME", "ENTRY"),
        ((iso(fire_time), name) for name, fire_time in found),
        empty="Nothing fires any more.",
    )
