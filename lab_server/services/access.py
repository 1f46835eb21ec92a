"""AccessService over the use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator

from attestations.documents.engagement import SessionOpen
from attestations.documents.exchange import MAX_SEALED_BYTES, Cancel, Intent
from attestations.envelope import Envelope
from attestations.errors import MalformedEnvelope, PhaseViolation, SizeLimitExceeded
from attestations.keys import KeyUse
from lab_server.engagement import Engagement, Published, Session
from lab_server.engagements import Engagements
from lab_server.exchanging import Exchanging
from lab_server.interceptors.around import Context
from lab_server.interceptors.identity import peer_of
from lab_server.opening import Opening
from lab_server.ports import StoredFrame
from lab_server.services.wire import digest_from_wire, envelope_from_wire, envelope_to_wire, frame_to_wire
from safeconduct.v1 import access_service_pb2 as pb, access_service_pb2_grpc as grpc_pb

_KINDS = {
    "application/vnd.safeconduct.promise.v1+json": "promise",
    "application/vnd.safeconduct.record.v1+json": "record",
    "application/vnd.safeconduct.refusal.v1+json": "refusal",
}


class AccessServicer(grpc_pb.AccessServiceServicer):
    """Opens sessions and carries exchanges."""

    def __init__(self, *, engagements: Engagements, opening: Opening, exchanging: Exchanging) -> None:
        self._engagements = engagements
        self._opening = opening
        self._exchanging = exchanging

    async def OpenSession(self, request: pb.OpenSessionRequest, context: Context) -> pb.OpenSessionResponse:  # noqa: N802
        """Open a session."""
        envelope = envelope_from_wire(request.open)
        engagement, document = self._engagements.open(envelope, SessionOpen, use=KeyUse.EXCHANGE, peer=peer_of(context))
        runtime = await self._opening.runtime(engagement)
        grant = await self._opening.open_session(engagement, envelope, document)
        return pb.OpenSessionResponse(grant=envelope_to_wire(grant), runtime=envelope_to_wire(runtime))

    async def Exchange(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.ExchangeRequest], context: Context
    ) -> AsyncIterator[pb.ExchangeResponse]:
        """Carry exchanges, one after another."""
        peer = peer_of(context)
        place: tuple[Engagement, Session] | None = None
        async for message in request_iterator:
            match message.WhichOneof("message"):
                case "intent":
                    envelope = envelope_from_wire(message.intent)
                    engagement, intent = self._engagements.open(envelope, Intent, use=KeyUse.EXCHANGE, peer=peer)
                    place = (engagement, engagement.session(intent.session))
                    async for item in self._intend(place, envelope, intent):
                        yield item
                case "reveal":
                    engagement, session = _required(place)
                    if len(message.reveal.sealed) > MAX_SEALED_BYTES:
                        raise SizeLimitExceeded("a sealed request is at most 1 MiB")
                    pending = await self._exchanging.reveal(
                        engagement, session, message.reveal.sealed, message.reveal.seed_share
                    )
                    async for published in self._exchanging.follow(engagement, pending):
                        yield _to_wire(published)
                case "cancel":
                    envelope = envelope_from_wire(message.cancel)
                    engagement, cancel = self._engagements.open(envelope, Cancel, use=KeyUse.EXCHANGE, peer=peer)
                    session = engagement.session(cancel.session)
                    pending = await self._exchanging.cancel(engagement, session, envelope)
                    async for published in self._exchanging.follow(engagement, pending):
                        yield _to_wire(published)
                case _:
                    raise MalformedEnvelope("an exchange message without content")

    async def _intend(
        self, place: tuple[Engagement, Session], envelope: Envelope, intent: Intent
    ) -> AsyncIterator[pb.ExchangeResponse]:
        engagement, session = place
        for item in await self._exchanging.intend(engagement, envelope, intent):
            yield _to_wire(item)
        pending = session.open
        # An exchange that was revealed before the stream broke goes on where it stands.
        if pending is not None and pending.intent_digest == envelope.digest and pending.revealed:
            async for published in self._exchanging.follow(engagement, pending):
                yield _to_wire(published)

    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeResponse:  # noqa: N802
        """Prove that the log extends what the auditor last cosigned."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=peer_of(context))
        consistency: tuple[bytes, ...] = ()
        if request.checkpoint:
            seen = engagement.log.check_extends(request.checkpoint)
            if seen.size:
                consistency = engagement.log.consistency(seen.size, engagement.log.size)
        return pb.ResumeResponse(
            checkpoint=engagement.log.checkpoint().to_text(),
            consistency=consistency,
            next_seq=engagement.session(request.session).next_seq if request.session else 0,
        )

    async def Redeliver(  # noqa: N802
        self, request: pb.RedeliverRequest, context: Context
    ) -> AsyncIterator[pb.RedeliverResponse]:
        """Send the frames of an ended exchange again."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=peer_of(context))
        engagement.session(request.session)
        for frame in await self._exchanging.frames(engagement, request.session, request.seq):
            yield pb.RedeliverResponse(frame=frame_to_wire(frame))

    async def GetRuntime(self, request: pb.GetRuntimeRequest, context: Context) -> pb.GetRuntimeResponse:  # noqa: N802
        """Return the runtime statement of the running worker."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=peer_of(context))
        return pb.GetRuntimeResponse(runtime=envelope_to_wire(await self._opening.runtime(engagement)))


def _required(place: tuple[Engagement, Session] | None) -> tuple[Engagement, Session]:
    if place is None:
        raise PhaseViolation("a Reveal before any Intent")
    return place


def _to_wire(item: Published) -> pb.ExchangeResponse:
    if isinstance(item, StoredFrame):
        return pb.ExchangeResponse(frame=frame_to_wire(item))
    return pb.ExchangeResponse(**{_KINDS[item.payload_type]: envelope_to_wire(item)})
