"""The Lua scripts: one file for each atomic verb, with the files that it says it needs before it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script as Redis gets it, and the name under which Redis keeps it."""

    name: str
    text: str
    digest: str


@cache
def script(name: str) -> Script:
    """Return the script of a verb."""
    own = _read(name)
    needs = re.match(r"-- needs (.+)\n", own)
    text = "\n".join([*(_read(part) for part in (needs[1].split() if needs else ())), own])
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _read(name: str) -> str:
    return files(__package__).joinpath("scripts", f"{name}.lua").read_text("utf-8")
