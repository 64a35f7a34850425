"""`-s broker`: the store is the broker's own Redis, however the app says where that is."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from celery import Celery

from qbeat.beat.broker_store import broker_store
from qbeat.beat.errors import CONFIGURATION, SettingError
from qbeat.beat.settings import read_settings
from qbeat.store.redis.address import Address, parse_address
from tests.beat.apps import APP, HEADER
from tests.servers import RedisServer, eventually, run_qbeat
from tests.servers.fixtures import StartQbeat


def app_of(broker: str, **conf: Any) -> Celery:
    app = Celery("tasks", broker=broker, set_as_current=False)
    app.conf.update(conf)
    return app


def address_of(broker: str, **conf: Any) -> Address:
    return parse_address(broker_store(app_of(broker, **conf)))


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        ("redis://", Address((("localhost", 6379),))),
        ("redis://host:6380/2", Address((("host", 6380),), db=2)),
        ("redis://:p%40%2Fw@host/1", Address((("host", 6379),), db=1, password="p@/w")),
        ("redis://me:pw@[::1]:6379/1", Address((("::1", 6379),), db=1, username="me", password="pw")),
        ("redis+socket:///tmp/r.sock?virtual_host=2", Address((), db=2, path="/tmp/r.sock")),
    ],
)
def test_it_is_where_the_broker_is(broker: str, expected: Address) -> None:
    assert address_of(broker) == expected


def test_tls_comes_along_from_the_url_and_from_the_settings() -> None:
    found = address_of("rediss://host/1?ssl_cert_reqs=CERT_NONE")
    assert found.tls == {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    options = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/etc/ca.pem"}
    found = address_of("redis://host/1", broker_use_ssl=options)
    assert found.tls == {
        "ssl_cert_reqs": "required",
        "ssl_ca_certs": "/etc/ca.pem",
        "ssl_check_hostname": True,
    }


def test_sentinels_come_along_with_whom_they_watch() -> None:
    options = {"master_name": "main", "sentinel_kwargs": {"password": "s p"}}
    found = address_of("sentinel://:pw@a:1/3;sentinel://b:2/3", broker_transport_options=options)
    assert found == Address(
        (("a", 1), ("b", 2)), db=3, password="pw", master_name="main", sentinel_password="s p"
    )


def test_apps_that_share_a_database_by_a_key_prefix_have_a_store_each() -> None:
    found = address_of("redis://host/0", broker_transport_options={"global_keyprefix": "{shop}:"})
    assert found.prefix == "shop:qbeat"


@pytest.mark.parametrize(
    ("broker", "why"),
    [
        ("amqp://host//", r"needs a broker that is Redis, and this app's is amqp: name a store such as -s"),
        ("memory://", "this app's is memory"),
        ("redis://one/0;redis://two/0", "names several"),
        ("sentinel://host:26379/0", "master_name"),
    ],
)
def test_a_broker_that_cannot_be_a_store_is_refused_with_the_cure(broker: str, why: str) -> None:
    with pytest.raises(SettingError, match=why):
        read_settings(app_of(broker), store="broker")


def test_the_setting_says_it_too() -> None:
    app = app_of("redis://:pw@host/2", qbeat_store="broker")
    assert read_settings(app).store == "redis://:pw@host/2"


def test_claims_push_and_the_tools_find_the_store(
    tmp_path: Path, start_redis: Callable[..., RedisServer], start_qbeat: StartQbeat
) -> None:
    redis = start_redis()
    redis.client.execute_command("ACL", "SETUSER", "me", "on", ">p@ss/word", "~*", "&*", "+@all")
    broker = redis.database_url(3).replace("//", "//me:p%40ss%2Fword@")
    source = 'app.add_periodic_task(0.5, add.s(1, 2), name="quick")\n'
    (tmp_path / "tasks.py").write_text(HEADER + APP.replace("memory://", broker) + source)
    qbeat = start_qbeat(tmp_path, "-A", "tasks", "-s", "broker")
    client = redis_py.Redis.from_url(redis.database_url(3))
    eventually(lambda: client.llen("celery") >= 2, within=40)
    qbeat.terminate()
    assert qbeat.wait(within=10) == 0
    assert "claiming and publishing are one step" in qbeat.output
    assert "p@ss" not in qbeat.output
    assert "p%40ss" not in qbeat.output
    assert not client.exists("qbeat:marks")
    done = run_qbeat(tmp_path, "history", "-s", "broker", "-A", "tasks", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["outcome"] for row in rows} == {"published"}
    assert len(rows) == client.llen("celery")
    assert not (tmp_path / "qbeat.db").exists()
    client.close()


def test_a_tool_without_an_app_asks_for_it(tmp_path: Path) -> None:
    done = run_qbeat(tmp_path, "list", "-s", "broker")
    assert done.returncode == CONFIGURATION
    assert "name the app too, as in -s broker -A tasks" in done.stderr
    assert len(done.stderr.splitlines()) == 1
