"""The log half of the simulated lab: leaves, checkpoints, close, grades, packages, releases."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Any

from attestations.checkpoint import Checkpoint, sign_checkpoint
from attestations.documents.agreement import Access, Agreement, Terms
from attestations.documents.base import Document, encode, format_time
from attestations.documents.engagement import (
    Acknowledgement,
    CloseStatement,
    DeliveryReceipt,
    LogReceipt,
    PolicyEvent,
    PreRegistration,
    SessionEnd,
    StatusCounts,
)
from attestations.documents.exchange import Meter, Record
from attestations.documents.negotiation import Accept, Offer
from attestations.draw import share_commitment
from attestations.envelope import Envelope, open_document, sign
from attestations.keys import KeyUse
from attestations.log_entries import LogEntry, parse_entry
from attestations.merkle import Tree, leaf_hash
from auditor_client.engagement import Engagement
from auditor_client.ports import LabMessage, OfferAnswer, Proof, Resumed
from tests.support.audit_world import AUDITOR, World
from tests.support.fixed_keys import secret


class SimulatedLog:
    """Keeps one log and everything that is put into it outside the exchanges."""

    meter: Meter

    def __init__(self, world: World, clock: Any) -> None:
        self.world = world
        self.clock = clock
        self.engagement: Engagement = world.engagement()
        self.leaves_: list[bytes] = []
        self.tree = Tree()
        self.note: str = ""
        self.shown: list[bytes] = []
        self.delivered = b""
        self._receipts: dict[str, Envelope] = {}
        self._close: Envelope | None = None
        self.forks = False
        self.gateway = "33" * 32
        self.access: Access | None = None

    def sessions(self) -> dict[str, int]:
        raise NotImplementedError

    def now_does(self, fault: str) -> bool:
        raise NotImplementedError

    def next_place(self) -> tuple[int, datetime]:
        return len(self.leaves_), self.clock.now()

    def signed(self, document: Document) -> Envelope:
        return sign(document.payload_type, document.to_bytes(), self.world.lab.record)

    def append(self, entry: LogEntry) -> None:
        leaf = entry.to_bytes()
        self.leaves_.append(leaf)
        self.tree.append(leaf_hash(leaf))

    def receipt(self, kind: Any, document: Envelope, **more: str) -> Envelope:
        if document.digest not in self._receipts:
            index, at = self.next_place()
            receipt = self.signed(
                LogReceipt(
                    agreement=self.engagement.digest,
                    kind=kind,
                    document=document.digest,
                    log_index=str(index),
                    logged_at=format_time(at),
                    **more,
                )
            )
            self.append(LogEntry(kind, (document, receipt)))
            self._receipts[document.digest] = receipt
        return self._receipts[document.digest]

    def present(self) -> str:
        root = b"\x07" * 32 if self.forks else self.tree.root()
        checkpoint = Checkpoint(self.engagement.agreement.origin, len(self.leaves_), root)
        return sign_checkpoint(checkpoint, self.world.lab.log).to_text()

    async def terms(self) -> Envelope:
        agreement = self.world.agreement()
        terms = Terms(
            lab=agreement.party("lab"),
            auditor="somebody.else" if self.now_does("terms_for_another") else AUDITOR,
            gateway=self.gateway,
            origin_prefix="lab.example/safeconduct",
            variants=agreement.variants,
            scope=agreement.scope,
            budget=agreement.budget,
            access=self.access or agreement.access,
            timing=agreement.timing,
            runtime=agreement.runtime,
            policy=agreement.policy,
            clauses=agreement.clauses,
            issued_at=format_time(self.clock.now()),
        )
        return sign(terms.payload_type, terms.to_bytes(), self.world.lab.agreement)

    async def negotiation(self, engagement: str, *, start: int) -> list[LabMessage]:
        return []

    async def accept(self, accept: Envelope, agreement: Envelope) -> Envelope | None:
        raise NotImplementedError

    async def withdraw(self, withdrawal: Envelope) -> None:
        raise NotImplementedError

    async def reject(self, rejection: Envelope) -> None:
        raise NotImplementedError

    async def terminate(self, termination: Envelope) -> Envelope | None:
        raise NotImplementedError

    async def offer(self, offer: Envelope, consents: Envelope | None = None) -> OfferAnswer | None:
        document = Offer.parse(offer.payload)
        body = document.body
        if self.now_does("sign_another_agreement"):
            body = body.model_copy(update={"created_at": "2020-01-01T00:00:00Z"})
        agreement = sign(body.payload_type, body.to_bytes(), self.world.lab.agreement)
        accept = Accept(
            engagement=body.engagement,
            offer=offer.digest,
            agreement=agreement.digest,
            valid_until=document.valid_until,
        )
        return OfferAnswer(sign(accept.payload_type, accept.to_bytes(), self.world.lab.agreement), agreement)

    async def conclude(self, agreement: Envelope) -> Envelope | None:
        document = Agreement.parse(agreement.payload)
        required = (document.lab_key(KeyUse.AGREEMENT), document.auditor_key(KeyUse.AGREEMENT))
        open_document(agreement, Agreement, required=required)
        self.engagement = Engagement(document, agreement, self.world.auditor)
        return None

    async def register(self, registration: Envelope) -> Envelope:
        if PreRegistration.parse(registration.payload).draw is None:
            return self.receipt("registration", registration)
        return self.receipt("registration", registration, share_commit=share_commitment(secret("lab's share")))

    async def draw(self, draw: Envelope) -> Envelope:
        label = "another share" if self.now_does("another_share") else "lab's share"
        return self.receipt("draw", draw, share=encode(secret(label)))

    async def resume(self, *, agreement: str, session: str, checkpoint: str) -> Resumed:
        proof: tuple[bytes, ...] = ()
        if checkpoint:
            old = int(checkpoint.splitlines()[1])
            proof = tuple(self.tree.consistency(old, self.tree.size)) if old <= self.tree.size else ()
        return Resumed(self.present(), proof, self.sessions().get(session, 0))

    async def checkpoint(self, agreement: str) -> str:
        return self.present()

    async def proof(self, *, agreement: str, leaf: int, size: int, old_size: int) -> Proof:
        return Proof(tuple(self.tree.inclusion(leaf, size)), tuple(self.tree.consistency(old_size, size)))

    async def leaves(self, *, agreement: str, start: int) -> AsyncGenerator[bytes, None]:
        for leaf in self.leaves_[start:]:
            yield leaf

    async def cosign(self, *, agreement: str, checkpoint: str) -> None:
        self.note = checkpoint

    async def close(self, agreement: str) -> Envelope:
        if self._close is None:
            counts: Counter[str] = Counter()
            for leaf in self.leaves_:
                entry = parse_entry(leaf)
                if entry.kind == "record":
                    counts[Record.parse(entry.documents[-1].payload).status] += 1
                elif entry.kind == "refusal":
                    counts["refusals"] += 1
            promised = sum(counts.values()) - counts["refusals"] + (1 if self.now_does("miscount") else 0)
            self._close = self.signed(
                CloseStatement(
                    agreement=agreement,
                    sessions=tuple(SessionEnd(session=name, next_seq=seq) for name, seq in self.sessions().items()),
                    tree_size=str(self.tree.size),
                    root=self.tree.root().hex(),
                    counts=StatusCounts(
                        promised=str(promised),
                        completed=str(counts["COMPLETED"]),
                        refused_policy=str(counts["REFUSED_POLICY"]),
                        error=str(counts["ERROR"]),
                        timeout=str(counts["TIMEOUT"]),
                        cancelled=str(counts["CANCELLED_BY_AUDITOR"]),
                        aborted_crash=str(counts["ABORTED_CRASH"]),
                        refusals=str(counts["refusals"]),
                    ),
                    meter=self.meter,
                    closed_at=format_time(self.clock.now()),
                )
            )
        return self._close

    async def confirm_close(self, close: Envelope) -> Envelope:
        return self.receipt("close", close)

    async def commit_grades(self, grades: Envelope) -> Envelope:
        return self.receipt("grades", grades)

    async def deliver(self, manifest: Envelope, blocks: AsyncIterator[bytes]) -> Envelope:
        self.delivered = b"".join([block async for block in blocks])
        self.receipt("manifest", manifest)
        delivery = self.signed(
            DeliveryReceipt(
                agreement=self.engagement.digest,
                manifest=manifest.digest,
                delivered_at=format_time(self.clock.now()),
            )
        )
        self.receipt("delivery", delivery)
        return delivery

    async def state(self, event: Envelope) -> Envelope:
        kind = "event" if event.payload_type == PolicyEvent.payload_type else "statement"
        return self.receipt(kind, event)

    async def notify(self, notice: Envelope, content: bytes) -> Envelope:
        self.shown.append(content)
        return await self.state(notice)

    async def escrow(self, document: Envelope) -> Envelope:
        kind = "escrow" if "manifest" in document.payload_type else "escrow_verified"
        return self.receipt(kind, document)

    async def release(self, release: Envelope) -> Envelope:
        return self.receipt("release", release)

    async def acknowledge(self, *, agreement: str, attestation: str) -> Envelope:
        document = Acknowledgement(
            agreement=agreement, attestation=attestation, acknowledged_at=format_time(self.clock.now())
        )
        return sign(document.payload_type, document.to_bytes(), self.world.lab.agreement)
