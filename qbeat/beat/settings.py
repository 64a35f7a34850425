"""qbeat's settings: what the command line, the environment and the app's configuration say, in that order."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery

from qbeat.beat.broker_store import BROKER, broker_store
from qbeat.beat.errors import SettingError
from qbeat.beat.retention import Keep
from qbeat.beat.setting_names import settings_of
from qbeat.beat.timings import Timings

DEFAULT_STORE: Final = "qbeat.db"
"""A SQLite file in the folder in which qbeat runs: beside the app."""
_SECONDS: Final = "seconds, more than 0"


Given = Mapping[str, Any]
"""What the app's configuration says, by the names of ``Settings``."""


@dataclass(frozen=True)
class Settings:
    """The settings of one process. Each is ``qbeat_<name>`` in the app's configuration."""

    store: str = DEFAULT_STORE
    """A file name or store URL; ``broker`` has become the URL of the broker's own Redis."""
    uncertain_after: float = Timings.uncertain_after
    """Seconds after which a firing that a crash left open is published again."""
    health: str | None = None
    """Where ``/healthz``, ``/readyz`` and ``/metrics`` are served, as ``host:port``; nowhere without."""
    watchdog_after: float = 30.0
    """Seconds without a turn of the loop, or with an overdue entry that nobody claims, after which it is unwell."""
    shutdown_timeout: float = 10.0
    """Seconds that a stop waits for the firings that are being published."""
    history_days: float = Keep.days
    """Days after which what became of a fire time is forgotten."""
    history_count: int = Keep.count
    """About how many records of past fire times are kept."""
    max_interval: float = Timings.max_wait
    """The longest wait between two looks at the clocks, in seconds; ``beat_max_loop_interval`` in Celery."""

    @property
    def timings(self) -> Timings:
        return Timings(uncertain_after=self.uncertain_after, max_wait=self.max_interval)

    @property
    def keep(self) -> Keep:
        return Keep(days=self.history_days, count=self.history_count)


def read_settings(
    app: Celery,
    *,
    store: str | None = None,
    max_interval: float | None = None,
    health: str | None = None,
) -> Settings:
    """Return the settings; an option of the command line wins over the environment, that over the app's.

    The environment is ``QBEAT_STORE`` and ``QBEAT_HEALTH``.
    """
    given = settings_of(app, Settings.__dataclass_fields__)
    where = store or store_from_environment() or _text(given, "store", DEFAULT_STORE)
    return Settings(
        store=broker_store(app) if where == BROKER else where,
        health=health or os.environ.get("QBEAT_HEALTH") or str(given.get("health") or "") or None,
        watchdog_after=_seconds(given, "watchdog_after", Settings.watchdog_after),
        uncertain_after=_seconds(given, "uncertain_after", Settings.uncertain_after),
        shutdown_timeout=_seconds(given, "shutdown_timeout", Settings.shutdown_timeout),
        history_days=_positive(given, "history_days", Keep.days, "days, more than 0, such as 30"),
        history_count=math.ceil(
            _positive(given, "history_count", Keep.count, "a number of records, 1 or more, such as 1000000")
        ),
        max_interval=min(_longest_wait(app, given, max_interval), Settings.max_interval),
    )


def store_from_environment() -> str | None:
    """Return what ``QBEAT_STORE`` says."""
    return os.environ.get("QBEAT_STORE") or None


def _text(given: Given, name: str, default: str) -> str:
    value = given.get(name, default)
    if not isinstance(value, str) or not value:
        raise SettingError(
            f"qbeat_{name} is {value!r}; give a file name or a URL such as 'sqlite:///qbeat.db'"
        )
    return value


def _longest_wait(app: Celery, given: Given, max_interval: float | None) -> float:
    """Return the seconds that Celery's option asks for, else its setting, else qbeat's."""
    celerys = (("--max-interval", max_interval), ("beat_max_loop_interval", app.conf.beat_max_loop_interval))
    for name, value in celerys:
        if value:
            return _positive_number(name, value, _SECONDS)
    return _seconds(given, "max_interval", Settings.max_interval)


def _seconds(given: Given, name: str, default: float) -> float:
    return _positive(given, name, default, _SECONDS)


def _positive(given: Given, name: str, default: float, wanted: str) -> float:
    return _positive_number(f"qbeat_{name}", given.get(name, default), wanted)


def _positive_number(setting: str, value: Any, wanted: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 < number < math.inf:
        raise SettingError(f"{setting} is {value!r}; give {wanted}")
    return number
