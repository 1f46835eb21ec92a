"""A lab and an auditor as a person runs them: real processes, real TLS, a scripted model, one fixed port."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attestations.documents.planning import AnalysisPlan
from auditor_client.committing import Draft, Rounds, freeze, write_commitment
from auditor_client.home import Home, create_home
from tests.support.forking import Running, start
from tests.support.lab_process import LabProcess, new_lab

CLASSES = ("C1", "C2", "C3", "C5", "C6", "C7", "C8")
POLICY = {
    "v": "safeconduct-policy/v1",
    "rules": [{"id": f"{name}-r", "class": name, "to": "REGULATOR", "permit": "RUN_CLOSED"} for name in CLASSES],
}


@dataclass
class Ran:
    """What a command returned and said."""

    code: int
    out: str
    err: str


@dataclass
class RealAudit:
    """Both folders; the lab's process is started and killed by the test."""

    folder: Path
    lab: LabProcess
    auditor: Home
    said: list[str] = field(default_factory=list)

    def start(self, *words: str, out: bool = True) -> Running:
        """Start an auditor's command."""
        return start(self._words(*words), out=out)

    def _words(self, *words: str) -> list[str]:
        return ["auditor", *words, "--home", str(self.auditor.path)]

    async def run(self, *words: str, env: dict[str, str] | None = None) -> Ran:
        """Run an auditor's command to its end."""
        return await self.command(*self._words(*words), env=env)

    async def command(self, *words: str, env: dict[str, str] | None = None) -> Ran:
        """Run any `safeconduct` command to its end."""
        process = start(words, env={**os.environ, **(env or {})})
        out, err = await asyncio.wait_for(process.communicate(), 120)
        self.said += [out.decode(), err.decode()]
        return Ran(process.returncode or 0, out.decode(), err.decode())

    async def must(self, *words: str) -> Ran:
        """Run an auditor's command that has to succeed."""
        ran = await self.run(*words)
        assert (ran.code, "" if ran.code == 0 else ran.err) == (0, ""), words
        return ran

    async def verify(self, stage: str) -> Ran:
        """Verify a stage's evidence file as a regulator does."""
        trust = self.folder / "trust.json"
        if not trust.exists():
            identities = [str(self.auditor.identity), str(self.lab.home.identity)]
            assert (await self.command("trust", *identities, "--out", str(trust))).code == 0
        return await self.command(
            "verify", str(self.auditor.evidence / f"evidence-{stage}.zip"), "--trust", str(trust), "--json"
        )


def free_port() -> int:
    """Return a port nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def real_audit(
    folder: Path,
    drafts: Sequence[Draft],
    plan: AnalysisPlan,
    *,
    script: dict[str, Any],
    lanes: int = 4,
    max_attempts: int = 5,
    proxy: int | None = None,
) -> RealAudit:
    """Make both folders with a committed suite; the auditor connects to `proxy` instead if it is given."""
    auditor = Home(folder / "auditor")
    create_home(auditor, party="auditor.example", now=datetime.now(UTC))
    lab = new_lab(folder / "lab", auditors=[auditor.identity], script=script, grant='policy = "policy.json"\n')
    (lab.path / "policy.json").write_text(json.dumps(POLICY))
    port = free_port()
    lab.home.settings.write_text(lab.home.settings.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    (auditor.path / "lab-identity.json").write_bytes(lab.home.identity.read_bytes())
    auditor.settings.write_text(
        f'engagement = "audit-1"\n[lab]\naddress = "127.0.0.1:{proxy or port}"\n[run]\nlanes = {lanes}\n'
    )
    lab.address = f"127.0.0.1:{port}"
    write_commitment(auditor, freeze(drafts, suite_id="suite-test"), plan, Rounds(max_attempts=max_attempts))
    return RealAudit(folder, lab, auditor)
