"""``qbeat check``: what may surprise in the entries of an app."""

from __future__ import annotations

from typing import Any

import click

from qbeat.beat.cli.options import app_options, json_option, load


@click.command("check")
@app_options
@click.option("--strict", is_flag=True, help="Exit 1 for warnings, too.")
@json_option
def command(strict: bool, as_json: bool, **options: Any) -> int:
    """List what may surprise in each entry: how it fires across clock changes, what other crons would do, …

    Entries that cannot be end with exit code 78; warnings only with --strict.
    """
    from qbeat.beat.app.checking import check_app
    from qbeat.beat.cli.output import print_json, print_table
    from qbeat.beat.errors import FAILED, OK

    findings, entries = check_app(load(**options))
    if as_json:
        print_json(
            [{"entry": finding.entry, "code": finding.code, "warning": finding.text} for finding in findings]
        )
    else:
        print_table(
            ("ENTRY", "WARNING"),
            ((finding.entry, finding.text) for finding in findings),
            empty=f"{entries} entries, no warnings.",
        )
    return FAILED if strict and findings else OK
