"""What is wrong or unwise about an app and its broker, and with what runs beside qbeat."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from celery import Celery

from qbeat.beat.app.checking import check_app
from qbeat.beat.broker_url import broker_of
from qbeat.beat.errors import QbeatError, SettingError
from qbeat.beat.health.doctor import Finding
from qbeat.beat.publishing.plain import PlainScheduler, PlainSender, explain
from qbeat.beat.settings import Settings
from qbeat.store.opening import scheme_of

SLOW_BROKER: Final = 0.1
"""Seconds for connecting and one answer above which publishing is slow."""

_CURES: Final = {
    "unknown-task": "Import its module (imports, include, autodiscover_tasks), or correct the name.",
    "cannot-be-published": "Correct its arguments or options.",
}
"""What to do about the findings of ``check`` that are errors, by their codes."""


def examine_app(app: Celery, settings: Settings) -> Iterator[Finding]:
    """Look at the broker, the app's settings, its entries, and what else runs here."""
    yield broker(app)
    yield from mistakes(app, settings)
    yield from entries(app)
    yield from rivals()


def broker(app: Celery) -> Finding:
    """Connect to the broker as publishing does, which asks it for a channel or an answer to a ping."""
    try:
        url = broker_of(app).as_uri()
    except SettingError as error:
        return Finding("broker", "error", f"{error}.", "Correct broker_url; qbeat does not start with it.")
    sender = PlainSender(app, PlainScheduler(app))
    started = time.perf_counter()
    try:
        sender.connect()
    except Exception as error:  # noqa: BLE001 - each transport has its own errors
        return Finding(
            "broker",
            "error",
            f"{url} does not answer ({explain(error)}).",
            "See whether it runs, and whether broker_url is right.",
            unreachable=True,
        )
    finally:
        sender.close()
    taken = time.perf_counter() - started
    text = f"{url} answers; connecting takes {taken * 1_000:.0f} ms."
    if taken > SLOW_BROKER:
        return Finding("broker", "warning", text, "Move it closer, or see whether it is overloaded.")
    return Finding("broker", "ok", text)


def mistakes(
    app: Celery, settings: Settings, environment: Mapping[str, str] = os.environ
) -> Iterator[Finding]:
    """Look for settings that do not mean what people think."""
    found = [*_mistakes(app.conf, settings, environment)]
    yield from found or [Finding("settings", "ok", "No common mistake.")]


def _mistakes(conf: Any, settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    kind = scheme_of(settings.store)
    if conf.task_always_eager:
        yield Finding(
            "settings",
            "error",
            "task_always_eager is on: tasks run inside qbeat, one after the other, instead of in a worker.",
            "Turn it off outside of tests.",
        )
    if kind == "memory":
        yield Finding(
            "settings",
            "warning",
            "The store is memory://, which forgets everything when qbeat ends.",
            "Name a file or a server: qbeat_store, QBEAT_STORE or -s.",
        )
    if kind == "sqlite" and environment.get("DYNO"):
        yield Finding(
            "settings",
            "error",
            "The store is a file, and a dyno's disk is lost with each restart.",
            "Use Redis or PostgreSQL: QBEAT_STORE=$REDIS_URL.",
        )
    if kind == "sqlite" and environment.get("KUBERNETES_SERVICE_HOST"):
        yield Finding(
            "settings",
            "warning",
            "The store is a file, and a pod's disk is lost with the pod unless it is a volume.",
            "Use Redis or PostgreSQL, or mount a volume there.",
        )
    if settings.health and settings.health.startswith((":", "0.0.0.0", "[::]")):  # noqa: S104 - looked for
        yield Finding(
            "settings",
            "warning",
            f"The health port listens on every network ({settings.health}).",
            "Fine where only the cluster reaches it; otherwise 127.0.0.1.",
        )


def entries(app: Celery) -> Iterator[Finding]:
    """Look whether the entries can be read, and what is odd about them."""
    try:
        warnings, count = check_app(app)
    except QbeatError as error:
        yield Finding(
            "entries", "error", str(error), "Correct the declaration; qbeat does not start with it."
        )
        return
    wrong = [each for each in warnings if each.code in _CURES]
    for each in wrong:
        yield Finding("entries", "error", f"{each.entry}: {each.text}.", _CURES[each.code])
    remarks = len(warnings) - len(wrong)
    if remarks:
        yield Finding(
            "entries",
            "warning",
            f"{_counted(remarks, 'remark', 'remarks')} about {_counted(count, 'entry', 'entries')}.",
            "qbeat check shows them.",
        )
    if not warnings:
        yield Finding("entries", "ok", f"{count} declared.")


def _counted(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def rivals(processes: Path = Path("/proc")) -> Iterator[Finding]:
    """Look for Celery's own beat on this machine, which would send every entry a second time."""
    for file in processes.glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if is_celery_beat(words):
            yield Finding(
                "rivals",
                "warning",
                f"celery beat runs here, too, as process {file.parent.name}: {' '.join(words).strip()}",
                "Stop it if it is for the same app: it sends every entry a second time.",
            )


def is_celery_beat(words: list[str]) -> bool:
    """Whether a command line is Celery's own scheduler, alone or inside a worker."""
    names = [Path(word).name for word in words[:4]]
    if "celery" not in names or any("qbeat" in word for word in words):
        return False
    return "beat" in words or ("worker" in words and bool({"-B", "--beat"} & {*words}))
