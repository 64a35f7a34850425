"""``qbeat -A tasks``: runs a replica."""

from __future__ import annotations

import sys
from typing import Any

import click

from qbeat.beat.cli.options import LOG_LEVELS, app_options, load, store_option


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
def command(  # noqa: PLR0917 - click passes all of them by name
    settings: tuple[str, ...],
    store: str | None,
    loglevel: str,
    logfile: str | None,
    pidfile: str | None,
    max_interval: float | None,
    remote_control: bool | None,
    hostname: str | None,
    health: str | None,
    log_format: str,
    detach: bool,
    uid: str | None,
    gid: str | None,
    umask: str | None,
    no_color: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Fire the entries of the app until SIGTERM or SIGINT.

    KEY=VALUE arguments are settings of the app, as in celery beat.
    """
    from qbeat.beat.cli.early_stop import ending_on_sigterm

    with ending_on_sigterm():
        from qbeat.beat.garbage import hold_collector

        hold_collector()  # imports leave nearly nothing to collect, either
        from qbeat.beat.process import become, check_files, umask_of
        from qbeat.beat.running import Run, logging_its_end, run_app

        app = load(settings=settings, **options)
        plan = Run(
            store=store,
            loglevel=loglevel,
            logfile=logfile,
            pidfile=pidfile,
            max_interval=max_interval,
            color=not no_color and not logfile and _is_terminal(),
            quiet=quiet,
            remote_control=remote_control,
            hostname=hostname,
            health=health,
            log_format=log_format,
        )
        become(uid, gid)
        if not detach:
            return run_app(app, plan)
        from celery.platforms import detached

        from qbeat.beat.closed_files import keep_from_reuse, open_files

        check_files(logfile, pidfile)  # as long as there is somebody to tell
        before = open_files()
        with detached(logfile, pidfile, umask=umask_of(umask)):
            keep_from_reuse(before)
            with logging_its_end():
                return run_app(app, plan)


def _is_terminal() -> bool:
    """Whether the log goes to a terminal; an app may have taken the stream away."""
    return sys.stderr is not None and sys.stderr.isatty()
