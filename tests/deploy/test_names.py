"""Every command, flag, setting, variable, metric and test that the README and deploy/ name exists."""

from __future__ import annotations

import ast
import os
import pkgutil
import re
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import click
import pytest
from celery.bin.celery import celery
from click.exceptions import Exit

from qbeat.beat.cli.group import COMMANDS, cli
from qbeat.beat.cli.worker import celery_arguments
from qbeat.beat.settings import Settings
from tests.deploy.exported import Exported
from tests.deploy.files import KUBERNETES, README, ROOT
from tests.deploy.names import commands, files, named, spans

pytestmark = pytest.mark.xdist_group("deploy")

SETTINGS = {f"qbeat_{name}" for name in Settings.__dataclass_fields__}

each_file = pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))


def qbeat_command(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def options_of(*found: click.Command) -> set[str]:
    return {
        name
        for command in found
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def variables() -> set[str]:
    """The environment variables that qbeat reads, and the settings as Django spells them."""
    found = {f"CELERY_{name}".upper() for name in SETTINGS}
    for name in COMMANDS:
        for parameter in qbeat_command(name).params:
            given = parameter.envvar or []
            found |= {given} if isinstance(given, str) else set(given)
    return found


def parse_with_qbeat(words: list[str]) -> None:
    """Parse as qbeat would, without running anything; click's error if it would refuse."""
    try:
        context = cli.make_context("qbeat", list(words))
        name, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
        assert name is not None
        assert command is not None
        sub = command.make_context(name, list(rest), parent=context)
    except Exit:  # --help and --version end so
        return
    if name == "worker":
        parse_with_celery(celery_arguments(sub.args))


def parse_with_celery(words: list[str]) -> None:
    """Look each command and flag up; Celery's own parser would load the app."""
    (name, *_) = [word for word in words if word in celery.commands] or [""]
    assert name, f"celery has no such command: {words}"
    if name == "qbeat":
        parse_with_qbeat(words[words.index(name) + 1 :])
        return
    known = options_of(celery, celery.commands[name]) | {"--help"}
    assert {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)} <= known


@each_file
def test_every_command_line_is_one_that_its_program_takes(path: Path) -> None:
    for program, *words in commands(path):
        if program == "qbeat":
            parse_with_qbeat(words)
        elif words:
            parse_with_celery(words)


@each_file
def test_every_flag_that_stands_alone_exists(path: Path) -> None:
    known = options_of(*(qbeat_command(name) for name in COMMANDS), *celery.commands.values()) | {"--help"}
    flags = {span.split()[0].partition("=")[0] for span in spans(path) if span.startswith("-")}
    assert flags <= known


@each_file
def test_every_environment_variable_is_read(path: Path) -> None:
    assert named(path, r"\b(?:QBEAT|CELERY)_[A-Z_]*[A-Z]\b") <= variables()


@each_file
def test_every_name_with_qbeat_s_prefix_is_a_setting_or_an_exported_metric(
    path: Path, exported: Exported
) -> None:
    assert named(path, r"\bqbeat_[a-z_]*[a-z]\b") <= SETTINGS | exported.names


@each_file
def test_every_path_that_is_named_is_there(path: Path) -> None:
    found = [span for span in spans(path) if re.fullmatch(r"(qbeat|tests|deploy|docs)/[\w./-]*", span)]
    assert [name for name in found if not os.path.lexists(ROOT / name)] == []


@each_file
def test_every_test_that_is_named_is_one(path: Path) -> None:
    assert missing_tests(path) == []


def test_a_test_that_is_none_is_found_missing(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    names = [f"{Path(__file__).relative_to(ROOT)}::{name}" for name in ("missing_tests", "test_nowhere")]
    page.write_text("".join(f"`{name}`\n" for name in names))
    assert missing_tests(page) == names


def missing_tests(path: Path) -> list[str]:
    """Each `file::test` that a text names and pytest would not collect."""
    found = [span.split("::") for span in spans(path) if re.fullmatch(r"tests/[\w/]+\.py::\w+", span)]
    return [f"{module}::{name}" for module, name in found if name not in functions_of(ROOT / module)]


def functions_of(module: Path) -> set[str]:
    """The test functions of a file."""
    names = {node.name for node in ast.parse(module.read_text()).body if isinstance(node, ast.FunctionDef)}
    return {name for name in names if name.startswith("test_")}


def test_every_promise_of_the_readme_names_a_test_that_holds_it() -> None:
    section = README.read_text().partition("\n## The promises\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 4
    assert [row for row in rows if "::test_" not in row.split(" | ")[-1]] == []


@each_file
def test_every_module_and_class_that_is_named_can_be_imported(path: Path) -> None:
    dotted = {span for span in spans(path) if re.fullmatch(r"qbeat(\.[a-z_]+)+(\.[A-Z]\w*)?", span)}
    for name in dotted - {"qbeat.db"}:
        assert pkgutil.resolve_name(name)


@each_file
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {span.split()[1] for span in spans(path) if re.match(r"make [a-z-]+", span)} <= targets


@pytest.mark.parametrize("page", sorted(set(re.findall(r"path: (/\w+)", KUBERNETES.read_text()))))
def test_every_page_that_kubernetes_asks_for_is_answered(page: str, health_url: str, exported: Any) -> None:
    with urlopen(f"{health_url}{page}") as answer:
        assert answer.status == 200


def test_the_names_that_these_tests_look_for_are_found() -> None:
    lines = [" ".join(words) for path in files() for words in commands(path)]
    assert {"qbeat --quiet", "qbeat status --probe", "celery worker --loglevel INFO"} <= set(lines)


@pytest.mark.parametrize("line", ["list --no-such-flag", "no-such-command", "-A tasks list --probe"])
def test_what_qbeat_would_refuse_is_refused_here(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse_with_qbeat(line.split())


@pytest.mark.parametrize("line", ["beat --no-such-flag", "worker -A tasks --health x", "qbeatt"])
def test_what_celery_would_refuse_is_refused_here(line: str) -> None:
    with pytest.raises(AssertionError):
        parse_with_celery(line.split())
