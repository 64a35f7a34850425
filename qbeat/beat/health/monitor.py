"""One replica's health as a whole: builds metrics, watchdog and port, and says what each page shows."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping

import celery

from qbeat import __version__
from qbeat.beat.entries import Entry
from qbeat.beat.health.exposition import CONTENT_TYPE, Family, gauge, render
from qbeat.beat.health.metrics import Metrics
from qbeat.beat.health.server import HealthServer, Page, verdict
from qbeat.beat.health.timed_store import TimedStore
from qbeat.beat.health.vitals import Vitals
from qbeat.beat.health.watchdog import Look, Watchdog
from qbeat.beat.settings import Settings
from qbeat.schedules.tzdb import database
from qbeat.store import open_store
from qbeat.store.base import Store
from qbeat.store.opening import scheme_of, sqlite_path


class Monitor:
    """What ``--health`` turns on. The loop writes ``vitals`` and tells ``metrics``; nothing here touches the loop."""

    def __init__(self, settings: Settings, vitals: Vitals) -> None:
        self._settings = settings
        self._vitals = vitals
        self._store_url = ""
        self._open_store = _opener(settings.store)
        self.metrics = Metrics()
        self._watchdog: Watchdog | None = None
        self._server: HealthServer | None = None

    def timed(self, store: Store) -> Store:
        """Return ``store`` so that its calls are measured."""
        self._store_url = store.url
        return TimedStore(store, self.metrics.store)

    def start(self, entries: Mapping[str, Entry], is_postponed: Callable[[str, int], bool]) -> None:
        """Open the port and begin to watch; ``SettingError`` if the port cannot be opened."""
        assert self._settings.health is not None
        self._server = HealthServer(
            self._settings.health,
            {"/healthz": self.healthz, "/readyz": self.readyz, "/metrics": self.metrics_page},
        )
        timings = self._settings.timings
        self._watchdog = Watchdog(
            self._vitals,
            entries,
            self._open_store,
            bound=self._settings.watchdog_after,
            takeover_delay=timings.takeover_delay,
            live_within=timings.live_within,
            is_postponed=is_postponed,
        )
        self._watchdog.start()
        self._server.start()

    def close(self) -> None:
        """Close the port and stop watching."""
        if self._server is not None:
            self._server.close()
        if self._watchdog is not None:
            self._watchdog.close()

    def healthz(self) -> Page:
        """Say whether this process lives: its loop turns, and it claims what it should."""
        red = self._watchdog.red() if self._watchdog else None
        return verdict([red] if red else [], loop_turned_seconds_ago=round(self._vitals.age(), 3))

    def readyz(self) -> Page:
        """Say whether it can do its work: the app is loaded and the store can be reached."""
        return verdict(self._not_ready(), broker_up=not self._vitals.waits_for_broker)

    def metrics_page(self) -> Page:
        """Return all that is measured, for Prometheus."""
        return 200, CONTENT_TYPE, render([*self._facts(), *self._gauges(), *self.metrics.families()])

    def _not_ready(self) -> list[str]:
        vitals, watchdog = self._vitals, self._watchdog
        found = []
        if not vitals.has_loaded:
            found.append("its entries are still being loaded")
        trouble = vitals.store_trouble or (watchdog and watchdog.store_trouble)
        if trouble:
            found.append(f"the store: {trouble}")
        return found

    def _facts(self) -> Iterator[Family]:
        tz = database()
        yield gauge(
            "qbeat_info",
            "What runs here.",
            1,
            version=__version__,
            celery=celery.__version__,
            python=platform.python_version(),
            store=self._store_url,
        )
        yield gauge(
            "qbeat_tz_database_info",
            "Where time zones come from; the same on all replicas, if all is well.",
            1,
            source=tz.source,
            version=tz.version or "",
        )

    def _gauges(self) -> Iterator[Family]:
        vitals, watchdog = self._vitals, self._watchdog
        red = watchdog is not None and watchdog.red() is not None
        yield gauge("qbeat_healthy", "Whether /healthz says yes.", not red)
        yield gauge("qbeat_ready", "Whether /readyz says yes.", not self._not_ready())
        yield gauge("qbeat_broker_up", "Whether the broker takes messages.", not vitals.waits_for_broker)
        yield gauge(
            "qbeat_loop_last_turn_timestamp_seconds", "When the loop last turned.", vitals.turned_at_time
        )
        yield gauge("qbeat_entries", "Entries that this replica may fire.", vitals.entries)
        if watchdog is not None and watchdog.look is not None:
            yield from _shown(watchdog.look)


def _shown(look: Look) -> Iterator[Family]:
    """Yield what the watchdog saw in the store; absent while the store is."""
    yield gauge("qbeat_overdue_entries", "Entries that are overdue in the store, up to 1000.", look.overdue)
    yield gauge(
        "qbeat_oldest_overdue_seconds", "By how much the longest overdue entry is late.", look.oldest_overdue
    )
    yield gauge("qbeat_outbox_firings", "Claimed firings that are not settled.", look.backlog)
    yield gauge("qbeat_replicas", "Live replicas on the store.", look.replicas)
    yield gauge(
        "qbeat_clock_offset_seconds",
        "By how much this machine's clock is ahead of the store's.",
        look.clock_offset,
    )


def _opener(url: str) -> Callable[[], Store] | None:
    """Return what opens a store again, from whatever folder the app changes to meanwhile; one in memory cannot be."""
    if scheme_of(url) == "memory":
        return None
    where = str(sqlite_path(url).absolute()) if scheme_of(url) == "sqlite" else url
    return lambda: open_store(where, create=False)
