"""The file an auditor hands to each holder: the signed agreement and the manifests its shares stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.documents.base import Name, Part, validated
from attestations.documents.escrow import EscrowManifest
from attestations.envelope import Envelope, envelope_from_json, open_document
from attestations.errors import AttributionFailed, MalformedEnvelope
from attestations.escrow.dealing import check_manifest, holder_of
from attestations.escrow.holding import LoggedManifest
from attestations.verify.parties import Parties

MAX_FILE_BYTES = 4 << 20
_VERSION = "safeconduct-escrow-shares/v1"
_MAX_MANIFESTS = 8


class _Head(Part):
    v: str
    holder: Name


@dataclass(frozen=True)
class ShareFile:
    """The file's parts; none is true until it is opened under a trusted agreement."""

    holder: str
    agreement: Envelope
    manifests: tuple[Envelope, ...]

    def to_bytes(self) -> bytes:
        """Return the file's bytes."""
        return canonical_bytes(
            {
                "v": _VERSION,
                "agreement": self.agreement.to_json(),
                "holder": self.holder,
                "manifests": [envelope.to_json() for envelope in self.manifests],
            }
        )


def parse_share_file(data: bytes) -> ShareFile:
    """Read the file.

    Raises:
        MalformedEnvelope, NonCanonicalDocument, DuplicateKey, SizeLimitExceeded: it is not one.
    """
    value = parse_canonical(data, limit=MAX_FILE_BYTES)
    if not isinstance(value, dict) or value.keys() != {"v", "agreement", "holder", "manifests"}:
        raise MalformedEnvelope("not a file of escrow shares: it does not hold exactly its fields")
    head = validated(_Head, {"v": value["v"], "holder": value["holder"]})
    manifests = value["manifests"]
    if head.v != _VERSION or not isinstance(manifests, list) or not 1 <= len(manifests) <= _MAX_MANIFESTS:
        raise MalformedEnvelope("not a file of escrow shares: it is of another kind")
    return ShareFile(
        head.holder, envelope_from_json(value["agreement"]), tuple(envelope_from_json(item) for item in manifests)
    )


def open_manifests(envelopes: Sequence[Envelope], parties: Parties, *, holder: str) -> tuple[LoggedManifest, ...]:
    """Return the manifests once the auditor's signature and their public parts are checked.

    Raises:
        SignatureInvalid, SignerRoleMismatch: the auditor of the agreement has not signed them.
        AttributionFailed: one is of another agreement.
        MalformedEnvelope: one is not of the agreed structure, or two are of one class.
    """
    holder_of(parties.agreement, holder)
    found = []
    for envelope in envelopes:
        document = open_document(envelope, EscrowManifest, required=(parties.auditor_publication,), known=parties.known)
        if document.agreement != parties.digest:
            raise AttributionFailed("an EscrowManifest of another agreement")
        check_manifest(parties.agreement, document)
        found.append(LoggedManifest(envelope.digest, document))
    if len({manifest.document.content_class for manifest in found}) != len(found):
        raise MalformedEnvelope("two manifests of one class")
    return tuple(found)
