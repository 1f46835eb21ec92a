"""The lab's commands: every failure is one clear sentence with its exit code, and nothing is lost by it."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest

from attestations.errors import ExitCode
from tests.integration.gateway import audited
from tests.support.auditor_identity import new_keys, write_identity
from tests.support.lab_process import LabProcess, new_lab


@pytest.fixture
def lab(tmp_path: Path) -> LabProcess:
    return new_lab(tmp_path / "lab", auditors=[write_identity(new_keys(), tmp_path)])


@pytest.fixture
async def used(tmp_path: Path) -> LabProcess:
    """A stopped lab whose store holds two exchanges of one audit."""
    async with audited(tmp_path) as (lab, auditor):
        lane = await auditor.open_session("lane-1")
        for _ in range(2):
            await auditor.ask(lane)
        await auditor.cosign()
    return lab


async def fails(lab: LabProcess, *words: str, code: ExitCode = ExitCode.SETUP) -> str:
    """Run a command that must fail; returns its one sentence."""
    got, out, errors = await lab.command(*words)
    assert (got, out) == (code, "")
    assert errors.startswith("safeconduct: ")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    return errors


async def test_a_folder_that_is_not_empty_is_left_alone(lab: LabProcess) -> None:
    before = lab.home.settings.read_text()
    assert "not empty" in await fails(lab, "init", "--id", "lab.example")
    assert lab.home.settings.read_text() == before


async def test_a_new_folder_has_private_keys_and_a_configuration_that_makes_sense(tmp_path: Path) -> None:
    lab = LabProcess(tmp_path / "new")
    code, out, errors = await lab.command("init", "--id", "lab.example")
    assert (code, errors) == (0, "")
    assert "identity.json" in out
    modes = {path.name: path.stat().st_mode & 0o777 for path in (lab.path / "keys").iterdir()}
    assert modes == dict.fromkeys(("agreement.pem", "record.pem", "log.pem", "tls.pem"), 0o600)
    assert "PRIVATE" not in lab.home.identity.read_text()
    assert "no auditor is admitted" in await fails(lab, "serve")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[listen]\nport = 1\n", "listen.port"),
        ("nonsense = 1\n", "nonsense"),
        ("[[variant]]\nid = 'x'\nkind = 'deployed'\nbackend = 'gone'\n[backend]\n", "not declared"),
        ("[[variant]]\nid = 'x'\nkind = 'deployed'\nbackend = 'a'\n[backend.a]\nkind = 'openai'\n", "base_url"),
        ("this is not toml", "not TOML"),
    ],
)
async def test_a_wrong_configuration_is_named(lab: LabProcess, text: str, named: str) -> None:
    lab.home.settings.write_text(text)
    assert named in await fails(lab, "serve")


async def test_a_missing_configuration_says_what_to_do(tmp_path: Path) -> None:
    assert "lab init" in await fails(LabProcess(tmp_path / "nowhere"), "serve")


async def test_a_port_in_use_is_named(lab: LabProcess) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = lab.home.settings.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}")
        lab.home.settings.write_text(text)
        assert str(port) in await fails(lab, "serve")


async def test_a_folder_is_served_once(lab: LabProcess) -> None:
    await lab.start()
    assert "already serves" in await fails(lab, "serve")
    await lab.stop()


async def test_a_missing_or_corrupt_model_is_named(lab: LabProcess) -> None:
    settings = lab.home.settings.read_text()
    (lab.path / "script.json").unlink()
    assert "script" in await fails(lab, "serve")
    (lab.path / "script.json").write_text("{")
    assert "script" in await fails(lab, "serve")
    lab.home.settings.write_text(settings.replace('kind = "scripted"', 'kind = "llama"\nmodel = "gone.gguf"'))
    assert "model" in await fails(lab, "serve")
    (lab.path / "gone.gguf").write_bytes(b"GGUF but not really")
    assert "model" in await fails(lab, "serve")


async def test_keys_that_others_can_read_or_that_are_not_ours_are_refused(lab: LabProcess) -> None:
    key = lab.home.key_file("record")
    key.chmod(0o644)
    assert "chmod 600" in await fails(lab, "serve")
    key.write_bytes(lab.home.key_file("agreement").read_bytes())
    key.chmod(0o600)
    assert "identity.json" in await fails(lab, "serve")
    key.write_bytes(b"not a key")
    assert "record key" in await fails(lab, "serve", code=ExitCode.ROLE_OR_TRUST_MISSING)


async def test_an_auditor_is_admitted_once_and_only_with_an_auditors_identity(lab: LabProcess, tmp_path: Path) -> None:
    assert "already admitted" in await fails(lab, "admit", str(tmp_path / "auditor.example.json"))
    assert "not the identity of an auditor" in await fails(lab, "admit", str(lab.home.identity))
    (tmp_path / "broken.json").write_text("{}")
    assert "identity file" in await fails(lab, "admit", str(tmp_path / "broken.json"))


async def test_status_shows_what_is_left_whether_the_lab_serves_or_not(used: LabProcess) -> None:
    code, stopped, _ = await used.command("status")
    assert code == 0
    assert "RUNNING" in stopped
    assert "2 promised: 2 completed; 0 open, 0 refused" in stopped
    assert "left: 99998 requests" in stopped
    assert "log: 7 leaves, 7 of them cosigned" in stopped
    await used.start()
    assert (await used.command("status"))[1] == stopped
    await used.stop()


async def test_nothing_served_yet_is_said(lab: LabProcess) -> None:
    for word in ("status", "fsck"):
        assert "nothing has been served yet" in await fails(lab, word)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (
            "UPDATE leaf SET data = CAST(replace(CAST(data AS TEXT), '{', '[') AS BLOB) WHERE position = 4",
            ExitCode.MALFORMED,
        ),
        ("DELETE FROM leaf WHERE position = 5", ExitCode.EQUIVOCATION_OR_ROLLBACK),
        ("DELETE FROM leaf WHERE position = 6", ExitCode.EQUIVOCATION_OR_ROLLBACK),
        ("UPDATE frame SET ciphertext = zeroblob(1040) WHERE seq = 1", ExitCode.COMMITMENT_MISMATCH),
        ("UPDATE cosigned SET note = replace(note, char(10) || '7' || char(10), char(10) || '6' || char(10))", None),
        ("UPDATE agreement SET digest = replace(digest, substr(digest, 1, 2), 'zz')", None),
    ],
)
async def test_fsck_finds_what_was_changed_and_the_lab_still_starts(
    used: LabProcess, damage: str, code: ExitCode | None
) -> None:
    with sqlite3.connect(used.home.store) as store:
        assert store.execute(damage).rowcount
    store.close()
    got, _, errors = await used.command("fsck")
    assert got != 0
    assert code in (None, got), errors
    assert "agreement" in errors
    await used.start()
    assert await used.stop() == 0
