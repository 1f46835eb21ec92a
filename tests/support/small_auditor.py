"""An auditor of few words over real TLS, made of the protocol's documents alone, that can break any rule on purpose."""

from __future__ import annotations

import os
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, get_args

import grpc

from attestations.checkpoint import Checkpoint, cosign, open_checkpoint
from attestations.commitments import ContentClass
from attestations.digests import sha256
from attestations.documents.agreement import Agreement, Terms, Transport
from attestations.documents.asking import AnyRequest, SealedRequest, request_commitment
from attestations.documents.base import Document, decode, encode, format_time
from attestations.documents.dialogue import ChatRequest, Message, Sampling
from attestations.documents.engagement import (
    ClassKeyCommitment,
    CloseStatement,
    GradeCommitment,
    PreRegistration,
    RegisteredSuite,
    RuntimeStatement,
    SessionOpen,
)
from attestations.documents.exchange import Intent, Record, Refusal, TokenBudget, seed_commitment
from attestations.documents.negotiation import Offer
from attestations.envelope import Envelope, open_document, parse_envelope, sign_document
from attestations.errors import SafeconductError
from attestations.identity import parse_identity
from attestations.keys import KeyUse
from attestations.merkle import Tree, leaf_hash
from attestations.notes import parse_note
from attestations.sealing import request_info, seal_request
from auditor_client.transport.errors import error_from_call
from safeconduct.v1 import (
    access_service_pb2 as access,
    access_service_pb2_grpc,
    disclosure_service_pb2_grpc,
    envelope_pb2,
    evidence_service_pb2_grpc,
    negotiation_service_pb2 as negotiation,
    negotiation_service_pb2_grpc,
    transcript_service_pb2 as transcript,
    transcript_service_pb2_grpc,
)
from tests.support.auditor_identity import SUITE, Keys


def wire(envelope: Envelope) -> envelope_pb2.SignedEnvelope:
    return envelope_pb2.SignedEnvelope(dsse=envelope.to_bytes())


def unwired(message: envelope_pb2.SignedEnvelope) -> Envelope:
    return parse_envelope(message.dsse)


@dataclass
class Lane:
    """Where one session stands."""

    name: str
    prev: str
    seq: int = 0


class Prepared(NamedTuple):
    """An Intent and what opens it."""

    envelope: Envelope
    sealed: bytes
    seed_share: bytes
    response_key: bytes
    seq: int


@dataclass
class Ended:
    """What came back for one Intent."""

    promise: Envelope | None = None
    refusal: Envelope | None = None
    record: Envelope | None = None
    frames: list[Any] = field(default_factory=list)

    @property
    def status(self) -> str:
        if self.refusal is not None:
            return f"REFUSED {Refusal.parse(self.refusal.payload).reason}"
        assert self.record is not None
        record = Record.parse(self.record.payload)
        return record.status if record.code is None else f"{record.status} {record.code}"


