"""One agreement in force, as the auditor's side uses it: signed bytes, keys to check against, our own signers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from attestations.documents.agreement import Agreement, Variant
from attestations.documents.base import Document
from attestations.envelope import Envelope, open_document, sign
from attestations.errors import AgreementDigestMismatch
from attestations.keys import EnrolledKey, KeyUse, Signer
from attestations.training import TrainingLedger

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class AuditorKeys:
    """The auditor's signers, one for each use."""

    agreement: Signer
    exchange: Signer
    cosign: Signer
    publication: Signer


@dataclass(frozen=True)
class Engagement:
    """An agreement both sides have signed."""

    agreement: Agreement
    envelope: Envelope
    keys: AuditorKeys
    training: TrainingLedger = field(default_factory=TrainingLedger)

    @cached_property
    def digest(self) -> str:
        """The agreement's digest, the name of the engagement everywhere."""
        return self.envelope.digest

    @cached_property
    def first(self) -> Agreement:
        """The agreement as first concluded; what happened before an amendment is judged by it."""
        return Agreement.parse(self.envelope.payload)

    @cached_property
    def known(self) -> Sequence[EnrolledKey]:
        """Every signing key of both sides."""
        return self.agreement.signing_keys()

    @cached_property
    def lab_record(self) -> EnrolledKey:
        """The key the lab signs promises and records with."""
        return self.agreement.lab_key(KeyUse.RECORD)

    @cached_property
    def lab_log(self) -> EnrolledKey:
        """The key the lab signs checkpoints with."""
        return self.agreement.lab_key(KeyUse.LOG)

    def variant(self, name: str) -> Variant | None:
        """Return the variant of this name: one that was agreed, or one that a fine-tune job has made."""
        return self.training.variant(self.agreement, name)

    def variant_digest(self, variant: Variant) -> str:
        """Return a variant's digest, computed once."""
        if variant.id not in self._digests:
            self._digests[variant.id] = variant.digest()
        return self._digests[variant.id]

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {}

    @property
    def cosigner(self) -> str:
        """The name our cosignatures stand under."""
        return f"{self.agreement.party('auditor').id}/cosign"

    def opened(self, envelope: Envelope, kind: type[D], *required: EnrolledKey) -> D:
        """Return what the lab's record key (or the keys in `required`) signed."""
        return open_document(envelope, kind, required=required or (self.lab_record,), known=self.known)

    def belongs(self, agreement: str) -> None:
        """Refuse a document of another agreement."""
        if agreement != self.digest:
            raise AgreementDigestMismatch("a document of another agreement", agreement=self.digest)


def signed(document: Document, *signers: Signer) -> Envelope:
    """Return the document's bytes under our signatures."""
    return sign(document.payload_type, document.to_bytes(), *signers)
