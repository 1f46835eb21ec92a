"""DisclosureService over the use cases."""
# ruff: noqa: N802, ARG002 - the handlers have the names and arguments gRPC gives them

from __future__ import annotations

from collections.abc import AsyncIterator

from attestations.documents.engagement import PackageManifest, Release
from attestations.documents.escrow import EscrowManifest, EscrowVerified
from attestations.errors import MalformedEnvelope
from attestations.keys import KeyUse
from lab_server.calling import caller
from lab_server.disclosing import Disclosing
from lab_server.engagements import Engagements
from lab_server.escrowing import Escrowing
from lab_server.services.wire import Context, digest_from_wire, envelope_from_wire, envelope_to_wire
from safeconduct.v1 import disclosure_service_pb2 as pb, disclosure_service_pb2_grpc as grpc_pb


class DisclosureServicer(grpc_pb.DisclosureServiceServicer):
    """Sealed packages, escrow, events and releases."""

    def __init__(self, *, engagements: Engagements, disclosing: Disclosing, escrowing: Escrowing) -> None:
        self._engagements = engagements
        self._disclosing = disclosing
        self._escrowing = escrowing

    async def Deliver(self, request_iterator: AsyncIterator[pb.DeliverRequest], context: Context) -> pb.DeliverResponse:
        """Receive the sealed packages."""
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("part") != "manifest":
            raise MalformedEnvelope("a delivery begins with its manifest")
        envelope = envelope_from_wire(first.manifest)
        engagement, manifest = self._engagements.open(envelope, PackageManifest, use=KeyUse.PUBLICATION, peer=caller())

        async def blocks() -> AsyncIterator[bytes]:
            async for message in request_iterator:
                if message.WhichOneof("part") != "chunk":
                    raise MalformedEnvelope("a delivery goes on with chunks")
                yield message.chunk

        delivery = await self._disclosing.deliver(engagement, envelope, manifest, blocks())
        return pb.DeliverResponse(delivery=envelope_to_wire(delivery))

    async def State(self, request: pb.StateRequest, context: Context) -> pb.StateResponse:
        """Log what a party states, whoever hands it over."""
        envelope = envelope_from_wire(request.event)
        engagement, stated = self._engagements.stated(envelope, peer=caller())
        receipt = await self._disclosing.state(engagement, envelope, stated)
        return pb.StateResponse(receipt=envelope_to_wire(receipt))

    async def Notify(self, request: pb.NotifyRequest, context: Context) -> pb.NotifyResponse:
        """Receive an emergency notice and what it shows."""
        envelope = envelope_from_wire(request.notice)
        engagement, stated = self._engagements.stated(envelope, peer=caller())
        receipt = await self._disclosing.notify(engagement, envelope, stated, request.content)
        return pb.NotifyResponse(receipt=envelope_to_wire(receipt))

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        """Log a release."""
        envelope = envelope_from_wire(request.release)
        engagement, release = self._engagements.open(envelope, Release, use=KeyUse.PUBLICATION, peer=caller())
        receipt = await self._disclosing.release(engagement, envelope, release)
        return pb.ReleaseResponse(receipt=envelope_to_wire(receipt))

    async def Escrow(self, request: pb.EscrowRequest, context: Context) -> pb.EscrowResponse:
        """Log what concerns the escrow: a manifest of the auditor, or a holder's receipt."""
        envelope = envelope_from_wire(request.document)
        if envelope.payload_type == EscrowVerified.payload_type:
            claimed = EscrowVerified.parse(
                envelope.payload
            )  # only to find the engagement whose holder must have signed
            engagement = self._engagements.get(claimed.agreement, peer=caller())
            receipt = await self._escrowing.verified(engagement, envelope)
        else:
            engagement, manifest = self._engagements.open(
                envelope, EscrowManifest, use=KeyUse.PUBLICATION, peer=caller()
            )
            receipt = await self._escrowing.put(engagement, envelope, manifest)
        return pb.EscrowResponse(receipt=envelope_to_wire(receipt))

    async def Acknowledge(self, request: pb.AcknowledgeRequest, context: Context) -> pb.AcknowledgeResponse:
        """Acknowledge the transcript facts of an attestation."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
        acknowledgement = self._disclosing.acknowledge(engagement, digest_from_wire(request.attestation))
        return pb.AcknowledgeResponse(acknowledgement=envelope_to_wire(acknowledgement))
