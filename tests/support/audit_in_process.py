"""An audit whose commands run in this process, which spares each its start; the lab is a process as ever."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from attestations.cli import main
from auditor_client.committing import Draft
from lab_server.backends.llama import PACKAGED_MODEL, packaged_model
from tests.support.audit_world import design, suite
from tests.support.real_audit import RealAudit, real_audit

STAGES = ("S1", "S2", "S3", "S4", "S5")
_SCRIPTED = '[[variant]]\nid = "rehearsed"\nkind = "deployed"\nbackend = "script"\n'
_EMBEDDED = '[[variant]]\nid = "main"\nkind = "deployed"\nbackend = "local"\n\n[backend.local]\nkind = "llama"\n'


@dataclass
class InProcess:
    """The audit, its lab's event loop, and what its commands said."""

    audit: RealAudit
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def home(self) -> Path:
        return self.audit.auditor.path

    def command(self, *words: str) -> str:
        """Run a command that has to succeed and return what it prints."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0, words
        return said.getvalue()

    def auditor(self, *words: str) -> str:
        return self.command("auditor", *words, "--home", str(self.home))

    def end(self) -> None:
        """Run the suite and bring the audit to its last stage."""
        for words in (("run",), ("close",), ("grade",), ("seal",), *(("release", stage) for stage in STAGES)):
            self.auditor(*words)
        identities = [str(self.audit.auditor.identity), str(self.audit.lab.home.identity)]
        self.command("trust", *identities, "--out", str(self.trust))

    @property
    def trust(self) -> Path:
        return self.audit.folder / "trust.json"

    def evidence(self, stage: str) -> Path:
        return self.audit.auditor.evidence / f"evidence-{stage}.zip"

    def report(self, stage: str) -> dict[str, Any]:
        """Verify as a regulator does, and return what the verifier says."""
        said = self.command("verify", str(self.evidence(stage)), "--trust", str(self.trust), "--json")
        value: dict[str, Any] = json.loads(said)
        return value


@contextmanager
def embedded(folder: Path) -> Iterator[InProcess]:
    """Give an audit of the packaged model with an agreement in force; the lab serves until the end."""
    assert packaged_model().name == PACKAGED_MODEL
    audit = _small(folder, {})
    settings = audit.lab.home.settings
    text = settings.read_text().replace(_SCRIPTED, _EMBEDDED)
    settings.write_text(text.replace('[backend.script]\nkind = "scripted"\nscript = "script.json"\n', ""))
    with serving(InProcess(audit)) as it:
        yield it


@contextmanager
def scripted(folder: Path, script: dict[str, Any], *, granted: str = "") -> Iterator[InProcess]:
    """Give an audit of a scripted model with an agreement in force; `granted` goes on with what the lab grants."""
    audit = _small(folder, script)
    with audit.lab.home.settings.open("a") as file:
        file.write(granted)
    with serving(InProcess(audit)) as it:
        yield it


def _small(folder: Path, script: dict[str, Any]) -> RealAudit:
    drafts = [Draft(task.fields, task.question) for task in suite().tasks]
    return real_audit(folder, drafts, design().plan, script=script)


@contextmanager
def serving(it: InProcess) -> Iterator[InProcess]:
    """Serve an audit's lab until the end, with an agreement in force."""
    it.loop.run_until_complete(it.audit.lab.start())
    try:
        it.auditor("propose")
        yield it
    finally:
        it.loop.run_until_complete(it.audit.lab.stop())
        it.loop.close()
