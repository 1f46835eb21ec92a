"""A Sigstore bundle v0.3 around the attestation, verifiable by stock verifiers with the auditor's public key.

It holds a public-key hint and a DSSE envelope and nothing else; without log entries and timestamps a stock
verifier must be told to require none (`docs/spec/attestation.md`).
"""

from __future__ import annotations

from attestations.canonical import MAX_DOCUMENT_BYTES, canonical_bytes, parse_canonical
from attestations.envelope import Envelope, envelope_from_json
from attestations.errors import MalformedEnvelope, SignatureInvalid
from attestations.keys import EnrolledKey

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def build_bundle(envelope: Envelope, key: EnrolledKey) -> bytes:
    """Return the bundle of an envelope signed once, by `key`."""
    return canonical_bytes(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key.id}, "tlogEntries": []},
            "dsseEnvelope": envelope.to_json(),
        }
    )


def parse_bundle(data: bytes) -> Envelope:
    """Return the envelope of a bundle of exactly our form.

    Raises:
        MalformedEnvelope, NonCanonicalDocument, DuplicateKey, SizeLimitExceeded: it is not one.
        SignatureInvalid: the hint names another key than the signature does.
    """
    value = parse_canonical(data, limit=2 * MAX_DOCUMENT_BYTES)
    if not isinstance(value, dict) or value.keys() != {"mediaType", "verificationMaterial", "dsseEnvelope"}:
        raise MalformedEnvelope("a bundle holds exactly mediaType, verificationMaterial and dsseEnvelope")
    if value["mediaType"] != MEDIA_TYPE:
        raise MalformedEnvelope("a bundle of another media type")
    envelope = envelope_from_json(value["dsseEnvelope"])
    hint = envelope.signatures[0].keyid
    if len(envelope.signatures) != 1:
        raise MalformedEnvelope("a bundle's envelope has exactly one signature")
    if value["verificationMaterial"] != {"publicKey": {"hint": hint}, "tlogEntries": []}:
        raise SignatureInvalid("a bundle's key hint is not the key of its signature")
    return envelope
