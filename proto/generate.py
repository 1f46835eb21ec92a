"""Generates the Python code of the wire beside its `.proto` files; `--check` only says whether it is current."""

from __future__ import annotations

import argparse
import filecmp
import importlib.resources
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE_ROOT = Path(__file__).resolve().parent
PACKAGE = Path("safeconduct/v1")
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def generate(into: Path) -> None:
    """Writes the code of every `.proto` file under `into`; raises `CalledProcessError` when protoc refuses one."""
    sources = sorted(path.relative_to(SOURCE_ROOT).as_posix() for path in (SOURCE_ROOT / PACKAGE).glob("*.proto"))
    scripts = Path(sys.executable).parent  # not resolved: the plugins live beside the virtual environment's python
    subprocess.run(
        [
            sys.executable,
            *("-m", "grpc_tools.protoc"),
            f"--proto_path={SOURCE_ROOT}",
            f"--proto_path={importlib.resources.files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--python_out={into}",
            f"--grpc_python_out={into}",
            f"--mypy_out=quiet:{into}",
            f"--mypy_grpc_out=quiet:{into}",
            *sources,
        ],
        check=True,
        cwd=SOURCE_ROOT,
    )


def generated_names(root: Path) -> set[str]:
    """The generated files under a source root, by name."""
    return {path.name for pattern in GENERATED for path in (root / PACKAGE).glob(pattern)}


def differences(fresh: Path) -> list[str]:
    """The names of files that are stale, missing or left over in the working tree."""
    expected, present = generated_names(fresh), generated_names(SOURCE_ROOT)
    _, changed, unreadable = filecmp.cmpfiles(
        fresh / PACKAGE, SOURCE_ROOT / PACKAGE, sorted(expected & present), shallow=False
    )
    return sorted({*changed, *unreadable, *(expected ^ present)})


def replace(fresh: Path) -> None:
    """Puts the fresh code in place of the old; removes what no longer has a source."""
    for name in generated_names(SOURCE_ROOT) - generated_names(fresh):
        (SOURCE_ROOT / PACKAGE / name).unlink()
    shutil.copytree(fresh / PACKAGE, SOURCE_ROOT / PACKAGE, dirs_exist_ok=True)


def main() -> int:
    """Returns 0 when the code is current (or has been made so), 1 when protoc fails or `--check` finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, exit with 1 when something is stale")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        try:
            generate(fresh)
        except subprocess.CalledProcessError:
            return 1  # protoc has already said where and why
        stale = differences(fresh)
        if stale and check:
            print("generated code is not current, run `make proto`:", *stale, sep="\n  ", file=sys.stderr)
            return 1
        if stale:
            replace(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
