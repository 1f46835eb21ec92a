"""Runs many `safeconduct` commands in processes of their own without importing everything for each.

One process imports the program and forks for each command; what a command does, it does in a process that has run
nothing before, with its own folder, streams and exit code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


class Commands:
    """Runs commands in one folder, one after the other; a context that ends its process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run one command and return its code and what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out, errors = self._folder / ".out", self._folder / ".errors"
        asked = {"arguments": list(arguments), "folder": str(self._folder), "out": str(out), "errors": str(errors)}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        said = subprocess.CompletedProcess(arguments, code, out.read_text(), errors.read_text())
        out.unlink()
        errors.unlink()
        return said


def serve() -> None:
    """Answer one line of standard input after the other with an exit code, until it ends."""
    import lab_server.cli  # noqa: F401 - imported for the children

    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _become(asked["arguments"], asked["folder"], asked["out"], asked["errors"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(arguments: Sequence[str], folder: str, out: str, errors: str) -> None:
    from attestations.cli import main

    code = 75
    try:
        for number, path in ((0, os.devnull), (1, out), (2, errors)):
            os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        os.chdir(folder)
        main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - a child never returns into its parent's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
