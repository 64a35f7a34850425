"""The files in deploy/ pass the checkers that others have written for them, and agree with qbeat and each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from hatchling.builders.wheel import WheelBuilder

from qbeat.beat.errors import CONFIGURATION, USAGE
from qbeat.beat.health.address import parse_address
from qbeat.beat.settings import Settings
from tests.deploy.files import (
    COMPOSE,
    DOCKERFILE,
    KUBERNETES,
    ROOT,
    UNIT,
    container,
    documents,
    image_environment,
    instruction,
    manifest,
    unit_values,
)

HIGHEST_EXPOSURE = 20
"""Of 100; a unit without any hardening has 96."""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def beside_python(program: str) -> str:
    """The path of a program that a package has installed; skips where the package has no build."""
    found = shutil.which(program, path=str(Path(sys.executable).parent))
    return found or pytest.skip(f"{program} has no build for this machine")


def systemd_analyze() -> str:
    return shutil.which("systemd-analyze") or pytest.skip("this machine has no systemd-analyze")


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = run(beside_python("hadolint"), "--no-color", DOCKERFILE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_copies_what_is_there_and_what_the_ignore_file_lets_through() -> None:
    ignore = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    names = [name for each in copied for name in each.split()]
    assert names
    for name in names:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignore


def test_what_the_dockerfile_copies_is_enough_to_build_qbeat(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
        assert name in DOCKERFILE.read_text()
    shutil.copytree(ROOT / "qbeat", tmp_path / "qbeat", ignore=shutil.ignore_patterns("__pycache__"))
    (wheel,) = WheelBuilder(str(tmp_path)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    assert Path(wheel).suffix == ".whl"


def test_the_image_runs_qbeat_without_a_shell_and_as_the_user_that_kubernetes_expects() -> None:
    assert instruction("CMD")[0] == "qbeat"
    (uid, gid) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE.read_text(), re.MULTILINE)[0]
    pod = manifest("Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert (pod["runAsUser"], pod["runAsGroup"], pod["runAsNonRoot"]) == (int(uid), int(gid), True)


def test_the_compose_file_has_the_shape_that_compose_asks_for() -> None:
    # Only its file: to import the package would take longer than all else here.
    path = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(Path(str(distribution("check-jsonschema").locate_file(path))).read_text())
    jsonschema.validate(documents(COMPOSE)[0], schema)


def test_the_compose_file_starts_two_qbeats_on_the_redis_of_the_broker() -> None:
    qbeat = documents(COMPOSE)[0]["services"]["qbeat"]
    assert qbeat["deploy"]["replicas"] == 2
    assert qbeat["environment"]["QBEAT_STORE"] == qbeat["environment"]["CELERY_BROKER_URL"]


@pytest.mark.parametrize("document", documents(KUBERNETES), ids=lambda each: each["kind"])
def test_kubernetes_knows_every_field(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_kubernetes_probes_ask_the_port_that_qbeat_opens() -> None:
    environment = {each["name"]: each.get("value") for each in container()["env"]}
    ports = {each["name"]: each["containerPort"] for each in container()["ports"]}
    annotations = manifest("Deployment")["spec"]["template"]["metadata"]["annotations"]
    probes = [
        container()[name]["httpGet"]["port"] for name in ("startupProbe", "livenessProbe", "readinessProbe")
    ]
    asked = {*(ports[port] for port in probes), int(annotations["prometheus.io/port"])}
    assert asked == {parse_address(environment["QBEAT_HEALTH"])[1]}


def test_one_of_two_replicas_may_be_disrupted_and_both_are_the_deployment_s() -> None:
    budget, deployment = manifest("PodDisruptionBudget")["spec"], manifest("Deployment")["spec"]
    assert deployment["replicas"] == budget["minAvailable"] + 1 == 2
    labels = deployment["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"] == deployment["selector"]["matchLabels"] == labels


def test_every_way_to_run_waits_longer_for_a_stop_than_qbeat_itself() -> None:
    graces = [
        seconds(documents(COMPOSE)[0]["services"]["qbeat"]["stop_grace_period"]),
        seconds(unit_values("TimeoutStopSec")[0]),
        manifest("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"],
    ]
    assert min(graces) > Settings.shutdown_timeout


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    # It wants to see the program, so here the one of this environment stands for the app's.
    (line,) = unit_values("ExecStart")
    program = line.split()[0]
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(program, str(Path(sys.executable).with_name("qbeat"))))
    done = run(systemd_analyze(), "verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_the_unit_locked_in() -> None:
    analyze = [systemd_analyze(), "security", "--offline=true", "--no-pager"]
    done = run(*analyze, f"--threshold={HIGHEST_EXPOSURE}", UNIT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_does_not_repeat_what_only_a_person_can_mend() -> None:
    (codes,) = unit_values("RestartPreventExitStatus")
    assert {int(code) for code in codes.split()} == {USAGE, CONFIGURATION}


def test_the_health_port_is_open_to_others_only_inside_containers() -> None:
    assert parse_address(image_environment()["QBEAT_HEALTH"])[0] == "0.0.0.0"
    (line,) = unit_values("Environment")
    unit = dict(word.split("=", 1) for word in line.split())
    assert parse_address(unit["QBEAT_HEALTH"])[0] == "127.0.0.1"
