"""A lab's negotiation behind the real wire (gRPC, mutual TLS, interceptors), with the test's own clock and store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc

from attestations.documents.agreement import Access, Runtime, Scope, Terms, Variant
from attestations.documents.base import format_time
from attestations.documents.engagement import Release
from attestations.envelope import Envelope, sign_document
from attestations.identity import parse_identity
from attestations.negotiation.ledger import entry_of
from attestations.negotiation.messages import Message
from attestations.policy.defaults import standard_policy
from attestations.policy.model import Policy
from auditor_client.engagement import AuditorKeys
from auditor_client.home import Home as AuditorHome, create_home as create_auditor
from auditor_client.journal.sqlite import SqliteJournal
from auditor_client.mirror import Mirror
from auditor_client.proposing import Proposal
from auditor_client.talking import Negotiator, negotiator
from auditor_client.transport.channel import Credentials, open_channel, spki_digest
from auditor_client.transport.lab import GrpcLab
from lab_server.admitted import Admitted, Review
from lab_server.deciding import Case, Desk
from lab_server.engagement import Engagement
from lab_server.engagements import Engagements
from lab_server.home import spki_pin
from lab_server.interceptors.errors import TranslateErrors
from lab_server.interceptors.identity import IdentifyCaller
from lab_server.negotiating import Negotiating
from lab_server.services.negotiation import NegotiationServicer
from lab_server.settings import load_settings
from lab_server.steps import Steps
from lab_server.storage.memory import MemoryStore
from lab_server.talking import talk_name
from safeconduct.v1 import negotiation_service_pb2_grpc
from tests.support.lab_process import new_lab
from tests.support.world_agreement import agreement

NAME = "audit-1"


@dataclass
class MovingClock:
    """The present, moved by a test."""

    ahead: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        moment = datetime.now(UTC) + self.ahead
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def pass_(self, **span: float) -> None:
        self.ahead += timedelta(**span)


@dataclass
class Table:
    """Both sides of one negotiation, and what a dishonest side needs."""

    lab_clock: MovingClock
    clock: MovingClock
    store: MemoryStore
    engagements: Engagements
    negotiating: Negotiating
    desk: Desk
    talks: Negotiator
    keys: AuditorKeys
    proposal: Proposal
    lab: GrpcLab
    journal: SqliteJournal
    mirror: Mirror

    async def case(self) -> Case:
        return await self.desk.case(NAME, None)

    async def counter(self, text: str, *, hours: int = 1) -> str:
        """Offer what is on the table with changes, as a person at the lab does."""
        return await self.desk.counter(await self.case(), text.encode(), name="draft", hours=hours)

    async def slip_in(self, message: Message) -> None:
        """Make the lab say something that its own rules would never let it say."""
        name = talk_name("auditor.example", NAME)
        kept = await self.store.entries(name)
        assert await self.store.add_entries(name, len(kept), [entry_of(message, self.lab_clock.now()).to_bytes()])

    async def engagement(self) -> Engagement:
        (found,) = self.engagements.all
        return found

    async def log(self, kind: Any, content_class: str = "C3", recipient: str = "REGULATOR") -> None:
        """Put a leaf into the lab's log and the auditor's copy of it."""
        engagement = await self.engagement()
        engagement.log.only = None
        document = Release(
            agreement=engagement.digest,
            stage="S3",
            content_class=content_class,  # type: ignore[arg-type]
            recipient=recipient,
            manifest=None,
            key_commitment=None,
            after="",
            released_at=format_time(self.lab_clock.now()),
        )
        envelope: Envelope = sign_document(document, self.keys.publication)
        await engagement.log.append_receipted(kind, envelope)
        for leaf in (await self.store.steps(engagement.digest))[self.mirror.size :]:
            self.mirror.append(leaf.data)


@asynccontextmanager
async def negotiating(
    folder: Path, *, review: Review = "automatic", policy: Policy | None = None
) -> AsyncIterator[Table]:
    """Serve a lab and open an auditor's folder."""
    auditor_home = AuditorHome(folder / "auditor")
    identity = create_auditor(auditor_home, party="auditor.example", now=datetime.now(UTC))
    process = new_lab(folder / "lab", auditors=[auditor_home.identity], grant=f'review = "{review}"\n')
    home, lab_clock, clock, store = process.home, MovingClock(), MovingClock(), MemoryStore()
    lab_identity, lab_keys = home.read_identity(), home.read_keys()
    usual = agreement()

    async def terms() -> Terms:
        return Terms(
            lab=lab_identity.party(),
            auditor=identity.id,
            gateway=spki_pin(lab_identity.tls or ""),
            origin_prefix="lab.example/safeconduct",
            variants=(Variant(id="deployed", kind="deployed", manifest="11" * 32, template="22" * 32),),
            scope=Scope.model_validate(usual.scope.model_dump()),
            budget=usual.budget,
            access=Access(not_before="2026-01-01T00:00:00Z", not_after="2036-01-01T00:00:00Z"),
            timing=usual.timing,
            runtime=Runtime(level="RA0"),
            policy=policy or standard_policy(),
            issued_at=format_time(lab_clock.now()),
        )

    engagements = Engagements(keys=lab_keys, store=store, clock=lab_clock)
    admitted = Admitted(identity, spki_pin(identity.tls or ""), terms, review)
    use_case = Negotiating(
        admitted=[admitted], engagements=engagements, keys=lab_keys, store=store, clock=lab_clock, steps=Steps()
    )
    server = grpc.aio.server(interceptors=(TranslateErrors(), IdentifyCaller()))
    negotiation_service_pb2_grpc.add_NegotiationServiceServicer_to_server(NegotiationServicer(use_case), server)
    tls = grpc.ssl_server_credentials(
        [(home.read_private("tls"), (lab_identity.tls or "").encode())],
        root_certificates=(identity.tls or "").encode(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", tls)
    await server.start()
    credentials = Credentials(
        private_key=auditor_home.read(auditor_home.key_file("tls")),
        certificate=(identity.tls or "").encode(),
        lab_certificate=(lab_identity.tls or "").encode(),
    )
    channel = open_channel(f"127.0.0.1:{port}", credentials)
    lab, keys, mirror = GrpcLab(channel), auditor_home.read_keys(), Mirror(folder / "log.jsonl")
    proposal = Proposal(
        engagement=NAME,
        lab=parse_identity(home.identity.read_bytes()),
        auditor=identity,
        recipients=[],
        auditor_tls=spki_digest((identity.tls or "").encode()),
        lab_tls=spki_digest((lab_identity.tls or "").encode()),
    )
    async with SqliteJournal(auditor_home.journal) as journal:
        talks = negotiator(
            NAME, lab_identity=lab_identity, keys=keys, lab=lab, journal=journal, clock=clock, mirror=mirror
        )
        desk = Desk(home, load_settings(home.settings), lab_keys, store, lab_clock)
        try:
            yield Table(
                lab_clock, clock, store, engagements, use_case, desk, talks, keys, proposal, lab, journal, mirror
            )
        finally:
            mirror.close()
            await channel.close()
            await server.stop(None)
