"""DisclosureService and EvidenceService over the use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator

from attestations.documents.engagement import PackageManifest, PolicyEvent, Release
from attestations.errors import MalformedEnvelope
from attestations.keys import KeyUse
from lab_server.disclosing import Disclosing
from lab_server.engagements import Engagements
from lab_server.interceptors.around import Context
from lab_server.interceptors.identity import peer_of
from lab_server.services.wire import digest_from_wire, envelope_from_wire, envelope_to_wire
from safeconduct.v1 import (
    disclosure_service_pb2 as pb,
    disclosure_service_pb2_grpc as grpc_pb,
    evidence_service_pb2 as evidence_pb,
    evidence_service_pb2_grpc as evidence_grpc,
)


class DisclosureServicer(grpc_pb.DisclosureServiceServicer):
    """Sealed packages, events and releases."""

    def __init__(self, *, engagements: Engagements, disclosing: Disclosing) -> None:
        self._engagements = engagements
        self._disclosing = disclosing

    async def Deliver(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.DeliverRequest], context: Context
    ) -> pb.DeliverResponse:
        """Receive the sealed packages."""
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("part") != "manifest":
            raise MalformedEnvelope("a delivery begins with its manifest")
        envelope = envelope_from_wire(first.manifest)
        engagement, manifest = self._engagements.open(
            envelope, PackageManifest, use=KeyUse.PUBLICATION, peer=peer_of(context)
        )

        async def blocks() -> AsyncIterator[bytes]:
            async for message in request_iterator:
                if message.WhichOneof("part") != "chunk":
                    raise MalformedEnvelope("a delivery goes on with chunks")
                yield message.chunk

        delivery = await self._disclosing.deliver(engagement, envelope, manifest, blocks())
        return pb.DeliverResponse(delivery=envelope_to_wire(delivery))

    async def State(self, request: pb.StateRequest, context: Context) -> pb.StateResponse:  # noqa: N802
        """Log an event the auditor states."""
        envelope = envelope_from_wire(request.event)
        engagement, _ = self._engagements.open(envelope, PolicyEvent, use=KeyUse.AGREEMENT, peer=peer_of(context))
        return pb.StateResponse(receipt=envelope_to_wire(await self._disclosing.state(engagement, envelope)))

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:  # noqa: N802
        """Log a release."""
        envelope = envelope_from_wire(request.release)
        engagement, release = self._engagements.open(envelope, Release, use=KeyUse.PUBLICATION, peer=peer_of(context))
        receipt = await self._disclosing.release(engagement, envelope, release)
        return pb.ReleaseResponse(receipt=envelope_to_wire(receipt))

    async def Acknowledge(self, request: pb.AcknowledgeRequest, context: Context) -> pb.AcknowledgeResponse:  # noqa: N802
        """Acknowledge the transcript facts of an attestation."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=peer_of(context))
        acknowledgement = self._disclosing.acknowledge(engagement, digest_from_wire(request.attestation))
        return pb.AcknowledgeResponse(acknowledgement=envelope_to_wire(acknowledgement))


class EvidenceServicer(evidence_grpc.EvidenceServiceServicer):
    """Hands out what the lab holds."""

    def __init__(self, engagements: Engagements) -> None:
        self._engagements = engagements

    async def GetAgreement(  # noqa: N802
        self, request: evidence_pb.GetAgreementRequest, context: Context
    ) -> evidence_pb.GetAgreementResponse:
        """Return the agreement."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=peer_of(context))
        return evidence_pb.GetAgreementResponse(agreement=envelope_to_wire(engagement.envelope))

    async def GetStatus(  # noqa: N802
        self, request: evidence_pb.GetStatusRequest, context: Context
    ) -> evidence_pb.GetStatusResponse:
        """Say how far the engagement is."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=peer_of(context))
        return evidence_pb.GetStatusResponse(
            phase=engagement.phase.value,
            tree_size=engagement.log.size,
            promised_count=engagement.promised,
            pending_count=len(engagement.open_exchanges),
        )
