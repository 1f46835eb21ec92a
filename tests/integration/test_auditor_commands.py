"""The auditor's commands as a person runs them, against a lab on loopback, up to evidence a stranger verifies."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from attestations.errors import ExitCode
from attestations.identity import Identity
from auditor_client.committing import Draft, freeze, write_commitment
from auditor_client.home import Home, _certificate, create_home
from auditor_client.transport.channel import spki_digest
from tests.support.audit_world import LAB, World, design, suite
from tests.support.forking import start
from tests.support.lab_over_grpc import served
from tests.support.simulated_lab import SimulatedLab


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Ran:
    """What a command returned and said."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


async def _command(*arguments: str, cwd: Path, kill_after: float | None = None) -> Ran:
    process = start(arguments, cwd=cwd)
    if kill_after is not None:
        await asyncio.sleep(kill_after)
        with suppress(ProcessLookupError):  # it was faster
            process.send_signal(signal.SIGKILL)
    out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())


@asynccontextmanager
async def _audit(folder: Path) -> AsyncIterator[tuple[Home, SimulatedLab]]:
    home = Home(folder / "auditor")
    identity = create_home(home, party="auditor.example", now=datetime.now(UTC))
    lab_key, lab_certificate = _certificate(LAB, datetime.now(UTC))
    world = World(auditor=home.read_keys())
    lab = SimulatedLab(world, RealClock())
    lab.gateway = spki_digest(lab_certificate)
    keys = world.agreement().party("lab").keys
    lab_identity = Identity(role="lab", id=LAB, keys=keys, tls=lab_certificate.decode())
    (home.path / "lab-identity.json").write_bytes(lab_identity.to_bytes())
    drafts = [Draft(task.fields, task.question) for task in suite(40, size=41).tasks]
    plan = design().plan.model_copy(update={"scored_tasks": len(drafts) - 1})  # all but the control
    write_commitment(home, freeze(drafts, suite_id="suite-test"), plan)
    clients = (identity.tls or "").encode()
    async with served(lab, key=lab_key, certificate=lab_certificate, clients=clients) as address:
        home.settings.write_text(f'engagement = "audit-1"\n[lab]\naddress = "{address}"\n[run]\nlanes = 4\n')
        yield home, lab


@pytest.mark.slow
async def test_an_audit_by_its_commands(tmp_path: Path, repository: Path) -> None:
    async with _audit(tmp_path) as (home, lab):
        folder = ("--home", str(home.path))

        async def auditor(*arguments: str) -> Ran:
            ran = await _command("auditor", *arguments, *folder, cwd=repository)
            assert (ran.code, ran.err if ran.code else "") == (ExitCode.OK, "")
            return ran

        await auditor("propose")
        lab.delay = 0.15
        for delay in (0.7, 0.9, 1.0, 1.1):
            await _command("auditor", "run", *folder, cwd=repository, kill_after=delay)
        await auditor("run")
        assert 41 == len(set(lab.calls)) == len(lab.calls)
        await auditor("close")
        await auditor("grade")
        await auditor("seal")
        early = await _command("auditor", "release", "S2", *folder, cwd=repository)
        assert early.code == ExitCode.DISCLOSURE_BREACH
        trust = str(tmp_path / "trust.json")
        identities = [str(home.path / name) for name in ("identity.json", "lab-identity.json")]
        assert (await _command("trust", *identities, "--out", trust, cwd=repository)).code == ExitCode.OK
        for stage in ("S1", "S2", "S3", "S4", "S5"):
            await auditor("release", stage)
            evidence = str(home.evidence / f"evidence-{stage}.zip")
            verified = await _command("verify", evidence, "--trust", trust, cwd=repository)
            assert verified.code == ExitCode.OK, verified.out
        assert "canary-prompt" not in home.log.read_text()
        assert "released: C7 to REGULATOR" in (await auditor("status")).out


async def test_a_lab_that_signs_two_records_is_convicted_by_the_case_the_command_writes(
    tmp_path: Path, repository: Path
) -> None:
    """T056: from the journal to exit code 32 in the hands of a stranger."""
    async with _audit(tmp_path) as (home, lab):
        folder, case = ("--home", str(home.path)), str(tmp_path / "case.json")
        assert (await _command("auditor", "propose", *folder, cwd=repository)).code == ExitCode.OK
        nothing = await _command("auditor", "dispute", *folder, "--out", case, cwd=repository)
        assert (nothing.code, "nothing is kept" in nothing.err) == (ExitCode.INDETERMINATE, True)
        lab.misbehave("two_records", at=2)
        assert (await _command("auditor", "run", *folder, cwd=repository)).code == ExitCode.EQUIVOCATION_OR_ROLLBACK
        assert (await _command("auditor", "dispute", *folder, "--out", case, cwd=repository)).code == ExitCode.OK
    trust = str(tmp_path / "trust.json")
    identities = [str(home.path / name) for name in ("identity.json", "lab-identity.json")]
    assert (await _command("trust", *identities, "--out", trust, cwd=repository)).code == ExitCode.OK
    judged = await _command("adjudicate", case, "--trust", trust, cwd=repository)
    assert judged.code == ExitCode.EQUIVOCATION_OR_ROLLBACK
    assert judged.out.startswith(f"blamed: {LAB} signed different")
    assert "Not proven:" in judged.out


async def test_a_lab_that_is_not_there_is_one_sentence_and_a_code(tmp_path: Path, repository: Path) -> None:
    async with _audit(tmp_path) as (home, _):
        home.settings.write_text('[lab]\naddress = "127.0.0.1:1"\n')
        ran = await _command("auditor", "propose", "--home", str(home.path), cwd=repository)

    assert (ran.code, len(ran.err.strip().splitlines())) == (ExitCode.UNREACHABLE, 1)


async def test_a_folder_that_was_never_made_says_what_to_do(tmp_path: Path, repository: Path) -> None:
    ran = await _command("auditor", "status", "--home", str(tmp_path / "nowhere"), cwd=repository)

    assert ran.code == ExitCode.SETUP
    assert "auditor init" in ran.err
