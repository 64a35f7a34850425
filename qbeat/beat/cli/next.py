"""``qbeat next``: what fires next, of all entries, of one, or of a cron expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qbeat.beat.cli.options import app_options, json_option, store_option, tool_store

if TYPE_CHECKING:
    from qbeat.beat.views import Upcoming


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
@click.option(
    "--timezone",
    metavar="ZONE",
    help="The time zone of an expression, and of the times shown. [default: UTC]",
)
@click.option(
    "--seconds",
    type=click.Choice(["first", "last"]),
    help="Where an expression of six fields has its seconds.",
)
@json_option
@click.argument("what", required=False, metavar="[ENTRY | EXPRESSION]")
def command(  # noqa: PLR0917
    store: str | None,
    count: int,
    timezone: str | None,
    seconds: str | None,
    as_json: bool,
    what: str | None,
    **options: Any,
) -> None:
    """Show what fires next: of all entries, of ENTRY, or of a cron EXPRESSION such as "0 9 * * mon-fri".

    An expression needs no app and no store. A note says where a change of the clock moves a fire time.
    """
    from qbeat.beat.cli.output import print_json, print_table
    from qbeat.beat.instants import iso, local_text

    if what and _is_expression(what):
        found = _of_expression(what, timezone, seconds, count)
    else:
        found = _of_entries(what, count, store, options)
    if as_json:
        print_json([_object(each) for each in found])
        return
    print_table(
        ("FIRE TIME", *(["LOCAL TIME"] if timezone else []), "ENTRY", "NOTE"),
        (
            (
                iso(each.fire_time),
                *([local_text(each.fire_time, timezone)] if timezone else []),
                each.entry,
                each.note or "",
            )
            for each in found
        ),
        empty="Nothing fires any more.",
    )


def _is_expression(what: str) -> bool:
    return what.startswith("@") or len(what.split()) >= 5  # noqa: PLR2004 - cron's number of fields


def _of_expression(text: str, timezone: str | None, seconds: Any, count: int) -> list[Upcoming]:
    from qbeat.beat.clock import SystemClock
    from qbeat.beat.views import fire_times
    from qbeat.schedules import Cron, ScheduleError

    try:
        schedule = Cron(text, timezone=timezone, seconds=seconds).resolve(
            name=text, timezone=timezone or "UTC"
        )
    except ScheduleError as error:
        raise click.UsageError(str(error)) from error
    return fire_times(schedule, text, SystemClock().now(), count)


def _of_entries(name: str | None, count: int, store: str | None, options: dict[str, Any]) -> list[Upcoming]:
    from qbeat.beat.clock import SystemClock
    from qbeat.beat.views import upcoming

    with tool_store(store, **options) as opened:
        records = [record for record in opened.entries([name] if name else None) if record.retired_at is None]
    if name and not records:
        raise click.UsageError(f"there is no entry {name!r}; qbeat list shows which there are")
    return upcoming(records, SystemClock().now(), count)


def _object(each: Upcoming) -> dict[str, Any]:
    from qbeat.beat.instants import iso

    found = {"entry": each.entry, "fire_time": iso(each.fire_time)}
    return found | {"note": each.note} if each.note else found
