"""npm's verifiers, run by node where both are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def run_verifier(script: str, repository: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script of `tests/conformance` with the folder of the npm packages; skips where they are not."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    return subprocess.run(
        [node, str(repository / "tests/conformance" / script), _packages(repository), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _packages(repository: Path) -> str:
    for folder in (os.environ.get("SAFECONDUCT_SIGSTORE_VERIFY"), repository / "build" / "node"):
        if folder is not None and (Path(folder) / "node_modules" / "@sigstore" / "verify").exists():
            return str(folder)
    pytest.skip(
        "@sigstore/verify is not installed: npm i --force @sigstore/verify@4.1.3 @sigstore/bundle@5.0.1 in build/node"
    )
