"""DSSE v1: signatures over a type and exact bytes, accepted by role and parsed only once they hold."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from attestations.canonical import MAX_DOCUMENT_BYTES, canonical_bytes, parse_canonical
from attestations.digests import sha256
from attestations.documents.base import Document
from attestations.errors import (
    MalformedEnvelope,
    MissingRoleSignature,
    PayloadTypeMismatch,
    SignatureInvalid,
    SignerRoleMismatch,
)
from attestations.keys import EnrolledKey, Signer

MAX_SIGNATURES = 8
D = TypeVar("D", bound=Document)


class Signature(NamedTuple):
    """One signature; `keyid` is a hint that never selects a key."""

    keyid: str
    sig: bytes


@dataclass(frozen=True)
class Envelope:
    """Bytes, their type and the signatures over both. Nothing in it is true until it is opened."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the payload: the document's name everywhere."""
        return sha256(self.payload)

    def to_json(self) -> dict[str, Any]:
        """Return the envelope as plain JSON types."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": signature.keyid, "sig": base64.b64encode(signature.sig).decode()}
                for signature in self.signatures
            ],
        }

    def to_bytes(self) -> bytes:
        """Return the envelope's only form as bytes."""
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        return canonical_bytes(self.to_json())


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: what is really signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, *signers: Signer) -> Envelope:
    """Return `payload` signed by every signer, in the order given."""
    data = pae(payload_type, payload)
    return Envelope(payload_type, payload, tuple(Signature(signer.key.id, signer.sign(data)) for signer in signers))


def sign_document(document: Document, *signers: Signer) -> Envelope:
    """Return a document signed by every signer."""
    return sign(document.payload_type, document.to_bytes(), *signers)


def parse_envelope(data: bytes, *, limit: int = 2 * MAX_DOCUMENT_BYTES) -> Envelope:
    """Read an envelope without believing it.

    Raises:
        MalformedEnvelope, NonCanonicalDocument, DuplicateKey, SizeLimitExceeded: it is not one.
    """
    envelope = envelope_from_json(parse_canonical(data, limit=limit))
    vars(envelope)["_encoded"] = data  # they are its only form: nothing else was let through
    return envelope


def envelope_from_json(value: object) -> Envelope:
    """Read an envelope from plain JSON types that came from `parse_canonical`."""
    if not isinstance(value, dict) or value.keys() != {"payload", "payloadType", "signatures"}:
        raise MalformedEnvelope("an envelope holds exactly payload, payloadType and signatures")
    kind, signatures = value["payloadType"], value["signatures"]
    if not isinstance(kind, str) or not kind.isascii() or not 1 <= len(kind) <= 128:  # noqa: PLR2004
        raise MalformedEnvelope("an envelope's payloadType is 1 to 128 ASCII characters")
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise MalformedEnvelope("an envelope holds 1 to 8 signatures")
    return Envelope(kind, _decode(value["payload"]), tuple(_signature(item) for item in signatures))


def open_envelope(
    envelope: Envelope, *, payload_type: str, required: Sequence[EnrolledKey], known: Sequence[EnrolledKey] = ()
) -> bytes:
    """Return the payload once exactly the required keys have signed it.

    Args:
        envelope: what was received.
        payload_type: the kind of document its place requires.
        required: the keys that must each have signed once; no other signature may be there.
        known: keys of other uses, to tell a wrong role from a wrong signature.

    Raises:
        SignatureInvalid, SignerRoleMismatch, MissingRoleSignature, PayloadTypeMismatch.
    """
    data = pae(envelope.payload_type, envelope.payload)
    missing = list(required)
    for signature in envelope.signatures:
        for key in missing:
            if key.verify(signature.sig, data):
                if signature.keyid != key.id:
                    raise SignatureInvalid("a signature names another key than the one it is by", party=key.party)
                missing.remove(key)
                break
        else:
            _explain(signature, data, known, required, payload_type)
    if missing:
        raise MissingRoleSignature(
            f"{missing[0].party} has not signed with its {missing[0].use.value} key",
            party=missing[0].party,
            use=missing[0].use.value,
        )
    if envelope.payload_type != payload_type:
        raise PayloadTypeMismatch("an envelope holds another kind of document than its place requires")
    return envelope.payload


def open_document(
    envelope: Envelope, kind: type[D], *, required: Sequence[EnrolledKey], known: Sequence[EnrolledKey] = ()
) -> D:
    """Return the document in an envelope; its bytes are parsed only after the signatures hold."""
    return kind.parse(open_envelope(envelope, payload_type=kind.payload_type, required=required, known=known))


def _explain(
    signature: Signature, data: bytes, known: Sequence[EnrolledKey], required: Sequence[EnrolledKey], payload_type: str
) -> None:
    for key in known:
        if key.verify(signature.sig, data):
            missing = [wanted for wanted in required if wanted.party != key.party]
            if key in required and missing:
                raise MissingRoleSignature(f"{missing[0].party} has not signed", party=missing[0].party)
            raise SignerRoleMismatch(
                f"signed with the {key.use.value} key of {key.party}, which may not sign {payload_type}",
                party=key.party,
                use=key.use.value,
            )
    raise SignatureInvalid("a signature does not hold over its bytes")


def _signature(value: object) -> Signature:
    if not isinstance(value, dict) or value.keys() != {"keyid", "sig"}:
        raise MalformedEnvelope("a signature holds exactly keyid and sig")
    keyid = value["keyid"]
    if not isinstance(keyid, str) or len(keyid) > 64:  # noqa: PLR2004 - base64 of a SHA-256 is 44
        raise MalformedEnvelope("a keyid is at most 64 characters")
    return Signature(keyid, _decode(value["sig"]))


def _decode(text: object) -> bytes:
    if not isinstance(text, str):
        raise MalformedEnvelope("base64 text is missing")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedEnvelope("not standard base64") from None
    # Python accepts unused bits after the last character; they would be free to flip.
    if text[-2:].endswith("=") and base64.b64encode(data).decode() != text:
        raise MalformedEnvelope("not base64 in its one form")
    return data
