"""Sealed packages, the events a policy waits for, and releases: logged as they happen, early ones included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from attestations.digests import sha256
from attestations.documents.base import format_time
from attestations.documents.disclosing import Abort, EmergencyNotice
from attestations.documents.engagement import (
    Acknowledgement,
    DeliveryReceipt,
    Package,
    PackageManifest,
    PreRegistration,
    Release,
)
from attestations.envelope import Envelope, sign_document
from attestations.errors import (
    CommitmentMismatch,
    KeyCommitmentMismatch,
    PackageManifestMismatch,
    PhaseViolation,
    RecipientNotPermitted,
    SizeLimitExceeded,
)
from attestations.labels import check_label
from attestations.packages import check_package
from attestations.statements import Stated
from attestations.states import PHASES, Phase, PhaseEvent, advance
from lab_server.engagement import Engagement
from lab_server.escrowing import check_escrowed
from lab_server.keyring import LabKeys
from lab_server.ports import Store
from lab_server.steps import Steps, carried_through

MAX_NOTICE_BYTES = 1 << 20
MAX_PACKAGES_BYTES = 8 << 30  # of one delivery, so that an auditor cannot fill the lab's disk


class Disclosing:
    """Receives what the auditor discloses."""

    def __init__(self, *, keys: LabKeys, store: Store, steps: Steps) -> None:
        self._keys = keys
        self._store = store
        self._steps = steps

    async def deliver(
        self, engagement: Engagement, envelope: Envelope, manifest: PackageManifest, data: AsyncIterator[bytes]
    ) -> Envelope:
        """Keep every package's ciphertext, check it against the manifest, and sign for it.

        Raises:
            PackageManifestMismatch: a package is not the one described.
            KeyCommitmentMismatch: the manifest names another key than the registration.
            PhaseViolation: grades are not committed yet, or a class key is not in escrow that must be.
            SizeLimitExceeded: more than the lab keeps.
        """
        async with engagement.delivering:
            delivered = _delivered(engagement, envelope)
            if delivered is not None:
                return delivered
            advance(PHASES, engagement.phase, PhaseEvent.DELIVER)
            check_escrowed(engagement)
            _check_manifest(engagement, manifest)
            parts = _Parts(data)
            for package in manifest.packages:
                name = f"{package.content_class}.sealed"
                await self._store.save_package(engagement.digest, name, parts.take(int(package.file_bytes)))
                await asyncio.to_thread(check_stored, package, self._store.package(engagement.digest, name))
            if await parts.more():
                raise PackageManifestMismatch("more bytes than the manifest describes")
            return await self._sign_for(engagement, envelope)

    @carried_through
    async def _sign_for(self, engagement: Engagement, envelope: Envelope) -> Envelope:
        async with engagement.change:
            if engagement.manifest is None:
                engagement.logged("manifest", envelope, await engagement.log.append_receipted("manifest", envelope))
                engagement.manifest = envelope
            receipt = DeliveryReceipt(
                agreement=engagement.digest,
                manifest=envelope.digest,
                delivered_at=format_time(engagement.log.time()),
            )
            delivery = sign_document(receipt, self._keys.record)
            engagement.logged("delivery", delivery, await engagement.log.append_receipted("delivery", delivery))
            engagement.move(PhaseEvent.DELIVER)
            engagement.delivery = delivery
            return delivery

    @carried_through
    async def state(self, engagement: Engagement, envelope: Envelope, stated: Stated) -> Envelope:
        """Log what a party states and return the receipt; what would count for nothing is not logged.

        Raises:
            HoldTooLate, HoldLimitExceeded, OrderInvalid, OrderOutOfScope, EmergencyQuorumUnmet, EmergencyScopeExceeded,
            RedactionNotAllowed, IrrevocableRelease, RecipientNotPermitted, AttributionFailed.
            PhaseViolation: exchanges are running, or everything is delivered, and the auditor wants to give up.
        """
        async with engagement.change:
            if envelope.digest in engagement.receipts:
                return engagement.receipts[envelope.digest]
            engagement.ledger.check(stated, engagement.now())
            abort = isinstance(stated.document, Abort)
            if abort:
                advance(PHASES, engagement.phase, PhaseEvent.ABORT)
                if engagement.open_exchanges:
                    raise PhaseViolation("exchanges are still running", state=engagement.phase.value)
                await engagement.log.settled()
            receipt = await engagement.log.append_receipted(stated.kind, envelope)
            engagement.logged(stated.kind, envelope, receipt)
            if abort:
                engagement.move(PhaseEvent.ABORT)
            return receipt

    async def notify(self, engagement: Engagement, envelope: Envelope, stated: Stated, content: bytes) -> Envelope:
        """Keep what an emergency notice shows us, then log the notice and return the receipt.

        Raises:
            CommitmentMismatch: the content is not the one the notice names.
            SizeLimitExceeded: it is larger than an emergency needs.
            EmergencyQuorumUnmet, EmergencyScopeExceeded.
        """
        notice = stated.document
        if len(content) > MAX_NOTICE_BYTES:
            raise SizeLimitExceeded("what comes with an emergency notice is at most 1 MiB")
        if not isinstance(notice, EmergencyNotice) or notice.content != sha256(content):
            raise CommitmentMismatch("the content is not the one the notice names")

        engagement.ledger.check(stated, engagement.now())

        async def once() -> AsyncIterator[bytes]:
            yield content

        await self._store.save_package(engagement.digest, notice_name(envelope), once())
        return await self.state(engagement, envelope, stated)

    @carried_through
    async def release(self, engagement: Engagement, envelope: Envelope, document: Release) -> Envelope:
        """Log a release and return the receipt; an early one is logged as well, for everyone to see.

        Raises:
            RecipientNotPermitted: no rule names the recipient.
            KeyCommitmentMismatch: it names another key than the manifest.
            TlpDowngrade: its label is looser than the class allows.
            PhaseViolation: the packages are not delivered.
        """
        async with engagement.change:
            if envelope.digest in engagement.receipts:
                return engagement.receipts[envelope.digest]
            _check_phase(engagement, document)
            if engagement.agreement.policy.rule(document.content_class, document.recipient) is None:
                raise RecipientNotPermitted(
                    "no rule lets this recipient have this class",
                    content_class=document.content_class,
                    recipient=document.recipient,
                )
            if engagement.manifest is not None:
                _check_release(engagement.manifest, document)
            public = document.recipient == "PUBLIC" or engagement.ledger.is_public(document.content_class)
            check_label(document.tlp, document.content_class, public=public)
            receipt = await engagement.log.append_receipted("release", envelope)
            engagement.move(PhaseEvent.RELEASE)
            engagement.logged("release", envelope, receipt)
            return receipt

    def acknowledge(self, engagement: Engagement, attestation: str) -> Envelope:
        """Sign that the transcript facts of an attestation are ours; says nothing about its conclusions."""
        document = Acknowledgement(
            agreement=engagement.digest,
            attestation=attestation,
            acknowledged_at=format_time(engagement.log.time()),
        )
        return sign_document(document, self._keys.agreement)


def notice_name(envelope: Envelope) -> str:
    """Return the name under which what came with an emergency notice is kept."""
    return f"notice-{envelope.digest[:32]}.jsonl"


def _check_phase(engagement: Engagement, document: Release) -> None:
    if engagement.phase is Phase.ABORT_CLOSED and document.content_class in ("C0", "C1"):
        return
    if engagement.phase not in (Phase.PACKAGED, Phase.DISCLOSING) or engagement.manifest is None:
        raise PhaseViolation("the packages are not delivered", state=engagement.phase.value)


def _delivered(engagement: Engagement, envelope: Envelope) -> Envelope | None:
    if engagement.manifest is not None and engagement.manifest.digest != envelope.digest:
        raise PackageManifestMismatch("other packages were delivered before")
    return engagement.delivery


def _check_manifest(engagement: Engagement, manifest: PackageManifest) -> None:
    if sum(int(package.file_bytes) for package in manifest.packages) > MAX_PACKAGES_BYTES:
        raise SizeLimitExceeded("the packages are larger than this lab keeps")
    classes = [package.content_class for package in manifest.packages]
    if len(set(classes)) != len(classes):
        raise PackageManifestMismatch("two packages of one class")
    assert engagement.registration is not None  # noqa: S101 - the phase
    registered = PreRegistration.parse(engagement.registration.payload)
    keys = {key.content_class: key.commitment for key in registered.class_keys}
    for package in manifest.packages:
        if keys.get(package.content_class) != package.key_commitment:
            raise KeyCommitmentMismatch(
                "the manifest names another key than the registration", content_class=package.content_class
            )


def _check_release(manifest: Envelope, release: Release) -> None:
    if release.content_class in ("C0", "C1"):
        return
    if release.manifest not in (None, manifest.digest):
        raise PackageManifestMismatch("the release names another manifest than the one delivered")
    packages = PackageManifest.parse(manifest.payload).packages
    committed = {package.content_class: package.key_commitment for package in packages}
    if release.key_commitment is None or release.key_commitment != committed.get(release.content_class):
        raise KeyCommitmentMismatch("the release names another key than the manifest")


def check_stored(package: Package, blocks: Iterator[bytes]) -> None:
    """Compare a kept package with its manifest, chunk by chunk; keys are not needed for that.

    Raises:
        PackageManifestMismatch, MalformedEnvelope, SizeLimitExceeded: it is not the one described.
        EvidenceMissing: it is not there.
    """
    check_package(
        blocks,
        chunks=package.chunks,
        ciphertext_root=package.ciphertext_root,
        key_root=package.key_root,
        key_commitment=package.key_commitment,
        file_bytes=int(package.file_bytes),
        file_digest=package.file_digest,
    )


class _Parts:
    """The bytes of a delivery, cut where one package ends and the next begins."""

    def __init__(self, data: AsyncIterator[bytes]) -> None:
        self._data = data
        self._rest = b""

    async def take(self, size: int) -> AsyncIterator[bytes]:
        while size:
            if not self._rest:
                self._rest = await anext(self._data, b"")
                if not self._rest:
                    return
            block, self._rest = self._rest[:size], self._rest[size:]
            size -= len(block)
            yield block

    async def more(self) -> bool:
        return bool(self._rest) or await anext(self._data, None) is not None
