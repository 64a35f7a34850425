"""``qbeat -A tasks``: runs a replica."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from qbeat.beat.cli.options import LOG_LEVELS, app_options, load, store_option

if TYPE_CHECKING:
    from celery import Celery

    from qbeat.beat.running import Run


@click.command("run", context_settings={"help_option_names": ["-h", "--help"]})
@app_options
@store_option
@click.option(
    "-l",
    "--loglevel",
    envvar=["QBEAT_LOGLEVEL", "CELERY_BEAT_LOGLEVEL"],
    default="INFO",
    show_default=True,
    type=click.Choice(LOG_LEVELS, case_sensitive=False),
    help="The least level that is logged.",
)
@click.option(
    "-f", "--logfile", envvar="CELERY_BEAT_LOGFILE", metavar="FILE", help="Log to this file, not to stderr."
)
@click.option(
    "--pidfile", envvar="CELERY_BEAT_PIDFILE", metavar="FILE", help="Write the process id here while running."
)
@click.option(
    "--max-interval",
    envvar="CELERY_BEAT_MAX_INTERVAL",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="The longest wait between two looks at the schedule.",
)
@click.option(
    "--enable-remote-control/--no-enable-remote-control",
    "remote_control",
    envvar="CELERY_BEAT_REMOTE_CONTROL",
    default=None,
    help="Answer celery inspect ping. [default: the app's beat_enable_remote_control]",
)
@click.option(
    "-n",
    "--hostname",
    envvar="CELERY_BEAT_HOSTNAME",
    metavar="NODE",
    help="Answer as this node. [default: celerybeat@%h]",
)
@click.option(
    "--health",
    envvar="QBEAT_HEALTH",
    metavar="HOST:PORT",
    help="Serve /healthz, /readyz and /metrics here, such as 127.0.0.1:9808. [default: the app's qbeat_health]",
)
@click.option(
    "--log-format",
    envvar="QBEAT_LOG_FORMAT",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json"]),
    help="How log lines are written: Celery's way, or one JSON object each.",
)
@click.option("--detach", is_flag=True, help="Run in the background, as a daemon.")
@click.option("--uid", envvar="CELERY_BEAT_UID", help="Run as this user.")
@click.option("--gid", envvar="CELERY_BEAT_GID", help="Run as this group.")
@click.option("--umask", envvar="CELERY_BEAT_UMASK", help="The umask of the detached process.")
@click.option("-C", "--no-color", is_flag=True, envvar="NO_COLOR", help="No colors.")
@click.option("-q", "--quiet", is_flag=True, help="No banner.")
@click.argument("settings", nargs=-1, metavar="[KEY=VALUE]...")
def command(
    *,
    settings: tuple[str, ...],
    detach: bool,
    uid: str | None,
    gid: str | None,
    umask: str | None,
    **options: Any,
) -> int:
    """Fire the entries of the app until SIGTERM or SIGINT.

    KEY=VALUE arguments are settings of the app, as in celery beat.
    """
    from qbeat.beat.cli.early_stop import ending_on_sigterm

    with ending_on_sigterm():
        from qbeat.beat.garbage import hold_collector

        hold_collector()  # imports leave nearly nothing to collect, either
        from qbeat.beat.process import become
        from qbeat.beat.running import run_app

        run = _take_run(options)
        app = load(settings=settings, **options)
        become(uid, gid)
        return _run_detached(app, run, umask) if detach else run_app(app, run)


def _take_run(options: dict[str, Any]) -> Run:
    """Take out of ``options`` what says how it runs; what they hold then says which app."""
    from qbeat.beat.running import Run

    color = not options.pop("no_color") and not options["logfile"] and sys.stderr.isatty()
    given = {field.name: options.pop(field.name) for field in fields(Run) if field.name in options}
    return Run(**given, color=color)


def _run_detached(app: Celery, run: Run, umask: str | None) -> int:
    from celery.platforms import detached

    from qbeat.beat.closed_files import keep_from_reuse, open_files
    from qbeat.beat.process import umask_of
    from qbeat.beat.running import check_start, logging_its_end, run_app

    check_start(app, run)
    before = open_files()
    with detached(run.logfile, run.pidfile, umask=umask_of(umask)):
        keep_from_reuse(before)
        with logging_its_end():
            return run_app(app, run)
