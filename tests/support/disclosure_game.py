"""Both sides of disclosure in memory: the lab's real use cases and store, the auditor's ledger, and the verifier.

Messages may be lost, come twice or in another order, and either side may forget everything but its disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from attestations.checkpoint import cosign
from attestations.documents.base import Document, format_time, validated
from attestations.documents.engagement import (
    CloseStatement,
    GradeCommitment,
    Package,
    PackageManifest,
    PreRegistration,
    RegisteredSuite,
    Release,
)
from attestations.envelope import Envelope, sign_document
from attestations.errors import SafeconductError
from attestations.following import follow
from attestations.keys import KeyUse, Signer
from attestations.ledger import Ledger
from attestations.log_entries import parse_entry
from attestations.packages import seal_package
from attestations.policy.evaluate import Bounds
from attestations.policy.model import Policy
from attestations.verify.parties import Parties
from attestations.verify.transcript import Transcript, read_log
from lab_server.disclosing import Disclosing
from lab_server.drawing import Drawing
from lab_server.engagement import Engagement
from lab_server.engagements import Engagements
from lab_server.keyring import LabKeys
from lab_server.ports import StoredAgreement
from lab_server.steps import Steps
from lab_server.storage.memory import MemoryStore
from lab_server.transcribing import Transcribing
from tests.support import world_hard
from tests.support.fixed_keys import secret
from tests.support.world_agreement import AUDITOR, keys
from tests.support.world_hard import BIO
from tests.support.world_suite import suite_key

START = datetime(2026, 11, 2, 9, tzinfo=UTC)  # a Monday
_SEALED = ("C2", "C5", "C7", "C9")


class GameClock:
    """Goes where the game sets it; both sides look at the same one, within the agreed skew."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=10)
        return self.at


def policy() -> Policy:
    """Rules of every kind, close together: consents, holds, orders, emergencies, obligations."""
    rows: list[tuple[str, str, Any, Any]] = [
        ("C1", "REGULATOR", "RUN_CLOSED", "RUN_CLOSED + P2BD"),
        ("C1", "PUBLIC", "RUN_CLOSED", "RUN_CLOSED + P3BD"),
        ("C2", "PUBLIC", {"or": ["LAB_CONSENT(C2)", "TIME(anchor+P2BD+hold)"]}, "TIME(anchor+P4BD+hold)"),
        ("C5", "REGULATOR", {"or": ["ORDER(*)", "TIME(anchor+P6BD+hold)"]}, "TIME(anchor+P8BD+hold)"),
        ("C7", BIO, {"or": ["EMERGENCY(*)", "TIME(anchor+P8BD)"]}, None),
        ("C9", BIO, {"or": ["ORDER(*)", "EMERGENCY(*)"]}, None),
        ("C4", "LAB_SAFETY", "TIME(anchor+P1BD+hold)", "TIME(anchor+P4BD+hold)"),
        ("C4", "REGULATOR", "RUN_CLOSED", None),
    ]
    rules = [
        {"id": f"r{n}", "class": cls, "to": to, "permit": permit, "oblige": oblige}
        for n, (cls, to, permit, oblige) in enumerate(rows)
    ]
    return validated(Policy, {"v": "safeconduct-policy/v1", "maxHold": "P3BD", "rules": rules})


