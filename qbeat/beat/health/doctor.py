"""What is wrong or unwise in an installation: each finding with its cure. Needs a store, and an app if there is one."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, Final, Literal

from qbeat import __version__
from qbeat.beat.health.overview import Overview, survey, tz_of
from qbeat.schedules.tzdb import database
from qbeat.store import open_store
from qbeat.store.base import Store, StoreError, StoreMissing, StoreUnavailable, StoreUnusable
from qbeat.store.opening import kind_of, sqlite_path

SLOW_STORE: Final = 0.05
"""Seconds for one answer above which a store delays firings visibly."""
CLOCK_TOLERANCE: Final = 1.0
"""Seconds by which clocks may differ before somebody should know."""

_IMPERATIVES: Final = frozenset(
    {"add", "begin", "let", "make", "name", "pip", "restore", "start", "take", "upgrade", "use", "write"}
)
"""With one of these begins what an error of a store says that one should do."""

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``unreachable`` marks a store or a broker that does not answer."""

    check: str
    level: Level
    text: str
    cure: str | None = None
    unreachable: bool = False

    def as_object(self) -> dict[str, Any]:
        """Return it for ``doctor --json``."""
        found = asdict(self)
        del found["unreachable"]
        return found


def examine_store(url: str) -> Iterator[Finding]:
    """Look at versions, the store, its replicas, clocks and time zones."""
    yield versions()
    yield from file_permissions(url)
    try:
        with open_store(url, create=False) as store:
            yield store_latency(store)
            overview = survey(store)
    except StoreMissing as error:
        yield missing(error)
    except StoreUnavailable as error:
        yield Finding(
            "store", "error", str(error), "See whether it can be reached from here.", unreachable=True
        )
    except StoreError as error:
        yield unusable(error)
    else:
        yield from examine(overview)


def missing(error: StoreMissing) -> Finding:
    """Tell of a store that is not made yet, as before the first start."""
    problem, _, _ = str(error).rpartition(": ")
    return Finding(
        "store",
        "warning",
        f"{problem}; the first start of qbeat makes one.",
        "Nothing to do before the first start; later, see whether -s names the right one.",
    )


def unusable(error: StoreError) -> Finding:
    """Tell of a store that a person has to do something about; most errors end with what that is."""
    problem, _, cure = str(error).rpartition(": ")
    if problem and cure.partition(" ")[0] in _IMPERATIVES:
        return Finding("store", "error", f"{problem}.", f"{cure[0].upper()}{cure[1:]}.")
    return Finding("store", "error", str(error), "Put that right at the store, or name another with -s.")


def examine(overview: Overview) -> Iterator[Finding]:
    """Look at what the store tells of the replicas."""
    yield from replicas(overview)
    yield from clocks(overview)
    yield from tz_databases(overview)
    yield from waiting(overview)


