"""Holders' commands: what they refuse and write, and that they need neither a network nor either side's software."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from attestations.commands.keeping import receive_pem
from attestations.errors import ExitCode
from attestations.escrow.share_file import ShareFile
from attestations.identity import Identity
from attestations.keys import KeyUse
from attestations.log_entries import parse_entry
from tests.integration.test_verify_cli import _OFFLINE, run
from tests.support.escrow_story import LATER, file, prepared, silent
from tests.support.order_story import usual
from tests.support.world_agreement import p256_signer
from tests.support.world_escrow import HOLDERS, REGULATOR, holder, receive_key, trust


def keep(folder: Path, name: str) -> None:
    """Write the folder of a holder of the made-up audit."""
    known = holder(name)
    (folder / name / "keys").mkdir(parents=True)
    (folder / name / "identity.json").write_bytes(Identity(role=known.role, id=name, keys=known.keys).to_bytes())
    (folder / name / "keys/agreement.pem").write_bytes(p256_signer(name, KeyUse.AGREEMENT).to_pem())
    (folder / name / "keys/receive.pem").write_bytes(receive_pem(receive_key(name)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("escrow")
    (path / "evidence-S1.zip").write_bytes(file())
    (path / "trust.json").write_text(json.dumps(trust(*HOLDERS).json_value()))
    log = silent().log
    logged = map(parse_entry, log.prefix(log.size).splitlines())
    manifests = tuple(entry.documents[0] for entry in logged if entry.kind == "escrow")
    for name in HOLDERS:
        keep(path, name)
        (path / f"{name}.json").write_bytes(ShareFile(name, silent().envelope, manifests).to_bytes())
        (path / f"release-{name}.json").write_bytes(prepared(name, at=LATER, now=LATER).to_bytes())
    return path


def test_a_new_identity_keeps_its_keys_to_itself(tmp_path: Path) -> None:
    made = run(tmp_path, "identity", "new", "--role", "escrow", "--id", "trustee.example", "--into", "trustee")

    assert made.returncode == ExitCode.OK, made.stderr
    for name in ("agreement", "receive"):
        path = tmp_path / "trustee/keys" / f"{name}.pem"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        secret = path.read_text().splitlines()[1]
        assert secret not in made.stdout + made.stderr
    identity = json.loads((tmp_path / "trustee/identity.json").read_text())
    assert [key["use"] for key in identity["keys"]] == ["agreement", "receive"]
    assert (identity["role"], identity["tls"]) == ("escrow", None)
    again = run(tmp_path, "identity", "new", "--role", "escrow", "--id", "x", "--into", "trustee")
    assert (again.returncode, "FILE_UNUSABLE" in again.stderr) == (ExitCode.SETUP, True)


@pytest.mark.parametrize(("role", "name"), [("lab", "x"), ("auditor", "x"), ("escrow", "a b"), ("escrow", "")])
def test_an_identity_of_another_role_or_with_a_bad_name_is_refused(tmp_path: Path, role: str, name: str) -> None:
    made = run(tmp_path, "identity", "new", "--role", role, "--id", name, "--into", "x")

    assert made.returncode in (ExitCode.USAGE, ExitCode.MALFORMED)
    assert "Traceback" not in made.stderr
    assert not (tmp_path / "x").exists()


def test_a_holder_verifies_and_a_regulator_opens_without_a_network(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "f")
    here = tmp_path / "f"
    checked = run(here, "escrow", "verify", "t1.json", "--trust", "trust.json", "--home", "t1", program=_OFFLINE)
    assert checked.returncode == ExitCode.OK, checked.stderr
    assert (here / "escrow-verified-t1.json").exists()

    words: tuple[str, ...] = ("escrow", "combine", "release-t1.json", f"release-{REGULATOR}.json")
    words += ("--evidence", "evidence-S1.zip", "--trust", "trust.json", "--home", REGULATOR, "--out", "opened.json")
    opened = run(here, *words, program=_OFFLINE)
    assert opened.returncode == ExitCode.OK, opened.stderr
    key = json.loads((here / "opened.json").read_text())["key"]
    assert key not in opened.stdout + opened.stderr
    again = run(here, *words)
    assert (again.returncode, "FILE_UNUSABLE" in again.stderr) == (ExitCode.SETUP, True)


def test_holders_release_on_an_order_by_its_name(folder: Path, tmp_path: Path) -> None:
    """T102, T104: two of a branch that opens for orders, long before anything is overdue."""
    shutil.copytree(folder, tmp_path / "f")
    here = tmp_path / "f"
    (here / "ordered.zip").write_bytes(usual().evidence("S1"))
    asked: tuple[str, ...] = (
        "escrow",
        "release",
        "ordered.zip",
        "--class",
        "C2",
        "--rule",
        "c2-regulator",
        "--trust",
        "trust.json",
    )
    asked += ("--at", "2026-11-06T09:00:00Z")
    given = []
    for name in (REGULATOR, "t1"):
        given.append(f"ordered-{name}.json")
        made = run(here, *asked, "--order", "order-1", "--home", name, "--out", given[-1], program=_OFFLINE)
        assert made.returncode == ExitCode.OK, made.stderr
    other = run(here, *asked, "--order", "order-9", "--home", "t1")
    assert (other.returncode, "ORDER_INVALID" in other.stderr) == (50, True)
    quorum = ("escrow", "combine", *given, "--evidence", "ordered.zip", "--trust", "trust.json", "--home", REGULATOR)
    assert run(here, *quorum, "--out", "opened.json", program=_OFFLINE).returncode == ExitCode.OK
    read = ("verify", "ordered.zip", "--trust", "trust.json", "--at", "2026-11-06T09:00:00Z")
    shown = run(here, *read, "--escrow", "opened.json")
    assert (shown.returncode, "on order order-1" in shown.stdout) == (ExitCode.OK, True), shown.stdout


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("verify", "t2.json", "--home", "t1"), 81, "FILE_UNUSABLE"),
        (("verify", "evidence-S1.zip", "--home", "t1"), 10, ""),
        (("verify", "cut.json", "--home", "t1"), 10, ""),
        (("verify", "foreign.json", "--home", "t1"), 10, "MALFORMED_ENVELOPE"),
        (("verify", "missing.json", "--home", "t1"), 81, "FILE_UNUSABLE"),
        (("verify", "t1.json", "--home", "nobody"), 81, "FILE_UNUSABLE"),
        (("verify", "t1.json", "--home", "damaged"), 21, "KEY_UNACCEPTABLE"),
        (("verify", "t1.json", "--home", "swapped"), 30, "COMMITMENT_MISMATCH"),
        (("release", "foreign.json", "--class", "C2", "--rule", "c2-regulator", "--home", "t1"), 10, ""),
        (
            (
                "release",
                "evidence-S1.zip",
                "--class",
                "C2",
                "--rule",
                "x",
                "--home",
                "t1",
                "--at",
                "2026-11-05T09:00:00Z",
            ),
            50,
            "DISCLOSURE_FORBIDDEN",
        ),
        (("combine", "foreign.json", "--evidence", "evidence-S1.zip", "--out", "x.json"), 10, "MALFORMED_ENVELOPE"),
        (("combine", "t1.json", "--evidence", "evidence-S1.zip", "--out", "x.json"), 10, "MALFORMED_ENVELOPE"),
        (("combine", "release-t1.json", "--evidence", "evidence-S1.zip", "--out", "x.json"), 80, "ESCROW_QUORUM_UNMET"),
        (("challenge", "t1.json", "--holder", "nobody", "--home", "t1"), 10, "MALFORMED_ENVELOPE"),
        (("alive", "foreign.json", "t1.json", "--home", "t1"), 10, "MALFORMED_ENVELOPE"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_hostile_and_mistaken_files_are_one_sentence(
    folder: Path, words: tuple[str, ...], code: int, reason: str
) -> None:
    (folder / "foreign.json").write_text('{"hello":"world"}')
    (folder / "cut.json").write_bytes((folder / "t1.json").read_bytes()[:-100])
    for name in ("damaged", "swapped"):
        if not (folder / name).exists():
            shutil.copytree(folder / "t1", folder / name)
    (folder / "damaged/keys/receive.pem").write_text("not a key")
    shutil.copy(folder / "t2/keys/receive.pem", folder / "swapped/keys/receive.pem")
    ran = run(folder, "escrow", *words, "--trust", "trust.json")

    assert ran.returncode == code, ran.stderr
    assert reason in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not (folder / "x.json").exists()
