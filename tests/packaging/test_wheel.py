"""The built wheel holds everything, and runs where the source tree is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import qbeat

ROOT = Path(__file__).parents[2]

# Built and installed once: all tests of this file run in one pytest-xdist worker.
pytestmark = pytest.mark.xdist_group("wheel")


def run(*command: str | Path, directory: Path, within: float = 150) -> str:
    """Run a command outside the source tree, with no path that leads back to it; its standard output."""
    environment = {
        key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, directory=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh virtual environment that holds nothing but the wheel and what it asks for."""
    home = tmp_path_factory.mktemp("installed")
    python = home / "venv/bin/python"
    uv = shutil.which("uv")
    if uv:
        run(uv, "venv", "--python", sys.executable, home / "venv", directory=home)
        run(uv, "pip", "install", "--python", python, wheel, directory=home)
    else:
        run(sys.executable, "-m", "venv", home / "venv", directory=home)
        run(python, "-m", "pip", "install", "--quiet", wheel, directory=home)
    return python.parent


def package_files() -> set[str]:
    files = (path for path in (ROOT / "qbeat").rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}


def test_the_wheel_holds_every_file_of_the_package_and_no_other_code(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == package_files()


def test_the_sdist_holds_the_tests_and_what_runs_them(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "LICENSE", "README.md", "tests/conftest.py", "tests/install_servers"} <= held


def test_the_installed_package_is_the_wheels_and_not_the_source_tree(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import qbeat; print(qbeat.__file__)", directory=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_the_installed_command_tells_its_version(installed: Path, tmp_path: Path) -> None:
    assert qbeat.__version__ in run(installed / "qbeat", "--version", directory=tmp_path)


def test_the_installed_command_tells_its_options(installed: Path, tmp_path: Path) -> None:
    assert "--app" in run(installed / "qbeat", "--help", directory=tmp_path)


def test_the_installed_demo_publishes_and_executes_every_fire_time(installed: Path, tmp_path: Path) -> None:
    answer = run(installed / "qbeat", "demo", "--seconds", "5", "--json", directory=tmp_path)
    verdict = json.loads(answer)
    assert verdict["ok"], verdict
    assert verdict["published"] == verdict["executed"] == verdict["planned"] > 0
