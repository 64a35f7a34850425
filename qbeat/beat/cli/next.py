"""``qbeat next``: what fires next, of all entries, of one, or of a cron expression."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

from qbeat.beat.cli.options import app_options, json_option, store_option, tool_store

if TYPE_CHECKING:
    from qbeat.beat.views import Upcoming
    from qbeat.schedules.cron import Seconds

_CRON_FIELDS: Final = 5
_FIELD: Final = re.compile(
    r"[\d*?H][\dHLW*?/,#()-]*|(mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\b.*",
    re.IGNORECASE,
)
"""What a field of a cron expression may look like."""


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
    help="The time zone of an expression, and of the times shown. [default: of an expression, that of the app "
    "if one is named, else UTC]",
)
@click.option(
    "--seconds",
    type=click.Choice(["first", "last"]),
    help="Where an expression of six fields has its seconds.",
)
@json_option
@click.argument("what", required=False, metavar="[ENTRY | EXPRESSION]")
def command(  # noqa: PLR0917 - click passes all of them by name
    store: str | None,
    count: int,
    timezone: str | None,
    seconds: Seconds | None,
    as_json: bool,
    what: str | None,
    **options: Any,
) -> None:
    """Show what fires next: of all entries, of ENTRY, or of a cron EXPRESSION such as "0 9 * * mon-fri".

    An expression needs no app and no store. A note says where a change of the clock moves a fire time.
    """
    from qbeat.beat.cli.output import print_json, print_table
    from qbeat.beat.instants import iso, local_text

    _check(what, timezone)
    if what and _is_expression(what):
        timezone = timezone or _timezone_of_app(options)
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


def _check(what: str | None, timezone: str | None) -> None:
    from qbeat.schedules import ScheduleError
    from qbeat.schedules.zones import zone

    if what is not None and not what.strip():
        raise click.UsageError(
            "the name is empty; name an entry or an expression, or nothing for all entries"
        )
    if timezone is not None:
        try:
            zone(timezone)
        except ScheduleError as error:
            raise click.UsageError(str(error)) from error


def _is_expression(what: str) -> bool:
    """Whether ``what`` is meant for a cron expression, even one with too few or too many fields."""
    words = what.split()
    if what.startswith("@") or (len(words) >= _CRON_FIELDS and (words[0][0] in "*?" or "=" in words[0])):
        return True
    looks = [_FIELD.fullmatch(word) for word in words]
    if len(words) >= _CRON_FIELDS:
        return looks[0] is not None
    return all(looks) and (len(words) > 1 or what.startswith("*"))


def _timezone_of_app(options: dict[str, Any]) -> str | None:
    """Return the time zone of the app that the options name, ``None`` if they name none."""
    if options["app"] is None:
        return None
    from qbeat.beat.app.timezone import timezone_of
    from qbeat.beat.cli.options import load

    return timezone_of(load(**options))


def _of_expression(text: str, timezone: str | None, seconds: Seconds | None, count: int) -> list[Upcoming]:
    from qbeat.beat.clock import SystemClock
    from qbeat.beat.views import fire_times
    from qbeat.schedules import Cron, ScheduleError

    if seconds is not None and len(text.split()) <= _CRON_FIELDS:
        raise click.UsageError("--seconds is for expressions of six fields or more; leave it out")
    try:
        schedule = Cron(text, timezone=timezone, seconds=seconds).resolve(
            name=text, timezone=timezone or "UTC"
        )
    except ScheduleError as error:
        six = "; here that is --seconds first or --seconds last" if "seconds=" in str(error) else ""
        raise click.UsageError(f"{error}{six}") from error
    return fire_times(schedule, text, SystemClock().now(), count)


def _of_entries(name: str | None, count: int, store: str | None, options: dict[str, Any]) -> list[Upcoming]:
    from qbeat.beat.cli.names import entries_of, unknown_entry
    from qbeat.beat.clock import SystemClock
    from qbeat.beat.views import upcoming

    with tool_store(store, **options) as opened:
        found = entries_of(opened, name) if name else opened.entries()
        if name and not found:
            raise unknown_entry(opened, name)
    if name and found[0].retired_at is not None:
        raise click.UsageError(f"the entry {name!r} is retired: no app that runs declares it any more")
    records = [record for record in found if record.retired_at is None]
    return upcoming(records, SystemClock().now(), count)


def _object(each: Upcoming) -> dict[str, Any]:
    from qbeat.beat.instants import iso

    found = {"entry": each.entry, "fire_time": iso(each.fire_time)}
    return found | {"note": each.note} if each.note else found
