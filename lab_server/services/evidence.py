"""EvidenceService over the engagements."""
# ruff: noqa: N802, ARG002 - the handlers have the names and arguments gRPC gives them

from __future__ import annotations

from lab_server.calling import caller
from lab_server.engagements import Engagements
from lab_server.services.wire import Context, digest_from_wire, envelope_to_wire
from safeconduct.v1 import evidence_service_pb2 as pb, evidence_service_pb2_grpc as grpc_pb


class EvidenceServicer(grpc_pb.EvidenceServiceServicer):
    """Hands out what the lab holds."""

    def __init__(self, engagements: Engagements) -> None:
        self._engagements = engagements

    async def GetAgreement(self, request: pb.GetAgreementRequest, context: Context) -> pb.GetAgreementResponse:
        """Return the agreement."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
        return pb.GetAgreementResponse(agreement=envelope_to_wire(engagement.envelope))

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        """Say how far the engagement is."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
        return pb.GetStatusResponse(
            phase=engagement.phase.value,
            tree_size=engagement.log.size,
            promised_count=engagement.promised,
            pending_count=len(engagement.open_exchanges),
        )
