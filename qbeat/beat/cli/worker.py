"""``qbeat -A tasks worker -B``: Celery's own worker, with qbeat where Celery would embed its beat."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from qbeat.beat.arguments import AllArguments

_GLOBAL: Final = frozenset(
    {"-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir"}
)
"""Celery's options with a value that stand before its command."""
_GLOBAL_FLAGS: Final = frozenset({"-C", "--no-color", "-q", "--quiet", "--skip-checks"})
_STORE: Final = frozenset({"-s", "--store", "--schedule", "--schedule-filename"})
_WITH_VALUE: Final = "AbsPncSlOQXI"
"""Celery's short options, its worker's included, that take a value."""


@click.command("worker", cls=AllArguments, add_help_option=False)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run Celery's worker; with -B, qbeat runs inside it, as celery beat would. Takes all of its options."""
    arguments = celery_arguments(ctx.args)
    sys.stdout.flush()
    sys.stderr.flush()
    # A fresh process: Celery's worker may have to patch modules before any is imported. -P keeps the folder
    # that it starts in off the path: a file celery.py there must not be taken for Celery.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "celery", *arguments])  # noqa: S606 - no shell is wanted


def celery_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments for the command ``celery``: its own options first, then the worker's."""
    before: list[str] = []
    after: list[str] = []
    scheduler = ["--scheduler", "qbeat"]
    rest = list(arguments)
    while rest:
        words = _take_option(rest)
        name = words[0].partition("=")[0]
        if name == "-h":
            after.append("--help")
        elif name in _GLOBAL or name in _GLOBAL_FLAGS or name[:2] in {"-A", "-b"}:
            before += words
        elif name == "--store":
            after += ["-s", *words[1:], *_attached(words[0])]
        else:
            if name == "--scheduler":
                scheduler = []
            after += words
    return [*before, "worker", *after, *scheduler]


def _take_option(rest: list[str]) -> list[str]:
    """Take the first argument off ``rest``, and the value with it that stands apart."""
    word = rest.pop(0)
    apart = word in _GLOBAL | _STORE or (
        len(word) == 2 and word[0] == "-" and word[1] in _WITH_VALUE  # noqa: PLR2004 - a dash and a letter
    )
    return [word, rest.pop(0)] if apart and rest else [word]


def _attached(word: str) -> list[str]:
    """Return the value of ``--option=value``."""
    _, equals, value = word.partition("=")
    return [value] if equals else []
