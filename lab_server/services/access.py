"""AccessService over the use cases."""
# ruff: noqa: N802, ARG002 - the handlers have the names and arguments gRPC gives them

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from attestations.documents.engagement import SessionOpen
from attestations.documents.exchange import Cancel, Intent, Promise, Record, sealed_limit
from attestations.errors import MalformedEnvelope, RevealBeforePromise, SizeLimitExceeded
from attestations.keys import KeyUse
from lab_server.calling import caller
from lab_server.engagement import Engagement, OpenExchange, Published, Session
from lab_server.engagements import Engagements
from lab_server.exchanging import Exchanging
from lab_server.opening import Opening
from lab_server.ports import StoredFrame
from lab_server.services.wire import Context, digest_from_wire, envelope_from_wire, envelope_to_wire, frame_to_wire
from safeconduct.v1 import access_service_pb2 as pb, access_service_pb2_grpc as grpc_pb

_LAST_FRAMES = 64  # that travel with a Record, 1 KiB each: a long answer must not become one large message


class Place(NamedTuple):
    """What a stream's last Intent was about."""

    engagement: Engagement
    session: Session
    intent: Intent


class AccessServicer(grpc_pb.AccessServiceServicer):
    """Opens sessions and carries exchanges."""

    def __init__(self, *, engagements: Engagements, opening: Opening, exchanging: Exchanging) -> None:
        self._engagements = engagements
        self._opening = opening
        self._exchanging = exchanging

    async def OpenSession(self, request: pb.OpenSessionRequest, context: Context) -> pb.OpenSessionResponse:
        """Open a session."""
        envelope = envelope_from_wire(request.open)
        engagement, document = self._engagements.open(envelope, SessionOpen, use=KeyUse.EXCHANGE, peer=caller())
        runtime = await self._opening.runtime(engagement)
        grant = await self._opening.open_session(engagement, envelope, document)
        return pb.OpenSessionResponse(grant=envelope_to_wire(grant), runtime=envelope_to_wire(runtime))

    async def Exchange(
        self, request_iterator: AsyncIterator[pb.ExchangeRequest], context: Context
    ) -> AsyncIterator[pb.ExchangeResponse]:
        """Carry exchanges, one after another."""
        peer = caller()
        place: Place | None = None
        async for message in request_iterator:
            match message.WhichOneof("message"):
                case "intent":
                    envelope = envelope_from_wire(message.intent)
                    engagement, intent = self._engagements.open(envelope, Intent, use=KeyUse.EXCHANGE, peer=peer)
                    place = Place(engagement, engagement.session(intent.session), intent)
                    for answer in _to_wire(await self._exchanging.intend(engagement, envelope, intent)):
                        yield answer
                    pending = place.session.open
                    # An exchange that was revealed before the stream broke goes on where it stands.
                    if pending is None or not pending.revealed or pending.intent_digest != envelope.digest:
                        continue
                case "reveal":
                    engagement, pending = await self._reveal(place, message.reveal)
                case "cancel":
                    envelope = envelope_from_wire(message.cancel)
                    engagement, cancel = self._engagements.open(envelope, Cancel, use=KeyUse.EXCHANGE, peer=peer)
                    session = engagement.session(cancel.session)
                    pending = await self._exchanging.cancel(engagement, session, envelope, cancel)
                case _:
                    raise MalformedEnvelope("an exchange message without content")
            if pending is not None:
                async for published in self._exchanging.follow(engagement, pending):
                    for answer in _to_wire(published):
                        yield answer

    async def _reveal(self, place: Place | None, reveal: pb.Reveal) -> tuple[Engagement, OpenExchange | None]:
        if place is None:
            raise RevealBeforePromise("a Reveal before any Intent")
        engagement, session, intent = place
        limit = sealed_limit(intent.operation)
        if len(reveal.sealed) > limit:
            raise SizeLimitExceeded(f"a sealed request of this operation is at most {limit} bytes")
        return engagement, await self._exchanging.reveal(engagement, session, intent, reveal.sealed, reveal.seed_share)

    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeResponse:
        """Prove that the log extends what the auditor last cosigned."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
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

    async def Redeliver(self, request: pb.RedeliverRequest, context: Context) -> AsyncIterator[pb.RedeliverResponse]:
        """Send the frames of an ended exchange again."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
        engagement.session(request.session)
        for frame in await self._exchanging.frames(engagement, request.session, request.seq):
            yield pb.RedeliverResponse(frame=frame_to_wire(frame))

    async def GetRuntime(self, request: pb.GetRuntimeRequest, context: Context) -> pb.GetRuntimeResponse:
        """Return the runtime statement of the running worker."""
        engagement = self._engagements.get(digest_from_wire(request.agreement), peer=caller())
        return pb.GetRuntimeResponse(runtime=envelope_to_wire(await self._opening.runtime(engagement)))


def _to_wire(items: Sequence[Published]) -> list[pb.ExchangeResponse]:
    """Return the messages of what is to be sent now; frames just before a Record travel with it."""
    answers: list[pb.ExchangeResponse] = []
    frames: list[pb.Frame] = []
    for item in items:
        if isinstance(item, StoredFrame):
            frames.append(frame_to_wire(item))
        elif item.payload_type == Record.payload_type:
            before, last = frames[:-_LAST_FRAMES], frames[-_LAST_FRAMES:]
            answers += (pb.ExchangeResponse(frame=frame) for frame in before)
            answers.append(pb.ExchangeResponse(record=envelope_to_wire(item), last_frames=last))
            frames = []
        elif item.payload_type == Promise.payload_type:
            answers.append(pb.ExchangeResponse(promise=envelope_to_wire(item)))
        else:
            answers.append(pb.ExchangeResponse(refusal=envelope_to_wire(item)))
    return [*answers, *(pb.ExchangeResponse(frame=frame) for frame in frames)]
