"""The committed code of the wire is what its `.proto` files generate."""

from __future__ import annotations

import importlib
import subprocess
import sys

from tests.architecture.tree import ROOT


def test_the_generated_code_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "proto/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_proto_file_imports_as_python() -> None:
    names = [path.stem for path in sorted((ROOT / "proto/safeconduct/v1").glob("*.proto"))]
    assert names
    for name in names:
        assert importlib.import_module(f"safeconduct.v1.{name}_pb2").DESCRIPTOR.package == "safeconduct.v1"
