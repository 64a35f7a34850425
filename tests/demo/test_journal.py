"""The journal brings each event once, however it was written."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from qbeat.beat.demo.journal import Executed, Published, Reader, Ready, append

processes = multiprocessing.get_context("spawn")


def append_many(path: Path, writer: int) -> None:
    for number in range(200):
        append(path, Published(float(number), f"writer {writer}", "2026-11-21T07:30:00Z", "x" * number))


def test_what_was_appended_is_read_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    reader = Reader(path)
    assert list(reader.events()) == []
    append(path, Ready(1.5))
    assert list(reader.events()) == [Ready(1.5)]
    end = Executed(2.0, "task", "id", "root", None, "KeyError: 'ü'", succeeded=False, continues=False)
    append(path, end)
    assert list(reader.events()) == [end]
    assert list(reader.events()) == []


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    reader = Reader(path)
    append(path, Ready(1.5))
    line = path.read_bytes()
    path.write_bytes(line[:7])
    assert list(reader.events()) == []
    path.write_bytes(line)
    assert list(reader.events()) == [Ready(1.5)]


def test_lines_of_several_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writers = [processes.Process(target=append_many, args=(path, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    events = [event for event in Reader(path).events() if isinstance(event, Published)]
    assert len(events) == 600
    for number in range(3):
        assert [event.at for event in events if event.entry == f"writer {number}"] == list(range(200))
