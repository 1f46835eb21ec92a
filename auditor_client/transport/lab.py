"""The `Lab` port over gRPC: one method a call, with its deadline, and errors as the lab named them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc

from attestations.envelope import Envelope
from attestations.errors import LabUnreachable
from auditor_client.ports import (
    LabMessage,
    OfferAnswer,
    OpenedSession,
    Proof,
    Resumed,
    SealedFrame,
)
from auditor_client.transport.errors import error_from_call
from auditor_client.transport.stream import GrpcStream
from auditor_client.transport.wire import answers_of, frame_of, lab_message, opened, optional, wire
from safeconduct.v1 import (
    access_service_pb2 as access,
    access_service_pb2_grpc,
    disclosure_service_pb2 as disclosure,
    disclosure_service_pb2_grpc,
    negotiation_service_pb2 as negotiation,
    negotiation_service_pb2_grpc,
    transcript_service_pb2 as transcript,
    transcript_service_pb2_grpc,
)

CALL_SECONDS = 30.0
STREAM_SECONDS = 3600.0  # leaves and packages may be many
PAUSES = (0.1, 0.3, 0.9)  # seconds between the tries of one call; lanes have their own patience


class GrpcLab:
    """A lab at the other end of a channel."""

    def __init__(
        self, channel: grpc.aio.Channel, *, call_seconds: float = CALL_SECONDS, pauses: Sequence[float] = PAUSES
    ) -> None:
        self._negotiation: Any = negotiation_service_pb2_grpc.NegotiationServiceStub(channel)
        self._access: Any = access_service_pb2_grpc.AccessServiceStub(channel)
        self._transcript: Any = transcript_service_pb2_grpc.TranscriptServiceStub(channel)
        self._disclosure: Any = disclosure_service_pb2_grpc.DisclosureServiceStub(channel)
        self._seconds = call_seconds
        self._pauses = pauses

    async def terms(self) -> Envelope:
        """Return what the lab would agree to."""
        request = negotiation.GetTermsRequest()
        return opened(await self._ask("GetTerms", self._negotiation.GetTerms, request), "terms")

    async def offer(self, offer: Envelope, consents: Envelope | None = None) -> OfferAnswer | None:
        """Propose an agreement or an amendment."""
        second = None if consents is None else wire(consents)
        request = negotiation.OfferRequest(offer=wire(offer), consents=second)
        answer = await self._ask("Offer", self._negotiation.Offer, request)
        if not answer.HasField("accept") and not answer.HasField("agreement"):
            return None
        return OfferAnswer(opened(answer, "accept"), opened(answer, "agreement"))

    async def accept(self, accept: Envelope, agreement: Envelope) -> Envelope | None:
        """Accept the lab's offer."""
        request = negotiation.AcceptRequest(accept=wire(accept), agreement=wire(agreement))
        return optional(await self._ask("Accept", self._negotiation.Accept, request), "agreement")

    async def conclude(self, agreement: Envelope) -> Envelope | None:
        """Bring the agreement into force."""
        request = negotiation.ConcludeRequest(agreement=wire(agreement))
        return optional(await self._ask("Conclude", self._negotiation.Conclude, request), "receipt")

    async def withdraw(self, withdrawal: Envelope) -> None:
        """Take our offer off the table."""
        request = negotiation.WithdrawRequest(withdraw=wire(withdrawal))
        await self._ask("Withdraw", self._negotiation.Withdraw, request)

    async def reject(self, rejection: Envelope) -> None:
        """Decline the lab's offer."""
        await self._ask("Reject", self._negotiation.Reject, negotiation.RejectRequest(reject=wire(rejection)))

    async def terminate(self, termination: Envelope) -> Envelope | None:
        """End the agreement."""
        request = negotiation.TerminateRequest(termination=wire(termination))
        return optional(await self._ask("Terminate", self._negotiation.Terminate, request), "receipt")

    async def negotiation(self, engagement: str, *, start: int) -> Sequence[LabMessage]:
        """Return what the lab has said."""
        request = negotiation.GetNegotiationRequest(engagement=engagement, start=start)
        answer = await self._ask("GetNegotiation", self._negotiation.GetNegotiation, request)
        return [lab_message(item) for item in answer.messages]

    async def register(self, registration: Envelope) -> Envelope:
        """Register the suite; returns the receipt."""
        request = transcript.RegisterRequest(registration=wire(registration))
        answer = await self._ask("Register", self._transcript.Register, request)
        return opened(answer, "receipt")

    async def draw(self, draw: Envelope) -> Envelope:
        """Make the registered draw; returns the receipt with the lab's share."""
        request = transcript.DrawRequest(draw=wire(draw))
        answer = await self._ask("Draw", self._transcript.Draw, request)
        return opened(answer, "receipt")

    async def open_session(self, opening: Envelope) -> OpenedSession:
        """Open a session, or get its grant again."""
        request = access.OpenSessionRequest(open=wire(opening))
        answer = await self._ask("OpenSession", self._access.OpenSession, request)
        return OpenedSession(opened(answer, "grant"), opened(answer, "runtime"))

    @asynccontextmanager
    async def exchange(self) -> AsyncIterator[GrpcStream]:
        """Open a stream of exchanges."""
        call = self._access.Exchange()
        try:
            yield GrpcStream(call)
        finally:
            call.cancel()

    async def resume(self, *, agreement: str, session: str, checkpoint: str) -> Resumed:
        """Show the last cosigned checkpoint and learn where things stand."""
        request = access.ResumeRequest(agreement=agreement, session=session, checkpoint=checkpoint)
        answer = await self._ask("Resume", self._access.Resume, request)
        return Resumed(answer.checkpoint, tuple(answer.consistency), answer.next_seq)

    async def redeliver(self, *, agreement: str, session: str, seq: int) -> AsyncGenerator[SealedFrame, None]:
        """Get the frames of a finished exchange again."""
        request = access.RedeliverRequest(agreement=agreement, session=session, seq=seq)
        call = self._access.Redeliver(request, timeout=STREAM_SECONDS)
        async with aclosing(answers_of("Redeliver", call)) as answers:
            async for answer in answers:
                yield frame_of(answer.frame)

    async def runtime(self, agreement: str) -> Envelope:
        """Return the runtime statement that new Intents must name."""
        request = access.GetRuntimeRequest(agreement=agreement)
        return opened(await self._ask("GetRuntime", self._access.GetRuntime, request), "runtime")

    async def checkpoint(self, agreement: str) -> str:
        """Return the lab's present checkpoint with the cosignatures it holds."""
        request = transcript.GetCheckpointRequest(agreement=agreement)
        answer = await self._ask("GetCheckpoint", self._transcript.GetCheckpoint, request)
        return str(answer.checkpoint)

    async def proof(self, *, agreement: str, leaf: int, size: int, old_size: int) -> Proof:
        """Return an inclusion and a consistency proof."""
        request = transcript.GetProofRequest(agreement=agreement, leaf_index=leaf, tree_size=size, old_size=old_size)
        answer = await self._ask("GetProof", self._transcript.GetProof, request)
        return Proof(tuple(answer.inclusion), tuple(answer.consistency))

    async def leaves(self, *, agreement: str, start: int) -> AsyncGenerator[bytes, None]:
        """Give the log's leaves from `start`."""
        request = transcript.ListLeavesRequest(agreement=agreement, start=start)
        call = self._transcript.ListLeaves(request, timeout=STREAM_SECONDS)
        async with aclosing(answers_of("ListLeaves", call)) as answers:
            async for answer in answers:
                for leaf in answer.leaves:
                    yield leaf

    async def cosign(self, *, agreement: str, checkpoint: str) -> None:
        """Hand over a cosigned checkpoint."""
        request = transcript.CosignRequest(agreement=agreement, checkpoint=checkpoint)
        await self._ask("Cosign", self._transcript.Cosign, request)

    async def close(self, agreement: str) -> Envelope:
        """End the run."""
        request = transcript.CloseRequest(agreement=agreement)
        return opened(await self._ask("Close", self._transcript.Close, request), "close")

    async def confirm_close(self, close: Envelope) -> Envelope:
        """Hand over the close statement with both signatures; returns the receipt."""
        request = transcript.ConfirmCloseRequest(close=wire(close))
        answer = await self._ask("ConfirmClose", self._transcript.ConfirmClose, request)
        return opened(answer, "receipt")

    async def commit_grades(self, grades: Envelope) -> Envelope:
        """Fix every grade; returns the receipt."""
        request = transcript.CommitGradesRequest(grades=wire(grades))
        answer = await self._ask("CommitGrades", self._transcript.CommitGrades, request)
        return opened(answer, "receipt")

    async def deliver(self, manifest: Envelope, blocks: AsyncIterator[bytes]) -> Envelope:
        """Deliver the sealed packages; returns the lab's delivery receipt."""

        async def parts() -> AsyncIterator[disclosure.DeliverRequest]:
            yield disclosure.DeliverRequest(manifest=wire(manifest))
            async for block in blocks:
                yield disclosure.DeliverRequest(chunk=block)

        try:
            answer = await self._disclosure.Deliver(parts(), timeout=STREAM_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise error_from_call(error, call="Deliver") from None
        return opened(answer, "delivery")

    async def state(self, event: Envelope) -> Envelope:
        """Put a statement into the log; returns the receipt."""
        request = disclosure.StateRequest(event=wire(event))
        return opened(await self._ask("State", self._disclosure.State, request), "receipt")

    async def notify(self, notice: Envelope, content: bytes) -> Envelope:
        """Give notice of an emergency and hand over what it shows; returns the receipt."""
        request = disclosure.NotifyRequest(notice=wire(notice), content=content)
        return opened(await self._ask("Notify", self._disclosure.Notify, request), "receipt")

    async def escrow(self, document: Envelope) -> Envelope:
        """Log a manifest of escrow, or a holder's receipt; returns the lab's receipt."""
        request = disclosure.EscrowRequest(document=wire(document))
        return opened(await self._ask("Escrow", self._disclosure.Escrow, request), "receipt")

    async def release(self, release: Envelope) -> Envelope:
        """Log a release; returns the receipt."""
        request = disclosure.ReleaseRequest(release=wire(release))
        return opened(await self._ask("Release", self._disclosure.Release, request), "receipt")

    async def acknowledge(self, *, agreement: str, attestation: str) -> Envelope:
        """Ask the lab to acknowledge an attestation's transcript facts."""
        request = disclosure.AcknowledgeRequest(agreement=agreement, attestation=attestation)
        answer = await self._ask("Acknowledge", self._disclosure.Acknowledge, request)
        return opened(answer, "acknowledgement")

    async def _ask(self, call: str, method: Callable[..., Awaitable[Any]], request: object) -> Any:
        # Every call is safe to repeat: the lab answers the same signed bytes with the same bytes.
        for pause in (*self._pauses, None):
            try:
                return await method(request, timeout=self._seconds)
            except grpc.aio.AioRpcError as error:
                failed = error_from_call(error, call=call)
                if pause is None or not isinstance(failed, LabUnreachable):
                    raise failed from None
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")
