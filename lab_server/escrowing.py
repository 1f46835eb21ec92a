"""Class keys in escrow: logged before the packages are signed for, so that delivered means recoverable."""

from __future__ import annotations

from attestations.documents.engagement import PreRegistration
from attestations.documents.escrow import EscrowManifest
from attestations.envelope import Envelope
from attestations.errors import AttributionFailed, CommitmentMismatch, KeyCommitmentMismatch, PhaseViolation
from attestations.escrow.dealing import check_manifest, escrowed_classes
from attestations.escrow.holding import LoggedManifest, check_held
from attestations.states import Phase
from attestations.verify.escrow_log import open_verified
from lab_server.engagement import Engagement
from lab_server.steps import Steps, carried_through

_PHASES = (Phase.GRADED, Phase.PACKAGED, Phase.DISCLOSING)


class Escrowing:
    """Logs what the auditor puts in escrow, and what holders say about it."""

    def __init__(self, *, steps: Steps) -> None:
        self._steps = steps

    @carried_through
    async def put(self, engagement: Engagement, envelope: Envelope, manifest: EscrowManifest) -> Envelope:
        """Log the dealing of one class key and return the receipt; the same bytes get the same receipt.

        Raises:
            PhaseViolation: grades are not committed yet, or packages were delivered without this class in escrow.
            KeyCommitmentMismatch: it is of another key than was registered.
            CommitmentMismatch: it does not follow the dealing in force.
            MalformedEnvelope, EscrowQuorumUnmet: it is not of the agreed structure.
        """
        async with engagement.change:
            if envelope.digest in engagement.receipts:
                return engagement.receipts[envelope.digest]
            if engagement.phase not in _PHASES:
                raise PhaseViolation("keys are put in escrow once grades are committed", state=engagement.phase.value)
            self._check(engagement, manifest)
            receipt = await engagement.log.append_receipted("escrow", envelope)
            engagement.receipts[envelope.digest] = receipt
            engagement.escrow[manifest.content_class] = envelope
            return receipt

    @carried_through
    async def verified(self, engagement: Engagement, envelope: Envelope) -> Envelope:
        """Log a holder's receipt and return ours.

        Raises:
            AttributionFailed: it is for shares that are not in force.
            EscrowShareInvalid: a proof in it does not hold.
            SignatureInvalid, SignerRoleMismatch: the holder has not signed it.
        """
        async with engagement.change:
            if envelope.digest in engagement.receipts:
                return engagement.receipts[envelope.digest]
            check_verified(engagement, envelope)
            receipt = await engagement.log.append_receipted("escrow_verified", envelope)
            engagement.receipts[envelope.digest] = receipt
            return receipt

    def _check(self, engagement: Engagement, manifest: EscrowManifest) -> None:
        content_class = manifest.content_class
        check_manifest(engagement.agreement, manifest)
        assert engagement.registration is not None  # noqa: S101 - the phase
        registered = PreRegistration.parse(engagement.registration.payload)
        keys = {key.content_class: key.commitment for key in registered.class_keys}
        if keys.get(content_class) != manifest.key_commitment:
            raise KeyCommitmentMismatch(
                "another key than the registered one would be in escrow", content_class=content_class
            )
        current = engagement.escrow.get(content_class)
        if manifest.supersedes != (None if current is None else current.digest):
            raise CommitmentMismatch(
                "the class is in escrow already, and this does not supersede it", content_class=content_class
            )


def check_verified(engagement: Engagement, envelope: Envelope) -> None:
    """Refuse a holder's receipt that does not hold; changes nothing.

    Raises:
        AttributionFailed: it is for shares that are not in force.
        EscrowShareInvalid: a proof in it does not hold.
        SignatureInvalid, SignerRoleMismatch: the holder has not signed it.
    """
    document = open_verified(envelope, engagement.agreement, engagement.digest)
    current = {kept.digest: kept for kept in engagement.escrow.values()}
    for held in document.classes:
        kept = current.get(held.manifest)
        if kept is None:
            raise AttributionFailed("a receipt for shares that are not in force", holder=document.holder)
        manifest = LoggedManifest(kept.digest, EscrowManifest.parse(kept.payload))
        check_held(held, manifest, holder=document.holder)


def check_escrowed(engagement: Engagement) -> None:
    """Refuse to go on while a class key that is owed is not in escrow.

    Raises:
        PhaseViolation: one is not.
    """
    missing = set(escrowed_classes(engagement.agreement)) - set(engagement.escrow)
    if missing:
        raise PhaseViolation(
            f"the key of {min(missing)} must be in escrow before the packages are delivered",
            state=engagement.phase.value,
        )
