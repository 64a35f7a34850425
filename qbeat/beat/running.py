"""Runs an app as the command line asks: settings, store, banner, logging, pid file, service."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import click
from celery import Celery
from celery.platforms import set_process_title
from celery.utils.log import LOG_LEVELS

from qbeat.beat.app.reading import read_entries
from qbeat.beat.app.timezone import timezone_of
from qbeat.beat.banner import banner
from qbeat.beat.broker_url import broker_of
from qbeat.beat.echoes import drop_echoes
from qbeat.beat.errors import OK, QbeatError
from qbeat.beat.json_log import log_as_json
from qbeat.beat.own_loggers import hear_own_loggers
from qbeat.beat.process import check_files, check_log, lock_pidfile
from qbeat.beat.remote_control import answering_pings
from qbeat.beat.service import Service
from qbeat.beat.settings import Settings, read_settings
from qbeat.beat.standard_files import print_nothing_more
from qbeat.schedules.tzdb import database
from qbeat.store import open_store
from qbeat.store.base import StoreError

logger = logging.getLogger("qbeat")


@dataclass(frozen=True, slots=True)
class Run:
    """What the command line says about a run."""

    store: str | None = None
    loglevel: str = "INFO"
    logfile: str | None = None
    pidfile: str | None = None
    max_interval: float | None = None
    color: bool = False
    quiet: bool = False
    remote_control: bool | None = None
    hostname: str | None = None
    health: str | None = None
    log_format: str = "text"


def check_start(app: Celery, run: Run) -> None:
    """Raise now what would end a run at its start: as long as there is somebody to tell."""
    check_files(run.logfile, run.pidfile)
    broker_of(app)
    open_store(_settings(app, run).store).close()


def run_app(app: Celery, run: Run) -> int:
    """Run a replica for ``app`` until it is told to stop; return the exit code."""
    level = LOG_LEVELS[run.loglevel.upper()]
    _set_up_logging(app, run, level)
    broker_of(app)
    entries = read_entries(app)
    settings = _settings(app, run)
    with closing(open_store(settings.store)) as store:
        service = Service(app, store, entries, settings)
        service.obey_signals()
        if run.pidfile:
            lock_pidfile(run.pidfile)
        if not run.quiet and run.log_format == "text":
            _print(
                banner(
                    app,
                    store=store.url,
                    entries=len(entries),
                    timezone=timezone_of(app),
                    logfile=run.logfile,
                    loglevel=level,
                    color=run.color,
                )
            )
        set_process_title("qbeat", info=f"-A {app.main or '?'}")
        logger.debug("tz database: %s", database().why)
        with answering_pings(service, wanted=run.remote_control, hostname=run.hostname):
            service.run()
    return OK


@contextmanager
def logging_its_end() -> Iterator[None]:
    """Log what ends a run with an error: for a process in the background, whose stderr nobody sees."""
    try:
        yield
    except (QbeatError, StoreError) as error:
        logger.critical("%s", error)
        raise


def _settings(app: Celery, run: Run) -> Settings:
    return read_settings(app, store=run.store, max_interval=run.max_interval, health=run.health)


def _print(text: str) -> None:
    """Print it, or go on without: a reader that has gone, or a full disk, is no reason not to fire."""
    try:
        click.echo(text)
    except OSError as error:
        print_nothing_more()
        logger.warning("Nothing can be printed to standard output (%s); qbeat goes on without.", error)


def _set_up_logging(app: Celery, run: Run, level: int) -> None:
    if run.logfile:
        check_log(run.logfile)
    colorize: Any = None if run.color else False
    app.log.setup(level, run.logfile, redirect_stdouts=False, colorize=colorize)
    hear_own_loggers()
    if run.log_format == "json":
        log_as_json()
    drop_echoes()
