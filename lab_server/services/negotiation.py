"""NegotiationService over the use case."""
# ruff: noqa: N802, ARG002 - the handlers have the names and arguments gRPC gives them

from __future__ import annotations

from lab_server.calling import caller
from lab_server.negotiating import Negotiating
from lab_server.services.wire import Context, envelope_from_wire, envelope_to_wire
from safeconduct.v1 import negotiation_service_pb2 as pb, negotiation_service_pb2_grpc as grpc_pb


class NegotiationServicer(grpc_pb.NegotiationServiceServicer):
    """Brings agreements into force."""

    def __init__(self, negotiating: Negotiating) -> None:
        self._negotiating = negotiating

    async def GetTerms(self, request: pb.GetTermsRequest, context: Context) -> pb.GetTermsResponse:
        """Return the terms for the caller."""
        return pb.GetTermsResponse(terms=envelope_to_wire(await self._negotiating.terms(caller())))

    async def Offer(self, request: pb.OfferRequest, context: Context) -> pb.OfferResponse:
        """Answer an offer."""
        accept, agreement = await self._negotiating.offer(envelope_from_wire(request.offer), peer=caller())
        return pb.OfferResponse(accept=envelope_to_wire(accept), agreement=envelope_to_wire(agreement))

    async def Conclude(self, request: pb.ConcludeRequest, context: Context) -> pb.ConcludeResponse:
        """Put an agreement in force."""
        await self._negotiating.conclude(envelope_from_wire(request.agreement), peer=caller())
        return pb.ConcludeResponse()