class Game:
    """One agreement, its lab and its auditor."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.clock, self.store = GameClock(), MemoryStore()
        signers = keys()
        self.keys = LabKeys(agreement=signers.lab_agreement, record=signers.lab_record, log=signers.lab_log)
        self.agreement = world_hard.agreement(policy())
        self.envelope = sign_document(self.agreement, signers.lab_agreement, signers.agreement)
        self.digest = self.envelope.digest
        self.run(self.store.add_entries("a b", 0, [], StoredAgreement(self.digest, self.envelope.to_bytes())))
        self.refused: list[SafeconductError] = []
        self.manifest: Envelope | None = None
        self.auditor = Ledger(self.agreement)
        self.followed = 0
        self.restart_lab()
        self._register()

    def run(self, step: Any) -> Any:
        """Carry an asynchronous step through."""
        return self.runner.run(_awaited(step))

    def restart_lab(self) -> None:
        """Let the lab forget everything but its store."""
        self.engagements = Engagements(keys=self.keys, store=self.store, clock=self.clock)
        self.run(self.engagements.restore())
        steps = Steps()
        self.disclosing = Disclosing(keys=self.keys, store=self.store, steps=steps)
        drawing = Drawing(store=self.store, randomness=lambda count: secret("lab's share")[:count])
        self.transcribing = Transcribing(
            keys=self.keys, store=self.store, steps=steps, drawing=drawing, forget=_nothing
        )

    @property
    def lab(self) -> Engagement:
        """The engagement as the lab has it."""
        return self.engagements.all[0]

    def restart_auditor(self) -> None:
        """Let the auditor forget everything but its mirror."""
        self.auditor, self.followed = Ledger(self.agreement), 0

    def leaves(self) -> list[bytes]:
        """Return the log."""

        async def read() -> list[bytes]:
            return [leaf.data async for leaf in self.store.leaves(self.digest, 0)]

        found: list[bytes] = self.run(read())
        return found

    def follow(self, upto: int | None = None) -> None:
        """Let the auditor read what is new in the log, or only some of it."""
        leaves = self.leaves()[: None if upto is None else self.followed + upto]
        for leaf in leaves[self.followed :]:
            follow(self.auditor, parse_entry(leaf), self.digest)
        self.followed = max(self.followed, len(leaves))

    def verified(self) -> Transcript:
        """Return what a stranger reads in the log."""
        return read_log(self.leaves(), self.parties())

    def parties(self) -> Parties:
        """Return the agreement as the verifier holds it."""
        agreed = self.agreement
        return Parties(
            agreement=agreed,
            digest=self.digest,
            lab_record=agreed.lab_key(KeyUse.RECORD),
            lab_agreement=agreed.lab_key(KeyUse.AGREEMENT),
            lab_log=agreed.lab_key(KeyUse.LOG),
            auditor_agreement=agreed.auditor_key(KeyUse.AGREEMENT),
            auditor_exchange=agreed.auditor_key(KeyUse.EXCHANGE),
            auditor_cosign=agreed.auditor_key(KeyUse.COSIGN),
            auditor_publication=agreed.auditor_key(KeyUse.PUBLICATION),
        )

    def now(self) -> Bounds:
        """Return the present as every side sees it."""
        skew = timedelta(seconds=self.agreement.timing.skew_seconds)
        return Bounds(self.clock.at - skew, self.clock.at + skew)

    def time(self) -> str:
        """Return the present as documents write it."""
        return format_time(self.clock.now())

    def sign(self, document: Document, *signers: Signer) -> Envelope:
        """Sign a document."""
        return sign_document(document, *signers)

    def receive(self, envelope: Envelope) -> None:
        """Let the lab receive a message, whenever it comes; what it refuses is kept."""
        try:
            if envelope.payload_type == Release.payload_type:
                release = Release.parse(envelope.payload)
                self.run(self.disclosing.release(self.lab, envelope, release))
            else:
                engagement, stated = self.engagements.stated(envelope, peer=None)
                self.run(self.disclosing.state(engagement, envelope, stated))
        except SafeconductError as error:
            self.refused.append(error)

    def release(self, content_class: str, recipient: str) -> Envelope:
        """Sign a release that rests on a checkpoint cosigned now."""
        note = cosign(self.lab.log.checkpoint(), name=f"{AUDITOR}/cosign", signer=keys().cosign, at=self.clock.now())
        sealed = content_class != "C1" and self.manifest is not None
        stage = {"C1": "S1", "C2": "S2", "C7": "S5"}.get(content_class, "S4")
        document = Release(
            agreement=self.digest,
            stage=stage,  # type: ignore[arg-type]
            content_class=content_class,  # type: ignore[arg-type]
            recipient=recipient,
            manifest=self.manifest.digest if sealed and self.manifest is not None else None,
            key_commitment=suite_key().class_key(content_class).commitment() if sealed else None,
            after=note.to_text(),
            released_at=self.time(),
        )
        return self.sign(document, keys().publication)

    def close(self) -> None:
        """Close the run: both sides sign."""
        theirs: Envelope = self.run(self.transcribing.close(self.lab))
        ours = sign_document(CloseStatement.parse(theirs.payload), keys().exchange)
        both = Envelope(theirs.payload_type, theirs.payload, (*theirs.signatures, *ours.signatures))
        self.run(self.transcribing.confirm_close(self.lab, both))

    def deliver(self) -> None:
        """Commit to grades and deliver sealed packages."""
        grades = GradeCommitment(agreement=self.digest, root="cc" * 32, tasks=4, committed_at=self.time())
        self.run(self.transcribing.commit_grades(self.lab, self.sign(grades, keys().publication)))
        packages, data = [], b""
        for content_class in _SEALED:
            key = suite_key().class_key(content_class)
            sealed = seal_package(key, [b"one"])
            file = b"".join(sealed.file_blocks())
            data += file
            packages.append(
                Package(
                    content_class=content_class,  # type: ignore[arg-type]
                    chunks=1,
                    ciphertext_root=sealed.ciphertext_root,
                    key_root=sealed.key_root,
                    key_commitment=key.commitment(),
                    file_bytes=str(len(file)),
                    file_digest=_digest(file),
                )
            )
        manifest = PackageManifest(agreement=self.digest, packages=tuple(packages), sealed_at=self.time())
        envelope = self.sign(manifest, keys().publication)

        async def blocks() -> AsyncIterator[bytes]:
            yield data

        self.run(self.disclosing.deliver(self.lab, envelope, manifest, blocks()))
        self.manifest = envelope

    def _register(self) -> None:
        registration = PreRegistration(
            agreement=self.digest,
            suite=RegisteredSuite(id=suite_key().suite_id, root="aa" * 32, tasks=4),
            class_keys=tuple(
                {"content_class": cls, "commitment": suite_key().class_key(cls).commitment()}  # type: ignore[misc]
                for cls in _SEALED
            ),
            plan="bb" * 32,
            graders=(),
            arms=("as_shipped",),
            epochs=1,
            max_attempts=1,
            registered_at=self.time(),
        )
        self.run(self.transcribing.register(self.lab, self.sign(registration, keys().publication), registration))

    def end(self) -> None:
        """Leave nothing running."""
        self.runner.close()


async def _awaited(step: Any) -> Any:
    return await step


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


async def _nothing(_: str) -> None:
    """No worker runs here that could hold anything."""
