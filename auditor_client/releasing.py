"""Releases a stage to one recipient: only what the policy permits now, logged before it is handed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from attestations.commitments import ContentClass, SuiteKey
from attestations.documents.base import format_time
from attestations.documents.engagement import LogReceipt, PackageManifest, Release, Stage
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import DisclosureForbidden, LogEquivocation, PhaseViolation
from attestations.policy.evaluate import Bounds, State, permitted
from attestations.policy.model import STAGE_CLASSES
from auditor_client.cosigning import Cosigner
from auditor_client.engagement import Engagement, signed
from auditor_client.history import History, read_history
from auditor_client.leaf_checks import sent_name
from auditor_client.mirror import Mirror
from auditor_client.ports import Clock, Journal, Lab

STAGES: tuple[Stage, ...] = ("S1", "S2", "S3", "S4", "S5")


@dataclass(frozen=True)
class Releaser:
    """Makes releases under one agreement."""

    engagement: Engagement
    lab: Lab
    journal: Journal
    mirror: Mirror
    cosigner: Cosigner
    clock: Clock

    def history(self) -> History:
        """Return what the log says so far."""
        return read_history(self.mirror, skew_seconds=self.engagement.agreement.timing.skew_seconds)

    async def release(self, stage: Stage, recipient: str) -> tuple[str, ...]:
        """Release every class of `stage` to `recipient` and cosign the log with the releases in it.

        Returns:
            Every class the recipient may now be shown.

        Raises:
            DisclosureForbidden: the policy does not permit it now, or an earlier stage is not released yet.
            PhaseViolation: the packages are not delivered yet.
        """
        await self.cosigner.cosign()
        history = self.history()
        if not history.delivered:
            raise PhaseViolation("packages must be delivered before anything is released")
        for earlier in STAGES[: STAGES.index(stage)]:
            for content_class in STAGE_CLASSES[earlier]:
                if not _shown(history, content_class, recipient):
                    raise DisclosureForbidden(f"{earlier} has not been released to {recipient}", stage=earlier)
        wanted = [name for name in STAGE_CLASSES[stage] if not _shown(history, name, recipient)]
        for content_class in wanted:
            self.check(history, content_class, recipient)
        for content_class in wanted:
            await self._release(stage, content_class, recipient)
        await self.cosigner.cosign()
        return classes_up_to(stage)

    def check(self, history: History, content_class: str, recipient: str) -> None:
        """Refuse what the policy does not surely permit now."""
        now = self.clock.now()
        skew = timedelta(seconds=self.engagement.agreement.timing.skew_seconds)
        state = permitted(
            self.engagement.agreement.policy,
            history.events,
            Bounds(now - skew, now + skew),
            content_class=content_class,
            recipient=recipient,
        )
        if state is not State.PERMITTED:
            why = "not yet permitted" if state is State.INDETERMINATE else "not permitted"
            raise DisclosureForbidden(
                f"the policy says: {content_class} to {recipient} is {why} now",
                content_class=content_class,
                recipient=recipient,
                state=state.value,
            )

    async def _release(self, stage: Stage, content_class: str, recipient: str) -> None:
        name = f"release/{content_class}/{recipient}"
        kept = self.journal.recall(name)
        if kept is None:
            envelope = signed(self._document(stage, content_class, recipient), self.engagement.keys.publication)
            await self.journal.remember(sent_name(envelope), envelope.to_bytes())
            await self.journal.remember(name, envelope.to_bytes())
        else:
            envelope = parse_envelope(kept)
        receipt = self.engagement.opened(await self.lab.release(envelope), LogReceipt)
        if (receipt.kind, receipt.document) != ("release", envelope.digest):
            raise LogEquivocation("the lab's receipt is for another document", kind=receipt.kind)

    def _document(self, stage: Stage, content_class: str, recipient: str) -> Release:
        manifest: Envelope | None = None
        commitment = None
        if content_class != "C1":
            kept = self.journal.recall("manifest")
            if kept is None:
                raise PhaseViolation("nothing is sealed yet")
            manifest = parse_envelope(kept)
            packages = PackageManifest.parse(manifest.payload).packages
            commitment = next((p.key_commitment for p in packages if p.content_class == content_class), None)
        return Release(
            agreement=self.engagement.digest,
            stage=stage,
            content_class=content_class,  # type: ignore[arg-type]
            recipient=recipient,
            manifest=None if manifest is None else manifest.digest,
            key_commitment=commitment,
            after=self.cosigner.last(),
            released_at=format_time(self.clock.now()),
        )


def classes_up_to(stage: Stage) -> tuple[str, ...]:
    """Return every class of the stages from S1 to `stage`, in order."""
    return tuple(name for earlier in STAGES[: STAGES.index(stage) + 1] for name in STAGE_CLASSES[earlier])


def released_keys(key: SuiteKey, classes: Sequence[str], manifest: PackageManifest) -> dict[str, str]:
    """Return {class: key as hex} of the sealed classes among `classes`."""
    sealed: set[ContentClass] = {  # C9 is never in an evidence file
        package.content_class  # type: ignore[misc]
        for package in manifest.packages
        if package.content_class in classes and package.content_class != "C9"
    }
    return {name: key.class_key(name).secret.hex() for name in sorted(sealed)}


def _shown(history: History, content_class: str, recipient: str) -> bool:
    return (content_class, recipient) in history.releases or (content_class, "PUBLIC") in history.releases
