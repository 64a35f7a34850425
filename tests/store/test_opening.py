"""A URL or a path finds its store, and nothing that it does not need is imported."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from qbeat.store import open_store
from qbeat.store.base import StoreUnusable
from qbeat.store.memory import MemoryStore
from qbeat.store.opening import scheme_of


def test_a_store_in_memory_can_be_opened_by_url() -> None:
    store = open_store("memory://", clock=lambda: 42)
    assert isinstance(store, MemoryStore)
    assert store.now() == 42


def test_a_store_without_a_clock_goes_by_the_systems() -> None:
    assert abs(open_store("memory://").now() - time.time() * 1_000_000) < 60_000_000


@pytest.mark.parametrize("url", ["mongodb://host/x", "http://host", "foo+bar://x"])
def test_an_unknown_kind_is_refused(url: str) -> None:
    with pytest.raises(StoreUnusable, match="is no kind of store: use a file name"):
        open_store(url)


@pytest.mark.parametrize("url", ["sqlite:/store", "postgresql:host", "host:80/x"])
def test_what_looks_like_a_url_but_is_none_is_a_path(url: str) -> None:
    assert scheme_of(url) == "sqlite"


@pytest.mark.parametrize(
    ("url", "scheme"),
    [("store.db", "sqlite"), ("PostgreSQL+psycopg://x", "postgresql"), ("rediss://x", "rediss")],
)
def test_the_scheme_says_which_kind(url: str, scheme: str) -> None:
    assert scheme_of(url) == scheme


def test_no_driver_is_imported_before_a_store_needs_it() -> None:
    look = "import sys, qbeat.store, qbeat.store.memory; print({'sqlalchemy', 'redis', 'sqlite3'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", look], text=True).strip() == "set()"
