"""``qbeat check``: what may surprise in the entries of an app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qbeat.beat.cli.options import app_options, json_option, load

if TYPE_CHECKING:
    from celery import Celery


@click.command("check")
@app_options
@click.option("--strict", is_flag=True, help="Exit 1 for warnings, too.")
@json_option
def command(strict: bool, as_json: bool, **options: Any) -> int:
    """List what may surprise in each entry: how it fires across clock changes, what other crons would do, …

    Entries and settings that cannot be end with exit code 78; warnings with 1, only with --strict.
    """
    from qbeat.beat.app.checking import check_app
    from qbeat.beat.cli.output import print_json, print_table
    from qbeat.beat.errors import FAILED, OK

    app = load(**options)
    findings, entries = check_app(app)
    _check_settings(app)
    if as_json:
        print_json(
            [{"entry": finding.entry, "code": finding.code, "warning": finding.text} for finding in findings]
        )
    else:
        print_table(
            ("ENTRY", "WARNING"),
            ((finding.entry, finding.text) for finding in findings),
            empty=f"{entries} {'entry' if entries == 1 else 'entries'}, no warnings.",
        )
    return FAILED if strict and findings else OK


def _check_settings(app: Celery) -> None:
    """Raise what the start would: for settings, and for a broker and a store that there cannot be."""
    from qbeat.beat.broker_url import broker_of
    from qbeat.beat.health.address import parse_address
    from qbeat.beat.settings import read_settings
    from qbeat.store.opening import check_url

    broker_of(app)
    settings = read_settings(app)
    check_url(settings.store)
    if settings.health:
        parse_address(settings.health)
