"""`qbeat list`, `next` and `history`: what they print for people and for programs."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qbeat.beat.cli.group import invoke
from qbeat.schedules import Crontab
from qbeat.store import open_store
from tests.beat.world import World, entry

Tool = Callable[..., str]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a past: two entries, a downtime, one that failed."""
    path = str(tmp_path_factory.mktemp("past") / "qbeat.db")
    world = World(lambda clock: open_store(path, clock=clock.now))
    quick, daily = entry("quick", 10), entry("daily", Crontab(0, 8, timezone="Europe/Berlin"))
    broken = entry("broken", 30)
    first = world.start(quick, daily, broken)
    first.publisher.broken = {"broken"}
    world.run(25)
    first.stop()
    world.clock.advance(20)
    world.start(quick, daily)
    world.run(10)
    world.replicas[-1].stop()
    world.store.close()
    return Path(path)


@pytest.fixture
def store(past: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of that store, as the one of the folder that the test stands in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QBEAT_STORE", raising=False)
    return str(shutil.copy(past, tmp_path / "qbeat.db"))


@pytest.fixture
def tool(store: str, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Run a command that must succeed; what it printed."""

    def run(*arguments: str) -> str:
        code = invoke(list(arguments))
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        return out

    return run


# --- list


def test_list_prints_the_fixed_keys_for_programs(tool: Tool) -> None:
    daily, quick = json.loads(tool("list", "--json"))
    assert quick == {
        "name": "quick",
        "task": "tasks.quick",
        "schedule": "every 10 seconds",
        "timezone": "UTC",
        "origin": "declared",
        "paused": False,
        "next_fire_time": "2026-03-27T12:01:00.250Z",
        "last_fire_time": "2026-03-27T12:00:50.250Z",
        "last_published_at": "2026-03-27T12:00:50.250Z",
        "total_run_count": 4,
    }
    assert daily["next_fire_time"] == "2026-03-28T07:00:00Z"
    assert daily["last_fire_time"] is None
    assert daily["last_published_at"] is None


def test_list_prints_a_table_for_people_the_next_first(tool: Tool) -> None:
    heading, *rows = tool("list").splitlines()
    assert heading.split() == ["NAME", "TASK", "SCHEDULE", "NEXT", "LAST", "COUNT"]
    assert [row.split()[0] for row in rows] == ["quick", "daily"]


def test_retired_entries_are_listed_where_all_are_asked_for(tool: Tool) -> None:
    assert "broken" not in tool("list")
    [row] = [line for line in tool("list", "--all").splitlines() if line.startswith("broken")]
    assert "retired" in row


def test_an_entry_that_cannot_be_read_leaves_the_others_listed(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(store) as connection:
        changed = connection.execute("update qbeat_entry set schedule = '{' where name = 'quick'").rowcount
    connection.close()
    assert changed == 1
    assert invoke(["list", "--json"]) == 0
    assert [found["name"] for found in json.loads(capsys.readouterr().out)] == ["daily"]


# --- next


def test_next_prints_fire_times_in_order_for_programs(tool: Tool) -> None:
    found = json.loads(tool("next", "--json", "-n", "5"))
    assert all(set(row) == {"entry", "fire_time"} for row in found)
    assert [row["fire_time"] for row in found] == sorted(row["fire_time"] for row in found)
    assert len(found) == 5


def test_next_of_one_entry_is_of_that_entry(tool: Tool) -> None:
    found = json.loads(tool("next", "daily", "--json", "-n", "3"))
    assert [row["entry"] for row in found] == ["daily"] * 3
    assert all(row["fire_time"].endswith(("T07:00:00Z", "T06:00:00Z")) for row in found)


def test_next_prints_ten_for_people_unless_told_otherwise(tool: Tool) -> None:
    assert len(tool("next", "quick").splitlines()) == 1 + 10
    assert len(tool("next", "quick", "-n", "3").splitlines()) == 1 + 3


def test_next_of_an_entry_that_is_not_there_is_an_error(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["next", "nosuch"]) == 2
    assert "there is no entry 'nosuch'; qbeat list shows which there are" in capsys.readouterr().err
    assert invoke(["next", "dayly"]) == 2
    assert "there is no entry 'dayly'; did you mean 'daily'? qbeat list shows" in capsys.readouterr().err
    assert invoke(["next", "broken"]) == 2
    assert "the entry 'broken' is retired: no app that runs declares it" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["quick", None, "0 9 * * *"])
@pytest.mark.parametrize("form", [["--json"], []])
def test_next_refuses_a_time_zone_that_is_none(
    store: str, capsys: pytest.CaptureFixture[str], what: str | None, form: list[str]
) -> None:
    assert invoke(["next", *([what] if what else []), "--timezone", "Asia/Tokyoo", *form]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "no time zone 'Asia/Tokyoo'; did you mean 'Asia/Tokyo'?" in err


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("0 9 * *", "expression has 4 fields; write five: minute, hour, day of month, month, day of week"),
        ("*/5", "expression has 1 fields; write five"),
        ("0 9 * jan mon-fri * * *", "expression has 8 fields; write five"),
        ("30 0 9 * * *", "--seconds first or --seconds last"),
        ("", "name an entry or an expression, or nothing for all entries"),
        ("feed the cats at noon", "there is no entry 'feed the cats at noon'"),
        ("3 cats", "there is no entry '3 cats'"),
    ],
)
def test_next_says_what_is_wrong_with_an_expression_and_tells_it_from_a_name(
    store: str, capsys: pytest.CaptureFixture[str], what: str, sentence: str
) -> None:
    assert invoke(["next", what]) == 2
    assert sentence in capsys.readouterr().err


def test_next_takes_an_expression_in_the_zone_of_the_app_if_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "kolkata.py").write_text(
        "from celery import Celery\napp = Celery(broker='memory://', set_as_current=False)\n"
        "app.conf.timezone = 'Asia/Kolkata'\n"
    )
    assert invoke(["-A", "kolkata", "next", "0 9 * * *", "--json", "-n", "1"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["fire_time"].endswith("T03:30:00Z")


def test_next_refuses_a_place_for_seconds_that_there_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["next", "0 9 * * *", "--seconds", "first"]) == 2
    assert "--seconds is for expressions of six fields or more" in capsys.readouterr().err


# --- history


def test_history_prints_an_object_a_line_for_programs(tool: Tool) -> None:
    rows: list[dict[str, Any]] = [json.loads(line) for line in tool("history", "--json").splitlines()]
    keys = {"entry", "fire_time", "lane", "outcome", "reason", "task_id", "published_at", "lateness_ms"}
    assert all(keys <= set(row) for row in rows)
    published, _, skipped, *_ = [row for row in rows if row["entry"] == "quick"]
    assert published == {
        "entry": "quick",
        "fire_time": "2026-03-27T12:00:10.250Z",
        "lane": "auto",
        "outcome": "published",
        "reason": None,
        "task_id": published["task_id"],
        "published_at": "2026-03-27T12:00:10.250Z",
        "lateness_ms": 0.0,
    }
    assert skipped == {
        "entry": "quick",
        "fire_time": "2026-03-27T12:00:30.250Z",
        "lane": "auto",
        "outcome": "skipped",
        "reason": "coalesced",
        "task_id": None,
        "published_at": None,
        "lateness_ms": None,
        "until": "2026-03-27T12:00:30.250Z",
        "count": 1,
    }


def test_history_is_in_the_order_of_fire_times_and_names(tool: Tool) -> None:
    rows = [json.loads(line) for line in tool("history", "--json").splitlines()]
    places = [(row["fire_time"], row["entry"]) for row in rows]
    assert places == sorted(places)
    assert len(places) == 6


def test_history_of_some_entries_is_of_those(tool: Tool) -> None:
    assert {json.loads(line)["entry"] for line in tool("history", "quick", "--json").splitlines()} == {
        "quick"
    }
    assert tool("history", "daily") == "Nothing has fired yet.\n"
    assert len(tool("history", "quick", "daily", "--json").splitlines()) == 5


def test_history_of_an_entry_that_never_was_is_an_error(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["qick"], ["quick", "qick"], ["qick", "--json"]):
        assert invoke(["history", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert "there is no entry 'qick'; did you mean 'quick'? qbeat list shows which there are" in err


def test_history_of_an_entry_that_is_gone_from_the_list_is_told(tool: Tool, store: str) -> None:
    with open_store(store) as opened:
        opened.remove(["broken"])
    assert "broken" not in tool("list", "--all")
    assert "broken" in tool("history", "broken")


def test_history_can_be_cut_to_the_latest(tool: Tool) -> None:
    [row] = [json.loads(line) for line in tool("history", "--json", "-n", "1").splitlines()]
    assert row["fire_time"] == "2026-03-27T12:00:50.250Z"


def test_history_prints_a_table_for_people(tool: Tool) -> None:
    heading, *rows = tool("history").splitlines()
    assert heading.split() == ["FIRE", "TIME", "ENTRY", "OUTCOME", "LATE", "TASK", "ID"]
    assert [row.split()[1] for row in rows] == ["quick", "quick", "broken", "quick", "quick", "quick"]
    assert "coalesced" in rows[3]


@pytest.mark.parametrize("command", ["next", "history"])
def test_a_name_that_no_store_keeps_is_that_of_no_entry(
    redis_url: str, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    open_store(redis_url).close()
    assert invoke([command, "\udcff", "-s", redis_url]) == 2  # a byte of the command line that is no UTF-8
    assert r"there is no entry '\udcff'; qbeat list shows" in capsys.readouterr().err


# --- which store


@pytest.mark.parametrize("command", ["list", "next", "history"])
@pytest.mark.parametrize("place", ["before", "after", "environment", "here", "url"])
def test_the_store_may_be_named_in_any_of_the_ways(  # noqa: PLR0917
    tool: Tool, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, place: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if place != "here":
        monkeypatch.chdir(elsewhere)
    if place == "environment":
        monkeypatch.setenv("QBEAT_STORE", store)
    arguments = {
        "before": ["-s", store, command],
        "after": [command, "-s", store],
        "url": [command, "--store", f"sqlite:///{store}"],
    }.get(place, [command])
    assert "quick" in tool(*arguments)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("command", ["list", "next", "history"])
def test_reading_creates_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke([command]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "qbeat: there is no store at qbeat.db: start qbeat once, or name it with -s\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["list", "next", "history"])
def test_an_empty_store_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("qbeat.db").close()
    assert invoke([command, "--json"]) == 0
    assert capsys.readouterr().out in {"", "[]\n"}
    assert invoke([command]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
