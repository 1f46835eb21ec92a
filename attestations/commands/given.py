"""What readers' commands read: a policy, terms, an agreement or an offer, told apart by what the file holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from attestations.documents.agreement import Agreement, Clauses, Terms
from attestations.documents.negotiation import Offer
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import ConfigurationInvalid, FileUnusable, MalformedEnvelope
from attestations.files import read_file, shown
from attestations.policy.model import Policy
from attestations.templates.terms_file import read_terms

MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Given:
    """A policy, and the agreement, offer or signed terms it stands in, where it does."""

    policy: Policy
    clauses: Clauses | None = None
    agreement: Agreement | None = None
    envelope: Envelope | None = None
    offer: Offer | None = None
    terms: Terms | None = None


def read_given(path: Path) -> Given:
    """Read a policy, a file of terms, or a signed agreement, offer or terms; signatures are not checked here.

    Raises:
        FileUnusable, ConfigurationInvalid, MalformedEnvelope: it is none of these.
    """
    data = read(path)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ConfigurationInvalid(f"{path} is not JSON", field="file") from None
    if not isinstance(value, dict) or "payloadType" not in value:
        terms = read_terms(data, str(path))
        return Given(terms.policy, terms.clauses)
    envelope = parse_envelope(data.strip())
    if envelope.payload_type == Offer.payload_type:
        offer = Offer.parse(envelope.payload)
        return Given(offer.body.policy, offer.body.clauses, offer.body, envelope, offer)
    if envelope.payload_type == Terms.payload_type:
        offered = Terms.parse(envelope.payload)
        return Given(offered.policy, offered.clauses, terms=offered)
    if envelope.payload_type != Agreement.payload_type:
        raise MalformedEnvelope(f"{path} is signed, but neither an agreement nor an offer nor terms")
    agreement = Agreement.parse(envelope.payload)
    return Given(agreement.policy, agreement.clauses, agreement, envelope)


def read(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        FileUnusable: it cannot be read, or is larger than any document.
    """
    data = read_file(path, MAX_BYTES)
    if len(data) > MAX_BYTES:
        raise FileUnusable(f"{shown(path)} is larger than any document", path=shown(path))
    return data
