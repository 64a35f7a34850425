"""Runs the demo: a worker and a qbeat on a broker in a folder, told as it happens and judged at the end."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, Self

import click

from qbeat.beat.demo.children import Child, ChildError, start_qbeat, start_worker
from qbeat.beat.demo.journal import Event, Reader, Ready
from qbeat.beat.demo.telling import Teller, in_words
from qbeat.beat.demo.verdict import Verdict, all_executed, is_complete, judge, planned_fires
from qbeat.beat.errors import FAILED, INTERRUPTED, OK, USAGE
from qbeat.schedules.base import SECOND
from qbeat.schedules.codec import from_data
from qbeat.store.base import Store, StoreError
from qbeat.store.opening import open_store
from qbeat.store.records import EntryRecord, HistoryRecord

START_TIMEOUT: Final = 60.0
"""Seconds for a child to be ready."""
SETTLE_TIMEOUT: Final = 15.0
"""Seconds for the last fire times of the span to be published, and again for their tasks to be executed."""
STOP_TIMEOUT: Final = 10.0
POLL: Final = 0.05


def run_demo(seconds: float | None, as_json: bool, folder: Path | None) -> int:
    """Run the demo and return its exit code: 0 only if every fire time was published once and executed once.

    It ends after ``seconds``, or on Ctrl-C or SIGTERM; a second Ctrl-C does not wait for anything. With
    ``as_json`` the counts are printed as one JSON object and nothing else. A ``folder`` that is given must be new
    or empty, and stays afterwards; otherwise a temporary one is made and removed.
    """
    if folder is not None and folder.exists() and any(folder.iterdir()):
        click.echo(f"{folder} is not empty; give a folder that is new or empty", err=True)
        return USAGE
    with _workplace(folder) as place, _stop_signals() as stop, _Demo(place, stop, quiet=as_json) as demo:
        try:
            verdict = demo.run(seconds)
        except (ChildError, StoreError) as error:
            click.echo(f"The demo failed: {error}", err=True)
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED
    click.echo(json.dumps(verdict.as_json()) if as_json else in_words(verdict, kept=folder))
    return OK if verdict.ok else FAILED


class _Demo:
    """The children of one run, and what is known of them so far."""

    def __init__(self, folder: Path, stop: threading.Event, *, quiet: bool) -> None:
        self._folder = folder
        self._stop = stop
        self._teller = None if quiet else Teller(sys.stdout)
        self._reader = Reader(folder / "journal.jsonl")
        self._events: list[Event] = []
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.kill()

    def run(self, seconds: float | None) -> Verdict:
        """Run from the first child's start to the last one's end."""
        store_path = self._folder / "qbeat.db"
        worker = self._start(start_worker(self._folder), self._worker_is_ready)
        qbeat = self._start(start_qbeat(self._folder, store_path), lambda: bool(_entries(store_path)))
        with open_store(str(store_path), create=False) as store:
            records = store.entries()
            self._introduce(store_path, records, seconds)
            until = self._wait_for_end(records, seconds)
            plan = planned_fires(records, until)
            self._await(lambda: is_complete(plan, _history(store)), SETTLE_TIMEOUT)
            code = qbeat.stop(STOP_TIMEOUT)
            history = _history(store)
            self._await(lambda: all_executed(history, self._events), SETTLE_TIMEOUT)
        # Nothing is left for the worker to do, and a warm shutdown of an idle worker takes Celery seconds.
        worker.kill()
        self._listen()
        if code != 0:
            raise ChildError(f"qbeat did not end cleanly (exit code {code}); its last lines:\n{qbeat.tail()}")
        return judge(plan, until, history, self._events)

    def _start(self, child: Child, ready: Callable[[], bool]) -> Child:
        self._children.append(child)
        settled = self._await(lambda: self._stop.is_set() or ready(), START_TIMEOUT)
        if self._stop.is_set():
            raise KeyboardInterrupt
        if not settled:
            raise ChildError(
                f"the {child.name} was not ready within {START_TIMEOUT:g} s; its last lines:\n{child.tail()}"
            )
        return child

    def _worker_is_ready(self) -> bool:
        return any(isinstance(event, Ready) for event in self._events)

    def _wait_for_end(self, records: list[EntryRecord], seconds: float | None) -> int:
        """Wait for the end of the span and return it, in microseconds since the epoch."""
        end = None if seconds is None else min(r.anchor for r in records) + round(seconds * SECOND)
        while end is None or _now() < end:
            self._attend()
            if self._stop.wait(POLL):
                return _now()
        return end

    def _await(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until the condition holds; say whether it did before ``timeout`` seconds were over."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._attend()
            time.sleep(POLL)
        return True

    def _attend(self) -> None:
        for child in self._children:
            child.check()
        self._listen()

    def _listen(self) -> None:
        for event in self._reader.events():
            self._events.append(event)
            if self._teller:
                self._teller.tell(event)

    def _introduce(self, store_path: Path, records: list[EntryRecord], seconds: float | None) -> None:
        if self._teller is None:
            return
        length = "until Ctrl-C" if seconds is None else f"for {seconds:g} seconds"
        self._teller.say(f"A Celery worker and qbeat run {length}, on a broker in {self._folder}.")
        for record in records:
            self._teller.say(f"  {record.name:<24} {from_data(record.schedule).describe()}")
        self._teller.say(f"Look into it from another terminal: qbeat history -s {store_path}\n")


def _entries(store_path: Path) -> list[EntryRecord]:
    """Return the entries of a store that may not be there yet."""
    try:
        with open_store(str(store_path), create=False) as store:
            return store.entries()
    except StoreError:
        return []


def _history(store: Store) -> list[HistoryRecord]:
    return list(store.history())


def _now() -> int:
    return time.time_ns() // 1000


@contextmanager
def _workplace(folder: Path | None) -> Iterator[Path]:
    """Yield the demo's folder; a temporary one is removed afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.absolute()
        return
    place = Path(tempfile.mkdtemp(prefix="qbeat-demo-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; the second one raises ``KeyboardInterrupt``."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