def versions() -> Finding:
    """Tell what is installed."""
    found = [f"qbeat {__version__}", f"Python {platform.python_version()}"]
    for package in ("celery", "kombu", "redis", "SQLAlchemy", "croniter"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return Finding("versions", "ok", ", ".join(found))


def file_permissions(url: str) -> Iterator[Finding]:
    """Look whether an SQLite store can be written by this user, and by nobody else."""
    if not _is_file(url):
        return
    path = sqlite_path(url)
    try:
        places = [place for place in (path, path.parent) if place.exists()]
    except OSError:  # which the store tells with its cure
        return
    if path.parent not in places:  # likewise
        return
    for place in places:
        if not os.access(place, os.W_OK):
            yield Finding(
                "permissions",
                "error",
                f"{place} is not writable for this user; SQLite needs to write the file and its folder.",
                f"chown {_user()} {place}, or run doctor as the user that runs qbeat.",
            )
            return
    if path in places and path.stat().st_mode & 0o002:
        yield Finding("permissions", "error", f"{path} is writable for everybody.", f"chmod o-w {path}")
        return
    yield Finding("permissions", "ok", f"{path} and its folder are writable.")


def _is_file(url: str) -> bool:
    try:
        return kind_of(url) == "sqlite"
    except StoreUnusable:  # there is no such store, as is told of it
        return False


def store_latency(store: Store) -> Finding:
    """Measure how long the store takes for an answer."""
    store.now()  # connects
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        store.unsettled()
        taken.append(time.perf_counter() - started)
    typical = median(taken)
    text = f"{store.url} answers in {typical * 1_000:.1f} ms."
    if typical > SLOW_STORE:
        return Finding(
            "store", "warning", text, "Move the store closer to the replicas; each firing waits for it."
        )
    return Finding("store", "ok", text)


def replicas(overview: Overview) -> Iterator[Finding]:
    """Look whether replicas run, and are all the same."""
    live = [replica.record for replica in overview.live]
    if not live:
        yield Finding("replicas", "warning", "No replica is running.", "Start one: qbeat -A APP.")
        return
    hosts = sorted({record.host for record in live})
    yield Finding("replicas", "ok", f"{len(live)} live, on {', '.join(hosts)}.")
    if overview.store.startswith("sqlite") and len(hosts) > 1:
        yield Finding(
            "replicas",
            "error",
            f"An SQLite file is shared by several machines ({', '.join(hosts)}), whose locks do not hold there.",
            "Use a store on Redis or PostgreSQL for replicas on several machines.",
        )
    for what, values in (
        ("versions of qbeat", {record.version for record in live}),
        ("declarations", {record.generation for record in live}),
    ):
        if len(values) > 1:
            yield Finding(
                "replicas",
                "warning",
                f"Live replicas have {len(values)} different {what}.",
                "Fine while a deploy rolls; otherwise deploy the same code to all of them.",
            )


def clocks(overview: Overview) -> Iterator[Finding]:
    """Look how far the clocks of this machine and of the replicas are from the store's."""
    offsets = {"this machine": overview.clock_offset}
    for replica in overview.live:
        told = replica.record.details.get("clock_offset_ms")
        if told is not None:
            offsets[replica.record.id] = told / 1_000
    wrong = {name: offset for name, offset in offsets.items() if abs(offset) > CLOCK_TOLERANCE}
    for name, offset in wrong.items():
        yield Finding(
            "clocks",
            "warning",
            f"The clock of {name} is {abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} the store's.",
            "Let NTP set it. qbeat fires by the store's clock; tasks and logs may not.",
        )
    if not wrong:
        widest = max(map(abs, offsets.values()))
        yield Finding("clocks", "ok", f"All are within {widest * 1_000:.0f} ms of the store's.")


def tz_databases(overview: Overview) -> Iterator[Finding]:
    """Look whether all replicas, and this process, know the same rules for time zones."""
    here = database()
    told = {"here": f"{here.version or 'unknown'} from {here.source}"}
    told |= {each.record.id: tz for each in overview.live if (tz := tz_of(each.record))}
    if len({tz.partition(" ")[0] for tz in told.values()}) == 1:
        yield Finding("tz database", "ok", f"{told['here']} ({here.why}).")
        return
    yield Finding(
        "tz database",
        "error" if len({tz for name, tz in told.items() if name != "here"}) > 1 else "warning",
        "Different versions: " + ", ".join(f"{name}: {tz}" for name, tz in told.items()) + ".",
        "Install the same version of the package tzdata everywhere: pip install -U tzdata.",
    )


def waiting(overview: Overview) -> Iterator[Finding]:
    """Look whether entries are overdue."""
    if overview.longest_overdue > 1 and overview.live:
        yield Finding(
            "entries",
            "error",
            f"{overview.overdue_words}.",
            "See in the replicas' logs whether the broker is away or the entry's schedule fails.",
        )


def _user() -> str:
    return str(os.environ.get("USER") or os.getuid())
