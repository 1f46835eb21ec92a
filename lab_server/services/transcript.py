"""TranscriptService over the use cases."""
# ruff: noqa: N802, ARG002 - the handlers have the names and arguments gRPC gives them

from __future__ import annotations

from collections.abc import AsyncIterator

from attestations.documents.drawing import Draw
from attestations.documents.engagement import CloseStatement, GradeCommitment, PreRegistration
from attestations.errors import MalformedEnvelope
from attestations.keys import KeyUse
from lab_server.calling import caller
from lab_server.engagements import Engagements
from lab_server.services.wire import Context, digest_from_wire, envelope_from_wire, envelope_to_wire
from lab_server.transcribing import Transcribing
from safeconduct.v1 import transcript_service_pb2 as pb, transcript_service_pb2_grpc as grpc_pb


class TranscriptServicer(grpc_pb.TranscriptServiceServicer):
    """The log both sides sign."""

    def __init__(self, *, engagements: Engagements, transcribing: Transcribing) -> None:
        self._engagements = engagements
        self._transcribing = transcribing

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Register the suite."""
        envelope = envelope_from_wire(request.registration)
        engagement, document = self._engagements.open(envelope, PreRegistration, use=KeyUse.PUBLICATION, peer=caller())
        receipt = await self._transcribing.register(engagement, envelope, document)
        return pb.RegisterResponse(receipt=envelope_to_wire(receipt))

    async def Draw(self, request: pb.DrawRequest, context: Context) -> pb.DrawResponse:
        """Make the registered draw."""
        envelope = envelope_from_wire(request.draw)
        engagement, document = self._engagements.open(envelope, Draw, use=KeyUse.PUBLICATION, peer=caller())
        receipt = await self._transcribing.draw(engagement, envelope, document)
        return pb.DrawResponse(receipt=envelope_to_wire(receipt))

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: Context) -> pb.GetCheckpointResponse:
        """Return the present checkpoint."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
        return pb.GetCheckpointResponse(checkpoint=engagement.log.checkpoint().to_text())

    async def GetProof(self, request: pb.GetProofRequest, context: Context) -> pb.GetProofResponse:
        """Return proofs."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
        inclusion = engagement.log.inclusion(request.leaf_index, request.tree_size)
        consistency = engagement.log.consistency(request.old_size, request.tree_size) if request.old_size else ()
        return pb.GetProofResponse(inclusion=inclusion, consistency=consistency)

    async def ListLeaves(self, request: pb.ListLeavesRequest, context: Context) -> AsyncIterator[pb.ListLeavesResponse]:
        """Send the leaves from `start`."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
        start = request.start
        while leaves := await engagement.log.leaves(start):
            yield pb.ListLeavesResponse(leaves=[leaf.data for leaf in leaves])
            start += len(leaves)

    async def Cosign(self, request: pb.CosignRequest, context: Context) -> pb.CosignResponse:
        """Keep a cosignature."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
        name = f"{engagement.agreement.party('auditor').id}/cosign"
        await engagement.log.cosign(request.checkpoint, name=name, key=engagement.auditor_keys[KeyUse.COSIGN])
        return pb.CosignResponse()

    async def Close(self, request: pb.CloseRequest, context: Context) -> pb.CloseResponse:
        """End the run."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
        return pb.CloseResponse(close=envelope_to_wire(await self._transcribing.close(engagement)))

    async def ConfirmClose(self, request: pb.ConfirmCloseRequest, context: Context) -> pb.ConfirmCloseResponse:
        """Log the close statement."""
        envelope = envelope_from_wire(request.close)
        engagement = self._engagements.about(envelope, peer=caller())
        if envelope.payload_type != CloseStatement.payload_type:
            raise MalformedEnvelope("not a close statement")
        receipt = await self._transcribing.confirm_close(engagement, envelope)
        return pb.ConfirmCloseResponse(receipt=envelope_to_wire(receipt))

    async def CommitGrades(self, request: pb.CommitGradesRequest, context: Context) -> pb.CommitGradesResponse:
        """Log the commitment to every grade."""
        envelope = envelope_from_wire(request.grades)
        engagement, _ = self._engagements.open(envelope, GradeCommitment, use=KeyUse.PUBLICATION, peer=caller())
        receipt = await self._transcribing.commit_grades(engagement, envelope)
        return pb.CommitGradesResponse(receipt=envelope_to_wire(receipt))
