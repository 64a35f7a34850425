"""What the README and the files in deploy/ name: commands, flags, settings, metrics, paths."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from typing import Final

from tests.deploy.files import (
    COMPOSE,
    DEPLOY,
    DOCKERFILE,
    KUBERNETES,
    README,
    UNIT,
    documents,
    instruction,
    lists_under,
    unit_values,
)

PROGRAMS: Final = ("qbeat", "celery")
FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN: Final = re.compile(r"`([^`\n]+)`")
SETS_VARIABLE: Final = re.compile(r"[A-Z_]+=")
NOT_WORDS: Final = ("&", "|", "#", "…", "...", "&&", ">")
"""What ends a command line, or stands for more of it."""


def files() -> list[Path]:
    """Each text that users read or copy."""
    found = [path for path in DEPLOY.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [README, *sorted(found)]


def commands(path: Path) -> list[list[str]]:
    """The command lines of qbeat and of Celery in a file, as words."""
    lines = [shell_words(span) for span in spans(path)]
    if path.suffix == ".md":
        lines += [shell_words(line) for line in console_lines(path.read_text())]
    lines += {
        DOCKERFILE: lambda: [instruction("CMD")],
        UNIT: lambda: [shlex.split(line) for line in unit_values("Exec[A-Za-z]+")],
        COMPOSE: lambda: [*lists_under(documents(COMPOSE), "command", "test")],
        KUBERNETES: lambda: [*lists_under(documents(KUBERNETES), "command", "args")],
    }.get(path, list)()
    without_form = [line[1:] if line[:1] == ["CMD"] else line for line in lines]
    return [
        [Path(line[0]).name, *line[1:]] for line in without_form if line and Path(line[0]).name in PROGRAMS
    ]


def spans(path: Path) -> list[str]:
    """What stands between single backticks, in Markdown or in a comment."""
    text = path.read_text()
    return [] if path.suffix == ".json" else SPAN.findall(FENCE.sub("", text))


def console_lines(text: str) -> Iterator[str]:
    """The command lines of a Markdown file's code blocks."""
    for language, block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if language == "console" and line.startswith("$ "):
                yield line.removeprefix("$ ")
            elif language in {"sh", "bash", "shell"}:
                yield line


def shell_words(line: str) -> list[str]:
    """Split a command line up to where it ends, without the variables that it sets; nothing, if it is none."""
    try:
        words = list(dropwhile(SETS_VARIABLE.match, shlex.split(line)))
    except ValueError:
        return []
    ends = [position for position, word in enumerate(words) if word in NOT_WORDS]
    return words[: ends[0]] if ends else words


def named(path: Path, pattern: str) -> set[str]:
    """Everything in a file that matches."""
    return set(re.findall(pattern, path.read_text()))
