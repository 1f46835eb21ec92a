"""The import contracts of pyproject.toml hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.architecture.tree import ROOT


def test_every_import_contract_is_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_evidence_imports_without_the_dependencies_of_either_side() -> None:
    program = (
        "import sys, importlib, pkgutil, attestations\n"
        "names = [m.name for m in pkgutil.walk_packages(attestations.__path__, 'attestations.')]\n"
        "[importlib.import_module(name) for name in names if not name.endswith(('__main__', 'keyless'))]\n"
        "extras = {'grpc', 'google.protobuf', 'httpx', 'sigstore', 'structlog', 'yaml', 'pydantic_settings'}\n"
        "print(sorted(extras & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
