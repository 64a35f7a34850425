"""A URL or a path finds its store, and nothing that it does not need is imported."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from qbeat.store import open_store
from qbeat.store.base import StoreError, StoreUnavailable, StoreUnusable
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


@pytest.mark.parametrize("kind", ["mysql://", "redis://", "rediss://", "sentinel://", "broker"])
def test_who_names_an_unknown_kind_hears_of_all_that_there_are(kind: str) -> None:
    with pytest.raises(StoreUnusable, match=kind):
        open_store("foo://host/x")


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("redis:/localhost", "write redis://"),
        ("rediss:localhost:6379", "write rediss://"),
        ("sqlite:/x.db", "write sqlite:///x.db or sqlite:////folder/x.db"),
        ("postgresql:/u:S3cret@h/x", "write postgresql://"),
        ("mysql+pymysql:/x", "write mysql://"),
        ("memory:", "write memory://"),
    ],
)
def test_a_url_that_lacks_a_slash_is_not_taken_for_a_file(url: str, cure: str) -> None:
    with pytest.raises(StoreUnusable, match=cure) as refusal:
        open_store(url)
    assert "S3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("postgresql://u@h:abc/x", "port"),
        ("mysql://u@h:abc/x", "port"),
        ("postgresql://[::1/x", "port"),
        ("postgresql://u@h/x?port=abc", "port"),
        ("postgresql://u@127.0.0.1:1/x?connect_timeout=abc", "connect_timeout"),
        ("postgresql://u@127.0.0.1:1/x?foo=bar", "foo"),
        ("postgresql://u@127.0.0.1:99999/x", "port"),
        ("mysql://u@h/x?ssl=true", "ssl.*write ssl_ca=FILE"),
        ("mysql://u@h/x?connect_timeout=abc", "connect_timeout"),
        ("mysql://u@h/x?local_infile=abc", "local_infile"),
        ("mysql://u@h/x?foo=bar", "foo"),
        ("mysql://u@h/x?connect_timeout=3&foo=bar", "foo"),
        ("mariadb://u@h/x?foo=bar", "foo"),
        ("mysql://u@127.0.0.1:1/x?ssl_ca=/nowhere", "ssl_ca"),
    ],
)
def test_a_servers_url_that_cannot_be_is_refused_with_what_is_wrong_in_it(url: str, word: str) -> None:
    with pytest.raises(StoreUnusable, match=word) as refusal:
        open_store(url)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["postgresql", "mysql", "redis"])
@pytest.mark.parametrize("host", ["db..example", "x" * 64])
def test_a_host_that_cannot_be_is_refused(kind: str, host: str) -> None:
    with pytest.raises(StoreUnusable, match="the host in the store's URL"):
        open_store(f"{kind}://{host}/0")


def test_several_hosts_may_be_longer_than_one() -> None:
    with pytest.raises(StoreUnavailable):
        open_store(f"postgresql://{','.join(['localhost'] * 9)}:1/x")


@pytest.mark.parametrize(
    "option", ["connect_timeout=3", "local_infile=0", "program_name=qbeat", "ssl_check_hostname=0"]
)
def test_an_option_that_the_driver_takes_leads_to_the_server(option: str) -> None:
    with pytest.raises(StoreUnavailable):
        open_store(f"mysql://u@127.0.0.1:1/x?{option}")


@pytest.mark.parametrize("kind", ["postgresql", "mysql", "redis", "rediss", "sentinel"])
@pytest.mark.parametrize(
    "password",
    ["Qz1/Vx2", "Qz1#Vx2", "Qz1?Vx2", "12/Vx2", "12#Vx2", "12?Vx2", "Qz1@Vx2", "Qz1@Vx2:x", "Qz1@Vx2/x"],
)
def test_no_part_of_a_password_is_told(kind: str, password: str) -> None:
    with pytest.raises(StoreError) as refusal:
        open_store(f"{kind}://me:{password}@127.0.0.1:1/0{'?master_name=m' * (kind == 'sentinel')}")
    said = str(refusal.value)
    assert "Qz1" not in said
    assert "Vx2" not in said
    # What SQLAlchemy or redis-py reads as it is meant leads to a server, which is not there.
    assert (
        isinstance(refusal.value, StoreUnavailable)
        or "write / # ? @ in a password as %2F %23 %3F %40" in said
    )


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
