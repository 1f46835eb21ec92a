"""The messages of the wire and what they stand for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from attestations.documents.base import format_time, parse_time
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import MalformedEnvelope
from auditor_client.ports import LabMessage, SealedFrame
from auditor_client.transport.errors import error_from_call
from safeconduct.v1 import envelope_pb2


async def answers_of(call: str, answers: Any) -> AsyncGenerator[Any, None]:
    """Give the answers of a streaming call, and raise what its end says; closing this ends the call."""
    try:
        # A call and its iterator refer to each other: left to the garbage collector, which counts objects and not
        # bytes, every call that is not read to its end would keep its last answer for as long as a campaign runs.
        async with aclosing(aiter(answers)) as messages:
            async for answer in messages:
                yield answer
    except grpc.aio.AioRpcError as error:
        raise error_from_call(error, call=call) from None
    finally:
        answers.cancel()


def wire(envelope: Envelope) -> envelope_pb2.SignedEnvelope:
    """Return an envelope as a message."""
    return envelope_pb2.SignedEnvelope(dsse=envelope.to_bytes())


def opened(message: Any, field: str) -> Envelope:
    """Return the envelope in a field that must be there."""
    if not message.HasField(field):
        raise MalformedEnvelope(f"the lab's answer lacks {field}", field=field)
    return parse_envelope(getattr(message, field).dsse)


def optional(message: Any, field: str) -> Envelope | None:
    """Return the envelope in a field, if it is there."""
    return opened(message, field) if message.HasField(field) else None


def lab_message(item: Any) -> LabMessage:
    """Return one message of a negotiation and its time."""
    try:
        made_at = format_time(parse_time(item.made_at))
    except ValueError:
        raise MalformedEnvelope("the lab's message has no time", field="made_at") from None
    documents = tuple(parse_envelope(document.dsse) for document in item.documents[:2])
    if not documents:
        raise MalformedEnvelope("the lab's message holds no document", field="documents")
    return LabMessage(documents, made_at)


def frame_of(frame: Any) -> SealedFrame:
    """Return one frame of an answer."""
    return SealedFrame(frame.number, frame.ciphertext, frame.final)
