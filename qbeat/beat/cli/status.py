"""``qbeat status``: whether all is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qbeat.beat.cli.options import app_options, json_option, store_option, tool_store

if TYPE_CHECKING:
    from qbeat.beat.health.overview import Overview


@click.command("status")
@app_options
@store_option
@click.option(
    "--probe",
    is_flag=True,
    help="Only tell whether a replica on this machine lives; never loads the app. For health checks.",
)
@click.option(
    "--health", envvar="QBEAT_HEALTH", metavar="HOST:PORT", help="With --probe: ask this health port."
)
@json_option
def command(store: str | None, probe: bool, health: str | None, as_json: bool, **options: Any) -> int:
    """Show replicas and their shares, what waits in the outbox, what is overdue, and what fires next.

    Exits 1 when something is wrong, 69 when the store cannot be reached, 78 when it cannot be used. --probe is
    quick: it asks the health port if one is named, else the store that -s or QBEAT_STORE names.
    """
    if probe:
        return _probe(store, health, as_json=as_json)
    from qbeat.beat.errors import FAILED, OK
    from qbeat.beat.health.overview import as_object, problems, survey

    with tool_store(store, **options) as opened:
        overview = survey(opened)
    if as_json:
        from qbeat.beat.cli.output import print_json

        print_json(as_object(overview))
    else:
        _print(overview)
    return FAILED if problems(overview) else OK


def _probe(store: str | None, health: str | None, *, as_json: bool) -> int:
    from qbeat.beat.health.probe import ask_port, ask_store

    if health:
        from qbeat.beat.health.address import parse_address

        code, text = ask_port(*parse_address(health))
    else:
        code, text = ask_store(store or "qbeat.db")
    if as_json:
        import json

        text = json.dumps({"healthy": not code, "problems": [text] if code else []})
    click.echo(text)
    return code


def _print(overview: Overview) -> None:
    from qbeat.beat.cli.output import print_table
    from qbeat.beat.health.overview import problems, tz_of
    from qbeat.beat.instants import iso

    upcoming, late = overview.upcoming, overview.longest_overdue
    paused = f", {overview.paused} paused" if overview.paused else ""
    click.echo(f"store     {overview.store}, answers in {overview.latency * 1_000:.1f} ms")
    click.echo(f"entries   {overview.entries}{paused}")
    click.echo(
        f"next      {upcoming.name} at {iso(upcoming.next_fire_time or 0)}"
        if upcoming
        else "next      nothing"
    )
    click.echo(f"overdue   {len(overview.overdue)}" + (f", the longest by {late:.1f} s" if late else ""))
    click.echo(f"outbox    {overview.backlog}")
    click.echo("")
    print_table(
        ("REPLICA", "VERSION", "SHARE", "HEARTBEAT", "CLOCK", "TZ DATABASE", "STARTED"),
        (
            (
                each.record.id,
                each.record.version,
                str(each.share) if each.is_live else "silent",
                f"{each.heartbeat_age:.1f} s ago",
                _offset(each.record.details.get("clock_offset_ms")),
                tz_of(each.record) or "",
                iso(each.record.started_at // 1_000_000 * 1_000_000),
            )
            for each in overview.replicas
        ),
        empty="No replicas.",
    )
    click.echo("")
    click.echo("\n".join(problems(overview)) or "All is well.")


def _offset(milliseconds: Any) -> str:
    return "" if milliseconds is None else f"{milliseconds:+d} ms"
