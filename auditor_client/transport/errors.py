"""Turns a failed call back into the error the lab named; the lab's side does the reverse."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from attestations.errors import (
    LabUnreachable,
    MalformedEnvelope,
    PeerBindingMismatch,
    SafeconductError,
    StoreFailed,
)
from attestations.reasons import BY_REASON

ERROR_DOMAIN = "safeconduct"
_DETAILS = "grpc-status-details-bin"
_MAX_MESSAGE = 500  # the lab chooses the text; a terminal and a log line need no more
_MAX_FACTS = 16


def error_from_call(error: grpc.aio.AioRpcError, *, call: str) -> SafeconductError:
    """Return the error a failed call stands for: the lab's own by its reason, otherwise `LabUnreachable`."""
    named = _named_by_lab(error)
    if named is not None:
        return named
    details = error.details() or ""
    if "CERTIFICATE_VERIFY_FAILED" in details.upper() or "HOSTNAME" in details.upper():
        return PeerBindingMismatch("the lab's TLS certificate is not the one in its identity file", call=call)
    code = error.code()
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return MalformedEnvelope("the lab sent a message larger than the protocol allows", call=call)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return LabUnreachable(f"the lab did not answer {call} in time", call=call, status=code.name)
    return LabUnreachable(f"the lab cannot be reached ({call}: {code.name})", call=call, status=code.name)


def _named_by_lab(error: grpc.aio.AioRpcError) -> SafeconductError | None:
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS:
            continue
        try:
            status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode("latin-1"))
        except Exception:  # noqa: BLE001 - protobuf's DecodeError has several homes; a foreign trailer proves nothing
            return None
        for detail in status.details:
            named = error_details_pb2.ErrorInfo()
            if detail.Unpack(named) and named.reason in BY_REASON:
                facts = {
                    _printable(name)[:64]: _printable(fact)[:200]
                    for name, fact in list(named.metadata.items())[:_MAX_FACTS]
                    if name != "message"
                }
                kind = BY_REASON[named.reason]
                if issubclass(kind, StoreFailed):  # its disk, not ours: it may have room again, so it is waited for
                    said = _printable(status.message)[:_MAX_MESSAGE]
                    return LabUnreachable(f"the lab cannot keep what it signs: {said}", status=named.reason)
                raised = kind.__new__(kind)
                SafeconductError.__init__(raised, _printable(status.message)[:_MAX_MESSAGE])
                raised.facts = facts
                return raised
    return None


def _printable(text: str) -> str:
    # Control characters from the other side could rewrite a terminal.
    return "".join(letter if letter.isprintable() else " " for letter in text)
