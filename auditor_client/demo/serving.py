"""The demo's lab, served for as long as it is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attestations.errors import SetupError
from auditor_client.demo.telling import command

_SERVE_SECONDS = 120.0


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the lab in `folder` and give its address.

    Raises:
        SetupError: it did not start; the message is its own.
    """
    ready = folder / "lab/ready.json"
    ready.unlink(missing_ok=True)
    with (folder / "lab/serve.out").open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command("lab", "serve", "--home", "lab", "--ready-file", str(ready)),
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        deadline = time.monotonic() + _SERVE_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SetupError(f"the lab did not start: {(folder / 'lab/serve.out').read_text().strip()}")
            time.sleep(0.1)
        yield str(json.loads(ready.read_text())["address"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
