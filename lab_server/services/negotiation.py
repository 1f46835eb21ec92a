"""NegotiationService over the use case."""
# ruff: noqa: N802, ARG002 - the handlers have the names and arguments gRPC gives them

from __future__ import annotations

import re

from attestations.documents.negotiation import Reject, Withdraw
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import MalformedEnvelope
from lab_server.calling import caller
from lab_server.negotiating import Negotiating
from lab_server.services.wire import Context, envelope_from_wire, envelope_to_wire
from safeconduct.v1 import envelope_pb2, negotiation_service_pb2 as pb, negotiation_service_pb2_grpc as grpc_pb

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")


class NegotiationServicer(grpc_pb.NegotiationServiceServicer):
    """Brings agreements into force, amends them and ends them."""

    def __init__(self, negotiating: Negotiating) -> None:
        self._negotiating = negotiating

    async def GetTerms(self, request: pb.GetTermsRequest, context: Context) -> pb.GetTermsResponse:
        """Return the terms for the caller."""
        return pb.GetTermsResponse(terms=envelope_to_wire(await self._negotiating.terms(caller())))

    async def Offer(self, request: pb.OfferRequest, context: Context) -> pb.OfferResponse:
        """Take an offer."""
        consents = envelope_from_wire(request.consents) if request.HasField("consents") else None
        answer = await self._negotiating.offer(envelope_from_wire(request.offer), consents, peer=caller())
        if answer is None:
            return pb.OfferResponse()
        return pb.OfferResponse(accept=envelope_to_wire(answer.accept), agreement=envelope_to_wire(answer.agreement))

    async def Accept(self, request: pb.AcceptRequest, context: Context) -> pb.AcceptResponse:
        """Take an acceptance."""
        accept, agreement = envelope_from_wire(request.accept), envelope_from_wire(request.agreement)
        concluded = await self._negotiating.accept(accept, agreement, peer=caller())
        return pb.AcceptResponse(agreement=_optional(concluded))

    async def Conclude(self, request: pb.ConcludeRequest, context: Context) -> pb.ConcludeResponse:
        """Put an agreement in force."""
        _, receipt = await self._negotiating.conclude(envelope_from_wire(request.agreement), peer=caller())
        return pb.ConcludeResponse(receipt=_optional(receipt))

    async def Withdraw(self, request: pb.WithdrawRequest, context: Context) -> pb.WithdrawResponse:
        """Take a withdrawal."""
        await self._negotiating.take(envelope_from_wire(request.withdraw), Withdraw, peer=caller())
        return pb.WithdrawResponse()

    async def Reject(self, request: pb.RejectRequest, context: Context) -> pb.RejectResponse:
        """Take a rejection."""
        await self._negotiating.take(envelope_from_wire(request.reject), Reject, peer=caller())
        return pb.RejectResponse()

    async def Terminate(self, request: pb.TerminateRequest, context: Context) -> pb.TerminateResponse:
        """Take a termination."""
        receipt = await self._negotiating.terminate(envelope_from_wire(request.termination), peer=caller())
        return pb.TerminateResponse(receipt=_optional(receipt))

    async def GetNegotiation(self, request: pb.GetNegotiationRequest, context: Context) -> pb.GetNegotiationResponse:
        """Return our messages."""
        if not _NAME.fullmatch(request.engagement):
            raise MalformedEnvelope("an engagement's name is 1 to 128 characters", field="engagement")
        entries = await self._negotiating.messages(request.engagement, request.start, peer=caller())
        messages = [
            pb.NegotiationMessage(
                documents=[envelope_to_wire(parse_envelope(document)) for document in entry.documents],
                made_at=entry.at,
            )
            for entry in entries
        ]
        return pb.GetNegotiationResponse(messages=messages)


def _optional(envelope: Envelope | None) -> envelope_pb2.SignedEnvelope | None:
    return None if envelope is None else envelope_to_wire(envelope)
