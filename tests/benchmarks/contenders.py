"""Who is compared, and how each is started: as its users start it, a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.benchmarks.load import BROKER, DATABASE, ROWS, Load
from tests.servers import Process, clean_environment

ROOT: Final = Path(__file__).parents[2]
_PYTHON: Final = (sys.executable, "-m")
_APP: Final = ("-A", "tests.benchmarks.app")
_QUIET: Final = ("-l", "WARNING")
"""Celery's default, for all: no line for each firing."""
_BEAT: Final = (*_PYTHON, "celery", *_APP, "beat", *_QUIET, "--pidfile=")


@dataclass(frozen=True)
class Place:
    """Where a contender runs: its folder, its broker, and its database if it has one (``sqlite:///`` too)."""

    folder: Path
    broker: str
    database: str = ""


@dataclass(frozen=True)
class Contender:
    """A scheduler and the command that starts it."""

    name: str
    command: Callable[[Place], tuple[str, ...]]
    package: str = "celery"
    rows: str | None = None
    """The program that writes the entries as rows, where the app does not declare them."""
    settings: Mapping[str, str] | None = None

    @property
    def is_here(self) -> bool:
        """Whether its package is installed."""
        return find_spec(self.package) is not None

    def prepare(self, place: Place, load: Load) -> Process:
        """Write what it reads at the start; return the process, not yet started."""
        environment = self._environment(place, load)
        if self.rows:
            subprocess.run((*_PYTHON, self.rows), cwd=place.folder, env=environment, check=True)
        log = place.folder / "contender.log"
        return Process(self.command(place), directory=place.folder, log=log, env=environment)

    @contextmanager
    def running(self, place: Place, load: Load) -> Iterator[Process]:
        """Start it, and end it at once afterwards."""
        process = self.prepare(place, load)
        process.start()
        try:
            yield process
        finally:
            process.kill()

    def _environment(self, place: Place, load: Load) -> dict[str, str]:
        ours = {"PYTHONPATH": str(ROOT), BROKER: place.broker, DATABASE: self._database_url(place)}
        rows = {ROWS: "1"} if self.rows else {}
        return clean_environment(ours | rows | load.environment() | dict(self.settings or {}))

    def _database_url(self, place: Place) -> str:
        # SQLAlchemy has to be told the driver; the others see to it themselves.
        if self.package == "sqlalchemy_celery_beat":
            return place.database.replace("postgresql://", "postgresql+psycopg://")
        return place.database


def _qbeat(store: Callable[[Place], str]) -> Callable[[Place], tuple[str, ...]]:
    program = str(Path(sys.executable).with_name("qbeat"))
    return lambda place: (program, *_APP, *_QUIET, "-q", "-s", store(place))


def program(module: str) -> Contender:
    """Return a module of this folder as a contender."""
    return Contender(module.rpartition(".")[2], lambda _: (*_PYTHON, module))


QBEAT_ON_REDIS: Final = Contender("qbeat, Redis", _qbeat(lambda _: "broker"), "qbeat")
QBEAT_ON_FILE: Final = Contender(
    "qbeat, SQLite", _qbeat(lambda place: str(place.folder / "qbeat.db")), "qbeat"
)
QBEAT_ON_SQL: Final = Contender("qbeat, PostgreSQL", _qbeat(lambda place: place.database), "qbeat")
CELERY_BEAT: Final = Contender(
    "celery beat", lambda place: (*_BEAT, "-s", str(place.folder / "celerybeat-schedule"))
)
REDBEAT: Final = Contender("RedBeat", lambda _: (*_BEAT, "-S", "redbeat.RedBeatScheduler"), "redbeat")
DJANGO: Final = Contender(
    "django-celery-beat",
    lambda _: (*_BEAT, "-S", "django_celery_beat.schedulers:DatabaseScheduler"),
    "django_celery_beat",
    "tests.benchmarks.rows_django",
    {"DJANGO_SETTINGS_MODULE": "tests.benchmarks.django_settings"},
)
SQLALCHEMY: Final = Contender(
    "sqlalchemy-celery-beat",
    lambda _: (*_BEAT, "-S", "sqlalchemy_celery_beat.schedulers:DatabaseScheduler"),
    "sqlalchemy_celery_beat",
    "tests.benchmarks.rows_sqlalchemy",
)
APPLY_ASYNC: Final = program("tests.benchmarks.apply_async")
DECLARING: Final = program("tests.benchmarks.declaring")
