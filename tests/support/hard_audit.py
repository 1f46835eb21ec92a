"""A real lab under a policy that waits for orders and emergencies, one auditor, and a regulator's key at hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attestations.documents.base import Document, format_time
from attestations.documents.engagement import LogReceipt, Package, PackageManifest, Release
from attestations.envelope import Envelope, sign_document
from attestations.errors import SafeconductError
from attestations.keys import KeyUse, Signer
from attestations.packages import seal_package
from attestations.policy.model import Policy
from safeconduct.v1 import disclosure_service_pb2 as disclosure
from tests.support.auditor_identity import SUITE, new_keys, write_identity
from tests.support.lab_process import LabProcess, new_lab
from tests.support.small_auditor import SmallAuditor, outcome, unwired, wire
from tests.support.world_hard import office, others, policy

_BLOCK = 512 * 1024


@dataclass
class HardAudit:
    """Both sides and the regulator."""

    lab: LabProcess
    auditor: SmallAuditor
    manifest: Envelope | None = None

    def signer(self, use: KeyUse = KeyUse.AGREEMENT) -> Signer:
        """Return the auditor's signer."""
        return self.auditor.keys.signers[use]

    def statement(self, make: Callable[[str, str], Document], *signers: Signer) -> Envelope:
        """Sign a statement about the agreement."""
        return sign_document(make(self.auditor.digest, now()), *signers)

    async def state(self, envelope: Envelope) -> LogReceipt:
        """Have a statement logged."""
        answer = await self.auditor.disclosure.State(disclosure.StateRequest(event=wire(envelope)))
        return LogReceipt.parse(unwired(answer.receipt).payload)

    async def refused(self, envelope: Envelope) -> SafeconductError:
        """Return why a statement is refused."""
        error = await outcome(self.auditor.disclosure.State(disclosure.StateRequest(event=wire(envelope))))
        assert error is not None
        return error

    async def close(self) -> None:
        """Ask once, close the run and commit the grades."""
        await self.auditor.ask(await self.auditor.open_session("lane-1"))
        await self.auditor.cosign()
        await self.auditor.confirm_close(await self.auditor.close_statement())
        await self.auditor.commit_grades()
        await self.auditor.cosign()

    async def deliver(self) -> None:
        """Close the run and deliver sealed packages of two classes."""
        await self.close()
        packages, files = [], []
        for content_class in ("C2", "C5", "C7"):
            key = SUITE.class_key(content_class)
            sealed = seal_package(key, [b"one", b"two"])
            data = b"".join(sealed.file_blocks())
            files.append(data)
            packages.append(
                Package(
                    content_class=content_class,
                    chunks=sealed.n,
                    ciphertext_root=sealed.ciphertext_root,
                    key_root=sealed.key_root,
                    key_commitment=key.commitment(),
                    file_bytes=str(len(data)),
                    file_digest=hashlib.sha256(data).hexdigest(),
                )
            )
        manifest = PackageManifest(agreement=self.auditor.digest, packages=tuple(packages), sealed_at=now())
        self.manifest = self.auditor.signed(manifest, KeyUse.PUBLICATION)

        async def parts() -> AsyncIterator[disclosure.DeliverRequest]:
            yield disclosure.DeliverRequest(manifest=wire(self.manifest or Envelope("", b"", ())))
            for data in files:
                for start in range(0, len(data), _BLOCK):
                    yield disclosure.DeliverRequest(chunk=data[start : start + _BLOCK])

        await self.auditor.disclosure.Deliver(parts())
        await self.auditor.cosign()

    def release(self, content_class: str, recipient: str, stage: str = "S4", **changes: Any) -> Envelope:
        """Sign a release."""
        assert self.manifest is not None
        values: dict[str, Any] = {
            "agreement": self.auditor.digest,
            "stage": stage,
            "content_class": content_class,
            "recipient": recipient,
            "manifest": self.manifest.digest,
            "key_commitment": SUITE.class_key(content_class).commitment() if content_class != "C1" else None,
            "after": self.auditor.checkpoint,
            "released_at": now(),
        }
        return self.auditor.signed(Release(**(values | changes)), KeyUse.PUBLICATION)

    async def released(self, envelope: Envelope) -> SafeconductError | None:
        """Have a release logged; return why not, if not."""
        return await outcome(self.auditor.disclosure.Release(disclosure.ReleaseRequest(release=wire(envelope))))


def now() -> str:
    """Return the present as documents write it."""
    return format_time(datetime.now(UTC).replace(microsecond=0))


@asynccontextmanager
async def hard_audit(folder: Path, agreed: Policy | None = None) -> AsyncIterator[HardAudit]:
    """Start the lab, agree to a policy and register; afterwards the lab stops cleanly and its store holds."""
    keys = new_keys()
    lab = new_lab(folder / "lab", auditors=[write_identity(keys, folder)], grant='policy = "policy.json"\n')
    (lab.path / "policy.json").write_text(json.dumps((agreed or policy()).json_value()))
    await lab.start()
    auditor = SmallAuditor(keys, lab.home.identity)
    try:
        await auditor.connect(lab.address)
        terms = await auditor.terms()
        await auditor.negotiate(parties=(terms.lab, keys.identity.party(), *others()))
        await auditor.register()
        yield HardAudit(lab, auditor)
    finally:
        await auditor.disconnect()
        code = await lab.stop()
    assert code == 0
    checked = await lab.command("fsck")
    assert checked[::2] == (0, ""), checked


__all__ = ["HardAudit", "hard_audit", "now", "office"]
