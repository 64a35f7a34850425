"""qbeat's settings in Celery's configuration: every way in which Celery's users write them, and mistakes."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from celery import Celery

from qbeat.beat.errors import SettingError
from qbeat.beat.settings import read_settings


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QBEAT_STORE", "QBEAT_HEALTH"):
        monkeypatch.delenv(name, raising=False)


def app_with(namespace: str | None = None, **settings: Any) -> Celery:
    """An app with a configuration class of these attributes."""
    app = Celery("tasks", broker="memory://", set_as_current=False)
    app.config_from_object(type("Config", (), settings), namespace=namespace)
    return app


WAYS = [
    (None, "qbeat_store"),
    (None, "QBEAT_STORE"),
    (None, "CELERY_QBEAT_STORE"),
    ("CELERY", "CELERY_QBEAT_STORE"),
    ("SHOP", "SHOP_QBEAT_STORE"),
    ("celery", "celery_qbeat_store"),
]


@pytest.mark.parametrize(("namespace", "key"), WAYS)
def test_a_configuration_class_may_write_a_setting_in_each_of_celerys_ways(
    namespace: str | None, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_settings(app_with(namespace, **{key: "x.db"})).store == "x.db"
    assert caplog.text == ""


@pytest.mark.parametrize("key", ["qbeat_store", "QBEAT_STORE", "CELERY_QBEAT_STORE"])
@pytest.mark.parametrize("is_read", [True, False])
def test_an_update_of_the_configuration_may_do_so_too(
    key: str, is_read: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = Celery("tasks", broker="memory://", set_as_current=False)
    if is_read:
        assert app.conf.task_acks_late is False
    app.conf.update({key: "x.db", "qbeat_history_days": 3})
    assert read_settings(app).store == "x.db"
    assert read_settings(app).history_days == 3
    assert caplog.text == ""


def test_of_several_ways_celerys_own_wins_and_the_others_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Celery("tasks", broker="memory://", set_as_current=False)
    app.conf.update({"CELERY_QBEAT_STORE": "a.db", "QBEAT_STORE": "b.db"})
    assert read_settings(app).store == "a.db"
    assert "The setting QBEAT_STORE is passed over; CELERY_QBEAT_STORE says otherwise." in caplog.text
    app.conf.qbeat_store = "c.db"
    assert read_settings(app).store == "c.db"


@pytest.mark.parametrize(
    ("namespace", "key", "cure"),
    [
        ("CELERY", "QBEAT_STORE", "CELERY_QBEAT_STORE"),
        ("celery", "CELERY_QBEAT_STORE", "celery_qbeat_store"),
        ("CELERY", "SHOP_QBEAT_STORE", "CELERY_QBEAT_STORE"),
        (None, "SHOP_QBEAT_STORE", "qbeat_store"),
        (None, "Qbeat_Store", "qbeat_store"),
    ],
)
def test_a_setting_that_does_nothing_is_warned_of_with_the_cure(
    namespace: str | None, key: str, cure: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_settings(app_with(namespace, **{key: "x.db"})).store == "qbeat.db"
    assert f"The setting {key} does nothing; write it as {cure}." in caplog.text


def test_an_unknown_setting_is_warned_of_and_what_is_not_qbeats_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        read_settings(app_with("CELERY", CELERY_QBEAT_STOER="x.db", USE_QBEAT_DASHBOARD=True))
    assert [record.getMessage() for record in caplog.records] == [
        "The setting qbeat_stoer is unknown; did you mean qbeat_store?"
    ]


def test_the_longest_wait_may_be_written_as_qbeats_or_as_celerys() -> None:
    assert read_settings(app_with(qbeat_max_interval=0.25)).max_interval == 0.25
    assert read_settings(app_with(qbeat_max_interval=0.25, beat_max_loop_interval=0.5)).max_interval == 0.5
    assert read_settings(app_with(), max_interval=0.75).max_interval == 0.75


@pytest.mark.parametrize("value", ["soon", -1, float("nan"), object()])
def test_a_longest_wait_of_celerys_that_cannot_be_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(SettingError, match=r"beat_max_loop_interval is .*; give seconds, more than 0"):
        read_settings(app_with(beat_max_loop_interval=value))


def test_the_environment_wins_over_the_app_and_the_command_line_over_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = app_with(qbeat_store="app.db", qbeat_health="127.0.0.1:1")
    assert read_settings(app).health == "127.0.0.1:1"
    monkeypatch.setenv("QBEAT_STORE", "env.db")
    monkeypatch.setenv("QBEAT_HEALTH", "127.0.0.1:2")
    found = read_settings(app)
    assert (found.store, found.health) == ("env.db", "127.0.0.1:2")
    found = read_settings(app, store="cli.db", health="127.0.0.1:3")
    assert (found.store, found.health) == ("cli.db", "127.0.0.1:3")
