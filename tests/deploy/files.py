"""The files of the deployment examples, and what can be read out of them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
DEPLOY: Final = ROOT / "deploy"
DOCKERFILE: Final = DEPLOY / "Dockerfile"
COMPOSE: Final = DEPLOY / "compose.yaml"
UNIT: Final = DEPLOY / "systemd" / "qbeat.service"
KUBERNETES: Final = DEPLOY / "kubernetes" / "qbeat.yaml"
ALERTS: Final = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD: Final = DEPLOY / "grafana" / "qbeat.json"


def documents(path: Path) -> list[Any]:
    """What the documents of a YAML file hold."""
    return list(yaml.safe_load_all(path.read_text()))


def manifest(kind: str) -> Any:
    """The Kubernetes object of this kind."""
    (found,) = (each for each in documents(KUBERNETES) if each["kind"] == kind)
    return found


def container() -> Any:
    """The one container of the Kubernetes deployment."""
    (found,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def instruction(name: str) -> list[str]:
    """The list form of the one Dockerfile instruction of this name."""
    (found,) = re.findall(rf"^{name} (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    words: list[str] = json.loads(found)
    return words


def image_environment() -> dict[str, str]:
    """What the image's ENV sets."""
    (line,) = re.findall(r"^ENV (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return dict(word.split("=", 1) for word in shlex.split(line))


def unit_values(key: str) -> list[str]:
    """The values of a key in the systemd unit."""
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def lists_under(data: Any, *keys: str) -> Iterator[list[str]]:
    """Every list that stands under one of these keys, however deep."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key in keys and isinstance(value, list):
                yield value
            else:
                yield from lists_under(value, *keys)
    elif isinstance(data, list):
        for each in data:
            yield from lists_under(each, *keys)
