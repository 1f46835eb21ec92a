"""The wheel holds everything that runs: built offline, installed apart from this checkout, and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support import world_agreement
from tests.support.world import World
from tests.support.world_suite import make_tasks

pytestmark = [pytest.mark.slow]
PACKAGES = {"attestations": ".", "auditor_client": ".", "lab_server": ".", "safeconduct": "proto"}
_QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def ran(*words: str, cwd: Path, path: Path | None = None) -> str:
    """Run Python with nothing of this checkout before what is installed in `path`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | _QUIET
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """Build without isolation and without a network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    ran("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=repository)
    return next(folder.glob("*.whl"))


def test_every_file_of_every_package_is_in_the_wheel(wheel: Path, repository: Path) -> None:
    """Templates, the schema, the demo's suite and policy, prompts: whatever lies beside the code."""
    held = set(ZipFile(wheel).namelist())
    wanted = {
        str(path.relative_to(repository / where))
        for name, where in PACKAGES.items()
        for path in (repository / where / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sorted(wanted - held) == []
    assert {
        "attestations/rendering/templates/agreement.html",
        "attestations/py.typed",
        "lab_server/storage/sqlite/schema.sql",
        "auditor_client/demo/policy.json",
    } <= held
    assert not [name for name in held if name.startswith("tests/")]


def test_an_installed_wheel_verifies_and_shows_pages(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    options = ("--no-deps", "--no-index", "--quiet", "--target", str(installed))
    ran("-m", "pip", "install", *options, str(wheel), cwd=tmp_path)
    where = ran("-c", "import attestations; print(attestations.__file__)", cwd=tmp_path, path=installed)
    assert Path(where.strip()).is_relative_to(installed)

    (tmp_path / "evidence-S3.zip").write_bytes(World(tasks=make_tasks(12)).evidence("S3"))
    (tmp_path / "trust.json").write_text(json.dumps(world_agreement.trust().json_value()))
    command = ("-m", "attestations.cli")
    evidence = ("evidence-S3.zip", "--trust", "trust.json")
    report = json.loads(ran(*command, "verify", *evidence, "--json", cwd=tmp_path, path=installed))
    assert report["exitCode"] == 0
    ran(*command, "render", *evidence, "--html", "page.html", cwd=tmp_path, path=installed)
    assert "The evidence holds" in (tmp_path / "page.html").read_text()
    ran(*command, "lab", "init", "--id", "lab.example", "--home", "lab", cwd=tmp_path, path=installed)
    assert (tmp_path / "lab/lab.toml").exists()
