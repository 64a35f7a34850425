"""What is printed when qbeat starts: Celery's banner, with qbeat's facts."""

from __future__ import annotations

from datetime import datetime

from celery import Celery
from celery.utils.imports import qualname
from celery.utils.log import LOG_LEVELS

from qbeat import __version__
from qbeat.schedules.tzdb import database

_FORMAT = """\
LocalTime -> {now}
Configuration ->
    . broker -> {broker}
    . loader -> {loader}
    . store -> {store}
    . entries -> {entries}
    . timezone -> {timezone} (tz database {tz})
    . logfile -> {logfile}@%{loglevel}"""


def banner(
    app: Celery, *, store: str, entries: int, timezone: str, logfile: str | None, loglevel: int, color: bool
) -> str:
    """Return the banner; passwords are masked."""
    colored = app.log.colored(enabled=color)
    tz = database()
    facts = _FORMAT.format(
        now=datetime.now().astimezone().replace(microsecond=0),
        broker=app.connection_for_write().as_uri(),
        loader=qualname(app.loader),
        store=store,
        entries=f"{entries} declared",
        timezone=timezone,
        tz=f"{tz.version} from {tz.source}",
        logfile=logfile or "[stderr]",
        loglevel=LOG_LEVELS[loglevel],
    )
    line = colored.blue("__    ", colored.magenta("-"), colored.blue("    ... __   "), colored.magenta("-"))
    return f"{colored.cyan(f'qbeat v{__version__} is starting.')}\n{line}{colored.blue('        _')}\n{facts}"
