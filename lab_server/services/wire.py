"""The few shapes that several services share between messages and values."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import grpc.aio

from attestations.envelope import Envelope, parse_envelope
from attestations.errors import MalformedEnvelope
from lab_server.ports import StoredFrame
from safeconduct.v1 import access_service_pb2, envelope_pb2

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_DIGEST = re.compile(r"^[0-9a-f]{64}$")


def envelope_from_wire(message: envelope_pb2.SignedEnvelope) -> Envelope:
    """Read a signed envelope; nothing in it is believed yet."""
    return parse_envelope(message.dsse)


def envelope_to_wire(envelope: Envelope) -> envelope_pb2.SignedEnvelope:
    """Return the message of a signed envelope."""
    return envelope_pb2.SignedEnvelope(dsse=envelope.to_bytes())


def digest_from_wire(text: str) -> str:
    """Read a digest of 64 hex digits."""
    if not _DIGEST.match(text):
        raise MalformedEnvelope("a digest is 64 lower-case hex digits", field="agreement")
    return text


def frame_to_wire(frame: StoredFrame) -> access_service_pb2.Frame:
    """Return the message of a sealed frame."""
    return access_service_pb2.Frame(number=frame.number, ciphertext=frame.ciphertext, final=frame.final)