class SmallAuditor:
    """Speaks the calls of the protocol; keeps what one engagement needs, so that it can connect again elsewhere."""

    def __init__(self, keys: Keys, lab_identity: Path) -> None:
        self.keys = keys
        self.lab = parse_identity(lab_identity.read_bytes())
        self.envelope: Envelope | None = None
        self.agreement: Agreement | None = None
        self.runtime: Envelope | None = None
        self.leaves: list[bytes] = []
        self.checkpoint = ""
        self.channel: grpc.aio.Channel | None = None

    async def connect(self, address: str) -> None:
        """Connect, leaving any older connection."""
        await self.disconnect()
        tls = grpc.ssl_channel_credentials(
            root_certificates=(self.lab.tls or "").encode(),
            private_key=self.keys.tls_key,
            certificate_chain=(self.keys.identity.tls or "").encode(),
        )
        options = [
            ("grpc.ssl_target_name_override", self.lab.id),
            ("grpc.max_receive_message_length", 32 << 20),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        channel: Any = grpc.aio.secure_channel(address, tls, options=options)
        self.channel = channel
        self.negotiation: Any = negotiation_service_pb2_grpc.NegotiationServiceStub(channel)
        self.access: Any = access_service_pb2_grpc.AccessServiceStub(channel)
        self.transcript: Any = transcript_service_pb2_grpc.TranscriptServiceStub(channel)
        self.disclosure: Any = disclosure_service_pb2_grpc.DisclosureServiceStub(channel)
        self.evidence: Any = evidence_service_pb2_grpc.EvidenceServiceStub(channel)

    async def disconnect(self) -> None:
        if self.channel is not None:
            await self.channel.close()
            self.channel = None

    @property
    def digest(self) -> str:
        assert self.envelope is not None
        return self.envelope.digest

    @property
    def agreed(self) -> Agreement:
        assert self.agreement is not None
        return self.agreement

    def signed(self, document: Document, use: KeyUse) -> Envelope:
        return sign_document(document, self.keys.signers[use])

    async def terms(self) -> Terms:
        answer = await self.negotiation.GetTerms(negotiation.GetTermsRequest())
        return open_document(unwired(answer.terms), Terms, required=(self.lab.party().key(KeyUse.AGREEMENT),))

    def proposal(self, terms: Terms, engagement: str = "audit-1", **changes: Any) -> Agreement:
        values: dict[str, Any] = {
            "engagement": engagement,
            "parties": (terms.lab, self.keys.identity.party()),
            "transport": Transport(gateway=terms.gateway, auditor=self.keys.pin),
            "variants": terms.variants,
            "scope": terms.scope,
            "budget": terms.budget,
            "fine_tuning": terms.fine_tuning,
            "access": terms.access,
            "timing": terms.timing,
            "origin": f"{terms.origin_prefix}/{engagement}",
            "runtime": terms.runtime,
            "policy": terms.policy,
            "clauses": terms.clauses,
            "created_at": format_time(datetime.now(UTC)),
        }
        return Agreement(**{**values, **changes})

    def offer(self, body: Agreement, *, n: int = 0, minutes: int = 10) -> Envelope:
        until = format_time(datetime.now(UTC) + timedelta(minutes=minutes))
        return self.signed(Offer(n=n, previous=None, valid_until=until, body=body), KeyUse.AGREEMENT)

    async def send_offer(self, offer: Envelope) -> Envelope:
        """Offer and return the agreement with the lab's signature."""
        answer = await self.negotiation.Offer(negotiation.OfferRequest(offer=wire(offer)))
        return unwired(answer.agreement)

    async def negotiate(self, engagement: str = "audit-1", **changes: Any) -> None:
        """Bring an agreement on the lab's terms into force."""
        body = self.proposal(await self.terms(), engagement, **changes)
        theirs = await self.send_offer(self.offer(body))
        ours = self.signed(body, KeyUse.AGREEMENT)
        both = Envelope(ours.payload_type, ours.payload, (*theirs.signatures, *ours.signatures))
        await self.negotiation.Conclude(negotiation.ConcludeRequest(agreement=wire(both)))
        self.envelope, self.agreement = both, body

    def registration(self, root: str = "aa" * 32) -> Envelope:
        document = PreRegistration(
            agreement=self.digest,
            suite=RegisteredSuite(id="suite-1", root=root, tasks=4),
            class_keys=tuple(
                ClassKeyCommitment(content_class=cls, commitment=SUITE.class_key(cls).commitment())
                for cls in get_args(ContentClass)
            ),
            plan="bb" * 32,
            graders=(),
            arms=("as_shipped",),
            epochs=1,
            max_attempts=3,
            registered_at=format_time(datetime.now(UTC)),
        )
        return self.signed(document, KeyUse.PUBLICATION)

    async def register(self, registration: Envelope | None = None) -> Envelope:
        request = transcript.RegisterRequest(registration=wire(registration or self.registration()))
        return unwired((await self.transcript.Register(request)).receipt)

    async def open_session(self, name: str, **changes: Any) -> Lane:
        document = SessionOpen(
            **{
                "agreement": self.digest,
                "session": name,
                "nonce": os.urandom(32).hex(),
                "auditor_tls": self.keys.pin,
                "opened_at": format_time(datetime.now(UTC)),
                **changes,
            }
        )
        request = access.OpenSessionRequest(open=wire(self.signed(document, KeyUse.EXCHANGE)))
        answer = await self.access.OpenSession(request)
        self.runtime = unwired(answer.runtime)
        return Lane(name, unwired(answer.grant).digest)

    async def refresh_runtime(self) -> None:
        answer = await self.access.GetRuntime(access.GetRuntimeRequest(agreement=self.digest))
        self.runtime = unwired(answer.runtime)

    def statement(self) -> RuntimeStatement:
        assert self.runtime is not None
        return RuntimeStatement.parse(self.runtime.payload)

    def prepare(
        self,
        lane: Lane,
        prompt: str = "canary-prompt",
        *,
        plain: bytes | None = None,
        asked: AnyRequest | None = None,
        **changes: Any,
    ) -> Prepared:
        """Build an Intent for a prompt or for what is `asked`; `changes` replace fields, `plain` what is sealed."""
        assert self.runtime is not None
        statement, variant = self.statement(), self.agreed.variants[0]
        request = asked or ChatRequest(messages=(Message(role="user", content=prompt),))
        response_key, salt, seed_share = os.urandom(32), os.urandom(32), os.urandom(32)
        sealed_request = SealedRequest(request=request, response_key=encode(response_key), salt=encode(salt))
        seq = changes.get("seq", lane.seq)
        info = request_info(
            agreement=self.digest,
            session=lane.name,
            seq=seq,
            variant=changes.get("variant", variant.id),
            evidence=self.runtime.digest,
        )
        sealed = seal_request(decode(statement.hpke_public), info, plain or sealed_request.to_bytes())
        values: dict[str, Any] = {
            "agreement": self.digest,
            "session": lane.name,
            "seq": seq,
            "prev": lane.prev,
            "sealed_digest": sha256(sealed),
            "sealed_bytes": len(sealed),
            "plaintext_commit": request_commitment(request, salt),
            "handle": os.urandom(32).hex(),
            "variant": variant.id,
            "template": variant.template,
            "operation": request.operation,
            "sampling": Sampling(max_output_tokens=64),
            "seed_commit": seed_commitment(seed_share),
            "worker_key": sha256(decode(statement.hpke_public)),
            "evidence": self.runtime.digest,
            "budget_max": TokenBudget(input_tokens=256, output_tokens=64),
            "not_after": format_time(datetime.now(UTC) + timedelta(minutes=10)),
        }
        intent = Intent(**{**values, **changes})
        return Prepared(self.signed(intent, KeyUse.EXCHANGE), sealed, seed_share, response_key, seq)

    def stream(self) -> Any:
        return self.access.Exchange()

    async def promised(self, stream: Any, prepared: Prepared) -> Ended:
        """Send an Intent and read the first answer."""
        await stream.write(access.ExchangeRequest(intent=wire(prepared.envelope)))
        return await self._next(stream, Ended())

    async def carry(self, stream: Any, prepared: Prepared) -> Ended:
        """Carry one exchange from Intent to Record or refusal."""
        ended = await self.promised(stream, prepared)
        if ended.refusal is None:
            reveal = access.Reveal(sealed=prepared.sealed, seed_share=prepared.seed_share)
            await stream.write(access.ExchangeRequest(reveal=reveal))
            await self.finish(stream, ended)
        return ended

    async def finish(self, stream: Any, ended: Ended) -> Ended:
        """Read until the Record."""
        while ended.record is None:
            await self._next(stream, ended)
        return ended

    async def ask(self, lane: Lane, prompt: str = "canary-prompt", **changes: Any) -> tuple[Prepared, Ended]:
        """Carry one exchange on a stream of its own and move the lane on."""
        prepared = self.prepare(lane, prompt, **changes)
        stream = self.stream()
        ended = await self.carry(stream, prepared)
        stream.cancel()
        self.move(lane, ended)
        return prepared, ended

    @staticmethod
    def move(lane: Lane, ended: Ended) -> None:
        last = ended.record or ended.refusal
        assert last is not None
        lane.prev, lane.seq = last.digest, lane.seq + 1

    async def _next(self, stream: Any, ended: Ended) -> Ended:
        message = await stream.read()
        assert message is not grpc.aio.EOF
        kind = message.WhichOneof("message")
        if kind == "frame":
            ended.frames.append(message.frame)
        else:
            ended.frames.extend(message.last_frames)
            setattr(ended, kind, unwired(getattr(message, kind)))
        return ended

    async def follow(self) -> Checkpoint:
        """Fetch what is new in the log and check it against the lab's signed checkpoint."""
        answer = await self.transcript.GetCheckpoint(transcript.GetCheckpointRequest(agreement=self.digest))
        note = parse_note(answer.checkpoint)
        checkpoint = open_checkpoint(note, origin=self.agreed.origin, log_key=self.agreed.lab_key(KeyUse.LOG))
        request = transcript.ListLeavesRequest(agreement=self.digest, start=len(self.leaves))
        async for page in self.transcript.ListLeaves(request):
            self.leaves += page.leaves
        tree = Tree()
        for leaf in self.leaves[: checkpoint.size]:
            tree.append(leaf_hash(leaf))
        assert tree.root() == checkpoint.root
        self.checkpoint = answer.checkpoint
        return checkpoint

    async def cosign(self) -> Checkpoint:
        """Follow the log and hand the lab our cosignature."""
        checkpoint = await self.follow()
        name = f"{self.keys.party}/cosign"
        note = cosign(
            parse_note(self.checkpoint), name=name, signer=self.keys.signers[KeyUse.COSIGN], at=datetime.now(UTC)
        )
        self.checkpoint = note.to_text()
        await self.transcript.Cosign(transcript.CosignRequest(agreement=self.digest, checkpoint=self.checkpoint))
        return checkpoint

    async def close_statement(self) -> Envelope:
        """Have the run closed and return the lab's statement with our signature beside the lab's."""
        theirs = unwired((await self.transcript.Close(transcript.CloseRequest(agreement=self.digest))).close)
        ours = self.keys.signers[KeyUse.EXCHANGE]
        statement = open_document(theirs, CloseStatement, required=(self.agreed.lab_key(KeyUse.RECORD),))
        return Envelope(
            theirs.payload_type, theirs.payload, (*theirs.signatures, *sign_document(statement, ours).signatures)
        )

    async def confirm_close(self, both: Envelope) -> Envelope:
        answer = await self.transcript.ConfirmClose(transcript.ConfirmCloseRequest(close=wire(both)))
        return unwired(answer.receipt)

    async def commit_grades(self) -> Envelope:
        document = GradeCommitment(
            agreement=self.digest, root="cc" * 32, tasks=4, committed_at=format_time(datetime.now(UTC))
        )
        request = transcript.CommitGradesRequest(grades=wire(self.signed(document, KeyUse.PUBLICATION)))
        return unwired((await self.transcript.CommitGrades(request)).receipt)


async def failure(stream: Any) -> SafeconductError:
    """Return the error a stream ends with."""
    try:
        while await stream.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error_from_call(error, call="stream")
    raise AssertionError("the lab did not refuse")


async def outcome(call: Awaitable[Any]) -> SafeconductError | None:
    """Await a call and return the lab's error, or None if it succeeds."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error_from_call(error, call="call")
    return None
