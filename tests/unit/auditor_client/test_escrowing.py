"""The auditor's side of escrow: dealt once whatever crashes, one file a holder, and anew when a holder is lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from attestations.documents.engagement import LogReceipt
from attestations.documents.escrow import EscrowManifest
from attestations.envelope import Envelope, sign, sign_document
from attestations.errors import (
    ConfigurationInvalid,
    EscrowQuorumUnmet,
    FileUnusable,
    LogEquivocation,
    MalformedEnvelope,
    PhaseViolation,
)
from attestations.escrow.holding import LoggedManifest
from attestations.escrow.liveness import verified
from attestations.escrow.share_file import open_manifests, parse_share_file
from attestations.keys import KeyUse
from attestations.verify.parties import read_agreement
from auditor_client import escrowing
from auditor_client.engagement import AuditorKeys, Engagement
from auditor_client.home import Home
from auditor_client.journal.sqlite import SqliteJournal
from auditor_client.ports import Lab
from tests.support import world_agreement, world_escrow
from tests.support.audit_world import TestClock
from tests.support.fixed_keys import suite_key
from tests.support.world_agreement import keys, p256_signer
from tests.support.world_escrow import HOLDERS, STRUCTURE, randomness, receive_key, trust


class ReceiptingLab:
    """Signs for every document; loses its first answers, or signs for something else, if told to."""

    def __init__(self, engagement: Engagement) -> None:
        self.engagement = engagement
        self.logged: list[Envelope] = []
        self.loses = 0
        self.lies = False

    async def escrow(self, document: Envelope) -> Envelope:
        if all(document.digest != kept.digest for kept in self.logged):
            self.logged.append(document)
        if self.loses:
            self.loses -= 1
            raise ConnectionError
        kind = "escrow" if "manifest" in document.payload_type else "escrow_verified"
        receipt = LogReceipt(
            agreement=self.engagement.digest,
            kind=kind,
            document="00" * 32 if self.lies else document.digest,
            log_index=str(len(self.logged)),
            logged_at="2026-11-04T09:00:00Z",
        )
        return sign_document(receipt, keys().lab_record)


def engaged(**changes: Any) -> Engagement:
    agreement = world_escrow.agreement(**changes)
    envelope = sign(agreement.payload_type, agreement.to_bytes(), keys().lab_agreement, keys().agreement)
    ours = AuditorKeys(
        agreement=keys().agreement,
        exchange=keys().exchange,
        cosign=keys().cosign,
        publication=keys().publication,
    )
    return Engagement(agreement, envelope, ours)


class Desk:
    """What the functions under test need, in one folder."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.engagement = engaged()
        self.lab = ReceiptingLab(self.engagement)
        self.journal = journal
        self.dealt = 0

    def options(self) -> dict[str, Any]:
        self.dealt += 1
        return {
            "engagement": self.engagement,
            "lab": cast("Lab", self.lab),
            "journal": self.journal,
            "clock": TestClock(),
            "randomness": randomness(f"dealing {self.dealt}"),
        }


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        yield Desk(journal)


async def test_what_was_dealt_is_dealt_once_however_often_it_is_interrupted(desk: Desk) -> None:
    desk.lab.loses = 2
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await escrowing.put(suite_key(), **desk.options())
    assert await escrowing.put(suite_key(), **desk.options()) == ("C2", "C3")
    assert await escrowing.put(suite_key(), **desk.options()) == ("C2", "C3")

    classes = [EscrowManifest.parse(item.payload).content_class for item in desk.lab.logged]
    assert classes == ["C2", "C3"]


async def test_each_holder_gets_a_file_it_can_check_with_its_own_key_alone(desk: Desk, tmp_path: Path) -> None:
    await escrowing.put(suite_key(), **desk.options())
    files = escrowing.write_share_files(tmp_path / "escrow", engagement=desk.engagement, journal=desk.journal)

    assert len(files) == len(HOLDERS)
    for path, name in zip(files, HOLDERS, strict=True):
        file = parse_share_file(path.read_bytes())
        parties = read_agreement(file.agreement, trust())
        manifests = open_manifests(file.manifests, parties, holder=file.holder)
        receipt = verified(
            manifests, receive_key(name), holder=name, agreement=parties.digest, at="2026-11-04T09:00:00Z"
        )
        envelope = sign_document(receipt, p256_signer(name, KeyUse.AGREEMENT))
        options = {key: value for key, value in desk.options().items() if key in ("engagement", "lab")}
        assert await escrowing.log_receipt(envelope, **options) == name


async def test_a_lost_holder_is_left_out_and_old_shares_are_superseded(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(PhaseViolation):
        await escrowing.reshare(suite_key(), ["t3"], **desk.options())
    await escrowing.put(suite_key(), **desk.options())
    first = [LoggedManifest(item.digest, EscrowManifest.parse(item.payload)) for item in desk.lab.logged]
    with pytest.raises(EscrowQuorumUnmet):
        await escrowing.reshare(suite_key(), ["t1", "t2", "t3"], **desk.options())
    for _ in range(2):  # again changes nothing
        await escrowing.reshare(suite_key(), ["t3"], **desk.options())

    second = [EscrowManifest.parse(item.payload) for item in desk.lab.logged[2:]]
    assert [manifest.supersedes for manifest in second] == [manifest.digest for manifest in first]
    assert all(manifest.without == ("t3",) for manifest in second)
    files = escrowing.write_share_files(tmp_path / "again", engagement=desk.engagement, journal=desk.journal)
    assert [path.name for path in files] == ["01-regulator.example.json", "02-t1.json", "03-t2.json"]


async def test_a_receipt_for_something_else_is_refused(desk: Desk) -> None:
    desk.lab.lies = True
    with pytest.raises(LogEquivocation):
        await escrowing.put(suite_key(), **desk.options())


async def test_without_an_agreed_escrow_nothing_happens(desk: Desk, tmp_path: Path) -> None:
    agreement = world_agreement.agreement()
    desk.engagement = Engagement(agreement, desk.engagement.envelope, desk.engagement.keys)
    assert await escrowing.put(suite_key(), **desk.options()) == ()
    assert escrowing.write_share_files(tmp_path / "x", engagement=desk.engagement, journal=desk.journal) == []


def test_the_structure_is_read_from_its_file(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert escrowing.read_structure(home, None) is None
    with pytest.raises(FileUnusable):
        escrowing.read_structure(home, "escrow.json")
    for text, error in (("{", ConfigurationInvalid), ("[]", MalformedEnvelope), ('{"branches":[]}', MalformedEnvelope)):
        (tmp_path / "escrow.json").write_text(text)
        with pytest.raises(error):
            escrowing.read_structure(home, "escrow.json")
    (tmp_path / "escrow.json").write_text(json.dumps(STRUCTURE))
    structure = escrowing.read_structure(home, "escrow.json")
    assert structure is not None
    assert structure.holders() == HOLDERS
