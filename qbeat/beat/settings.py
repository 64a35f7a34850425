"""qbeat's settings: what the command line, the environment and the app's configuration say, in that order."""

from __future__ import annotations

import difflib
import logging
import math
import os
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery

from qbeat.beat.broker_store import BROKER, broker_store
from qbeat.beat.errors import SettingError
from qbeat.beat.retention import Keep
from qbeat.beat.timings import Timings

logger = logging.getLogger("qbeat")

DEFAULT_STORE: Final = "qbeat.db"
"""A SQLite file in the folder in which qbeat runs: beside the app."""


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
    """Return the settings; an option of the command line wins over ``QBEAT_STORE``, that over the app's."""
    _warn_of_unknown(app)
    where = store or store_from_environment() or _text(app, "store", DEFAULT_STORE)
    return Settings(
        store=broker_store(app) if where == BROKER else where,
        health=health or str(app.conf.get("qbeat_health") or "") or None,
        watchdog_after=_seconds(app, "watchdog_after", Settings.watchdog_after),
        uncertain_after=_seconds(app, "uncertain_after", Settings.uncertain_after),
        shutdown_timeout=_seconds(app, "shutdown_timeout", Settings.shutdown_timeout),
        history_days=_positive(app, "history_days", Keep.days, "days, more than 0, such as 30"),
        history_count=math.ceil(
            _positive(app, "history_count", Keep.count, "a number of records, 1 or more, such as 1000000")
        ),
        max_interval=min(
            max_interval or app.conf.beat_max_loop_interval or Settings.max_interval, Settings.max_interval
        ),
    )


def store_from_environment() -> str | None:
    """Return what ``QBEAT_STORE`` says."""
    return os.environ.get("QBEAT_STORE") or None


def _text(app: Celery, name: str, default: str) -> str:
    value = app.conf.get(f"qbeat_{name}", default)
    if not isinstance(value, str) or not value:
        raise SettingError(
            f"qbeat_{name} is {value!r}; give a file name or a URL such as 'sqlite:///qbeat.db'"
        )
    return value


def _seconds(app: Celery, name: str, default: float) -> float:
    return _positive(app, name, default, "seconds, more than 0")


def _positive(app: Celery, name: str, default: float, wanted: str) -> float:
    value = app.conf.get(f"qbeat_{name}", default)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 < number < math.inf:
        raise SettingError(f"qbeat_{name} is {value!r}; give {wanted}")
    return number


def _warn_of_unknown(app: Celery) -> None:
    known = [f"qbeat_{name}" for name in Settings.__dataclass_fields__]
    for key in _own_keys(app.conf):
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}."
            logger.warning("The setting %s is unknown; %s", key, hint)


def _own_keys(configuration: Any) -> list[str]:
    """Return the names of qbeat's settings, without the app's own prefix (``CELERY_QBEAT_STORE`` in Django)."""
    keys = (str(key).lower() for key in configuration)
    return [key[key.index("qbeat_") :] for key in keys if key.startswith("qbeat_") or "_qbeat_" in key]
