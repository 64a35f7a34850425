"""What every test gets: the servers' fixtures, and the servers' last words when it fails."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.servers.process import Process, living

pytest_plugins = ["tests.servers.fixtures"]

# A server that takes seconds to boot is started once: its tests all run in one pytest-xdist worker.
_SHARED_IN_ONE_WORKER = {"rabbitmq_server": "rabbitmq"}


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist knows this mark; without it (`-p no:xdist`) strict markers would refuse it.
    config.addinivalue_line(
        "markers", "xdist_group(name): the tests of a group run in one pytest-xdist worker"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    # Not in `pytest_collection_modifyitems`: pytest-xdist's own hook of that name would have looked already.
    for fixture, group in _SHARED_IN_ONE_WORKER.items():
        if fixture in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest first: otherwise one worker would end alone with them.
    items.sort(key=lambda item: "/torture/" not in item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.failed:
        report.sections += [(f"output of {_title(process)}", _last_words(process)) for process in living()]
    return report


def _last_words(process: Process) -> str:
    try:
        return process.tail(30)
    except OSError as error:  # an error here would end the whole run
        return f"cannot be read: {error}"


def _title(process: Process) -> str:
    return " ".join(process.command)[:120]
