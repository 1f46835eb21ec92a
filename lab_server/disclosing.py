"""Sealed packages, the events a policy waits for, and releases: logged as they happen, early ones included."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from attestations.documents.base import format_time
from attestations.documents.engagement import (
    Acknowledgement,
    DeliveryReceipt,
    Package,
    PackageManifest,
    Release,
)
from attestations.envelope import Envelope, sign_document
from attestations.errors import (
    KeyCommitmentMismatch,
    PackageManifestMismatch,
    PhaseViolation,
    RecipientNotPermitted,
    SizeLimitExceeded,
)
from attestations.states import PHASES, Phase, PhaseEvent, advance
from lab_server.engagement import Engagement
from lab_server.keyring import LabKeys
from lab_server.ports import Store

MAX_PACKAGES_BYTES = 8 << 30  # of one delivery, so that an auditor cannot fill the lab's disk


class Disclosing:
    """Receives what the auditor discloses."""

    def __init__(self, *, keys: LabKeys, store: Store) -> None:
        self._keys = keys
        self._store = store

    async def deliver(
        self, engagement: Engagement, envelope: Envelope, manifest: PackageManifest, data: AsyncIterator[bytes]
    ) -> Envelope:
        """Keep every package's ciphertext, check it against the manifest, and sign for it.

        Raises:
            PackageManifestMismatch: a package is not the one described.
            PhaseViolation: grades are not committed yet.
            SizeLimitExceeded: more than the lab keeps.
        """
        async with engagement.change:
            if engagement.delivery is not None and engagement.manifest is not None:
                if engagement.manifest.digest != envelope.digest:
                    raise PackageManifestMismatch("other packages were delivered before")
                return engagement.delivery
            advance(PHASES, engagement.phase, PhaseEvent.DELIVER)
            if engagement.manifest is not None and engagement.manifest.digest != envelope.digest:
                raise PackageManifestMismatch("another manifest is logged")
            if sum(int(package.file_bytes) for package in manifest.packages) > MAX_PACKAGES_BYTES:
                raise SizeLimitExceeded("the packages are larger than this lab keeps")
            parts = _Parts(data)
            for package in manifest.packages:
                checked = _checked(package, parts.take(int(package.file_bytes)))
                await self._store.save_package(engagement.digest, f"{package.content_class}.sealed", checked)
            if await parts.more():
                raise PackageManifestMismatch("more bytes than the manifest describes")
            if engagement.manifest is None:
                engagement.receipts[envelope.digest] = await engagement.log.append_receipted("manifest", envelope)
                engagement.manifest = envelope
            receipt = DeliveryReceipt(
                agreement=engagement.digest,
                manifest=envelope.digest,
                delivered_at=format_time(engagement.log.time()),
            )
            delivery = sign_document(receipt, self._keys.record)
            await engagement.log.append_receipted("delivery", delivery)
            engagement.move(PhaseEvent.DELIVER)
            engagement.delivery = delivery
            return delivery

    async def state(self, engagement: Engagement, envelope: Envelope) -> Envelope:
        """Log an event that a party states and return the receipt."""
        async with engagement.change:
            if envelope.digest not in engagement.receipts:
                receipt = await engagement.log.append_receipted("event", envelope)
                engagement.receipts[envelope.digest] = receipt
            return engagement.receipts[envelope.digest]

    async def release(self, engagement: Engagement, envelope: Envelope, document: Release) -> Envelope:
        """Log a release and return the receipt; an early one is logged as well, for everyone to see.

        Raises:
            RecipientNotPermitted: no rule names the recipient.
            KeyCommitmentMismatch: it names another key than the manifest.
            PhaseViolation: the packages are not delivered.
        """
        async with engagement.change:
            if envelope.digest in engagement.receipts:
                return engagement.receipts[envelope.digest]
            if engagement.phase not in (Phase.PACKAGED, Phase.DISCLOSING) or engagement.manifest is None:
                raise PhaseViolation("the packages are not delivered", state=engagement.phase.value)
            if engagement.agreement.policy.rule(document.content_class, document.recipient) is None:
                raise RecipientNotPermitted(
                    "no rule lets this recipient have this class",
                    content_class=document.content_class,
                    recipient=document.recipient,
                )
            if document.content_class not in ("C0", "C1"):
                _check_key(PackageManifest.parse(engagement.manifest.payload), document)
            receipt = await engagement.log.append_receipted("release", envelope)
            engagement.move(PhaseEvent.RELEASE)
            engagement.receipts[envelope.digest] = receipt
            return receipt

    def acknowledge(self, engagement: Engagement, attestation: str) -> Envelope:
        """Sign that the transcript facts of an attestation are ours; says nothing about its conclusions."""
        document = Acknowledgement(
            agreement=engagement.digest,
            attestation=attestation,
            acknowledged_at=format_time(engagement.log.time()),
        )
        return sign_document(document, self._keys.agreement)


def _check_key(manifest: PackageManifest, release: Release) -> None:
    committed = {package.content_class: package.key_commitment for package in manifest.packages}
    if release.key_commitment != committed.get(release.content_class):
        raise KeyCommitmentMismatch("the release names another key than the manifest")


async def _checked(package: Package, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass a package's bytes on; fail at its end if they are not those described."""
    digest, size = hashlib.sha256(), 0
    async for block in data:
        digest.update(block)
        size += len(block)
        yield block
    if str(size) != package.file_bytes or digest.hexdigest() != package.file_digest:
        raise PackageManifestMismatch(
            "a package is not the one its manifest describes", content_class=package.content_class
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
