"""What the log says about escrow: which class keys are in it, and which holders have proved that they hold shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from attestations.documents.agreement import Agreement
from attestations.documents.engagement import PreRegistration
from attestations.documents.escrow import EscrowManifest, EscrowVerified
from attestations.envelope import Envelope, open_document
from attestations.errors import (
    AttributionFailed,
    CommitmentMismatch,
    DisclosureEarly,
    EvidenceMissing,
    KeyCommitmentMismatch,
    SafeconductError,
)
from attestations.escrow.dealing import check_manifest, escrowed_classes, holder_of, structure_of
from attestations.escrow.holding import LoggedManifest, check_held
from attestations.keys import KeyUse
from attestations.log_entries import LogEntry
from attestations.trust import Trust
from attestations.verify.parties import Parties


@dataclass
class EscrowLog:
    """The dealing in force for each class, the one that is to follow it, and who has verified which.

    A dealing follows another only once every holder it names has proved its shares: or an auditor that withholds
    would deal shares that open nothing and be rid of those that do.
    """

    manifests: dict[str, LoggedManifest] = field(default_factory=dict)
    dealt: dict[str, LoggedManifest] = field(default_factory=dict)  # the newest, in force or not yet
    holders: dict[str, set[str]] = field(default_factory=dict)  # digest of a manifest -> who proved every share

    def take(self, entry: LogEntry, parties: Parties, registration: PreRegistration | None, *, late: bool) -> None:
        """Take a leaf of kind `escrow` or `escrow_verified`; `late` tells whether something was released before.

        Raises:
            What `put` and `verified_by` raise, and AttributionFailed for a manifest of another agreement.
        """
        document = entry.documents[0]
        if entry.kind == "escrow_verified":
            self.verified_by(document, parties)
            return
        manifest = open_document(document, EscrowManifest, required=(parties.auditor_publication,), known=parties.known)
        if manifest.agreement != parties.digest:
            raise AttributionFailed("an EscrowManifest of another agreement")
        self.put(document.digest, manifest, parties.agreement, registration, late=late)

    def put(
        self,
        digest: str,
        manifest: EscrowManifest,
        agreement: Agreement,
        registration: PreRegistration | None,
        *,
        late: bool,
    ) -> None:
        """Take a logged manifest.

        Raises:
            KeyCommitmentMismatch: it is of another key than was registered for the class.
            CommitmentMismatch: it does not supersede the one in force.
            DisclosureEarly: something was released before it.
            MalformedEnvelope, EscrowQuorumUnmet: it is not of the agreed structure.
        """
        content_class = manifest.content_class
        registered = (
            {} if registration is None else {key.content_class: key.commitment for key in registration.class_keys}
        )
        if registered.get(content_class) != manifest.key_commitment:
            raise KeyCommitmentMismatch(
                f"another key than the registered one is in escrow for {content_class}", content_class=content_class
            )
        check_manifest(agreement, manifest)
        current = self.dealt.get(content_class)
        if manifest.supersedes != (None if current is None else current.digest):
            raise CommitmentMismatch(f"an escrow of {content_class} that does not follow the one in force")
        if late and current is None:
            raise DisclosureEarly("something was released before the class keys were in escrow")
        self.dealt[content_class] = LoggedManifest(digest, manifest)
        self.manifests.setdefault(content_class, self.dealt[content_class])

    def check_complete(self, agreement: Agreement) -> None:
        """Check, before a release, that every class key that must be in escrow is.

        Raises:
            DisclosureEarly: one is not.
        """
        for name in escrowed_classes(agreement):
            if name not in self.manifests:
                raise DisclosureEarly(f"something was released before the key of {name} was in escrow")

    def verified_by(self, envelope: Envelope, parties: Parties) -> None:
        """Take a holder's receipt; its proofs are checked against the dealings in force.

        Raises:
            SignatureInvalid, SignerRoleMismatch: it is not signed by the holder it names.
            AttributionFailed: it is about another agreement, or about shares that are not in force and not to be.
            EscrowShareInvalid: a proof does not hold.
        """
        receipt = open_verified(envelope, parties.agreement, parties.digest)
        current = {item.digest: item for item in (*self.manifests.values(), *self.dealt.values())}
        for held in receipt.classes:
            manifest = current.get(held.manifest)
            if manifest is None:
                raise AttributionFailed("a holder's receipt for shares that are not in force", holder=receipt.holder)
            check_held(held, manifest, holder=receipt.holder)
            self.holders.setdefault(held.manifest, set()).add(receipt.holder)
            newest = self.dealt[manifest.document.content_class]
            structure = structure_of(parties.agreement, newest.document.without)
            if self.holders.get(newest.digest, set()) >= set(structure.holders()):
                self.manifests[newest.document.content_class] = newest

    def missing(self, agreement: Agreement, trust: Trust) -> tuple[str, ...]:
        """Return which holders have not shown that they hold their shares, or are not trusted; empty if all have.

        Raises:
            EvidenceMissing: there is nothing in escrow, or a class is missing there.
        """
        classes = escrowed_classes(agreement)
        if not classes or any(name not in self.manifests for name in classes):
            raise EvidenceMissing("not every class key that is owed is in escrow")
        found: list[str] = []
        for digest, document in self.dealt.values():
            shown = self.holders.get(digest, set())
            holders = structure_of(agreement, document.without).holders()
            found += [name for name in holders if name not in shown or not _trusted(agreement, name, trust)]
        return tuple(dict.fromkeys(found))


def open_verified(envelope: Envelope, agreement: Agreement, digest: str) -> EscrowVerified:
    """Return a receipt that the holder it names has signed, under this agreement.

    Raises:
        SignatureInvalid, PayloadTypeMismatch, AttributionFailed, MalformedEnvelope.
    """
    # Read before it is verified only to learn whose key must have signed it; then opened under exactly that.
    claimed = EscrowVerified.parse(envelope.payload)
    key = holder_of(agreement, claimed.holder).key(KeyUse.AGREEMENT)
    receipt = open_document(envelope, EscrowVerified, required=(key,), known=agreement.signing_keys())
    if receipt.agreement != digest:
        raise AttributionFailed("a holder's receipt under another agreement", holder=receipt.holder)
    return receipt


def _trusted(agreement: Agreement, name: str, trust: Trust) -> bool:
    try:
        trust.confirm(holder_of(agreement, name))
    except SafeconductError:
        return False
    return True
