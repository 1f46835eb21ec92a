"""A real lab in a process of its own, started by its command, that tests can stop, kill and start again."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab_server.home import Home, admit, create_home
from tests.support.forking import Running, start

START_SECONDS = 60.0
COMMAND = str(Path(sys.executable).with_name("safeconduct"))

SETTINGS = """\
[listen]
address = "127.0.0.1:0"

[timing]
reveal_seconds = {reveal_seconds}
respond_seconds = {respond_seconds}

[[variant]]
id = "rehearsed"
kind = "deployed"
backend = "script"

[backend.script]
kind = "scripted"
script = "script.json"
"""


@dataclass
class LabProcess:
    """One lab's folder and, while it runs, its process."""

    path: Path
    address: str = ""
    process: Running | None = None
    environment: dict[str, str] = field(default_factory=dict)
    fresh: bool = False  # whether its process shares no memory and no arguments with the one that forks

    @property
    def home(self) -> Home:
        """The lab's folder."""
        return Home(self.path)

    @property
    def pid(self) -> int:
        """The gateway's process id."""
        assert self.process is not None
        return self.process.pid

    def worker_pid(self) -> int:
        """The process id of the gateway's worker."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        assert len(children) == 1
        return int(children[0])

    async def start(self) -> None:
        """Start serving and wait until auditors can connect."""
        ready = self.path / "ready.json"
        ready.unlink(missing_ok=True)
        words = ("lab", "serve", "--home", str(self.path), "--ready-file", str(ready))
        self.process = start(words, env={**os.environ, **self.environment}, out=False, fresh=self.fresh)
        atexit.register(self.process.kill)  # a test that fails leaves nothing behind
        async with asyncio.timeout(START_SECONDS):
            while not ready.exists():
                if self.process.returncode is not None:
                    raise AssertionError((await self.process.communicate())[1].decode())
                await asyncio.sleep(0.02)
        self.address = json.loads(ready.read_text())["address"]

    async def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), START_SECONDS)

    async def kill(self) -> None:
        """Kill it without warning."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def command(self, *words: str) -> tuple[int, str, str]:
        """Run another command on the same folder; returns exit code, output and errors."""
        process = start(("lab", *words, "--home", str(self.path)), env={**os.environ, **self.environment})
        out, errors = await asyncio.wait_for(process.communicate(), START_SECONDS)
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()


def new_lab(
    path: Path,
    *,
    auditors: list[Path],
    script: dict[str, Any] | None = None,
    reveal_seconds: int = 60,
    respond_seconds: int = 60,
    grant: str = "",
    party: str = "lab.example",
) -> LabProcess:
    """Make a lab with a scripted model that admits the auditors whose identity files are given."""
    home = Home(path)
    create_home(home, party=party, now=datetime.now(UTC))
    home.settings.write_text(SETTINGS.format(reveal_seconds=reveal_seconds, respond_seconds=respond_seconds))
    (path / "script.json").write_text(json.dumps(script or {"otherwise": "an answer of a few words"}))
    for auditor in auditors:
        admit(home, auditor)
        with home.settings.open("a") as settings:
            settings.write(grant)
    return LabProcess(path)
