"""``qbeat doctor``: looks for what is wrong or unwise, and says how to cure it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from qbeat.beat.cli.options import app_options, json_option, load, store_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qbeat.beat.health.doctor import Finding

_MARKS: Final = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


@click.command("doctor")
@app_options
@store_option
@json_option
def command(store: str | None, as_json: bool, **options: Any) -> int:
    """Look at versions, time zones, clocks, the store, file permissions and, with -A, at the app and its broker.

    Exits 1 when something is wrong, 69 when the store or the broker cannot be reached; warnings leave it at 0.
    """
    from qbeat.beat.cli.output import print_json

    findings: list[Finding] = []
    for finding in _findings(store, options):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json([finding.as_object() for finding in findings])
    return _exit_code(findings)


def _findings(store: str | None, options: dict[str, Any]) -> Iterator[Finding]:
    from qbeat.beat.health.doctor import Finding, examine_store

    if options.get("app") is None:
        yield from examine_store(store or "qbeat.db")
        yield Finding("app", "ok", "No app was named, so nothing was looked at of it; -A names one.")
        return
    from qbeat.beat.health.app_doctor import examine_app
    from qbeat.beat.settings import read_settings

    app = load(**options)
    settings = read_settings(app, store=store)
    yield from examine_store(settings.store)
    yield from examine_app(app, settings)


def _print(finding: Finding) -> None:
    click.echo(f"{_MARKS[finding.level]}  {finding.check}: {finding.text}")
    if finding.cure:
        click.echo(f"{'':9}cure: {finding.cure}")


def _exit_code(findings: list[Finding]) -> int:
    from qbeat.beat.errors import FAILED, OK, UNAVAILABLE

    if any(finding.unreachable for finding in findings):
        return UNAVAILABLE
    return FAILED if any(finding.level == "error" for finding in findings) else OK
