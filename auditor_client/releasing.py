"""Releases classes to one recipient: only what the policy permits now, logged before it is handed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attestations.checkpoint import open_checkpoint
from attestations.commitments import ContentClass, SuiteKey
from attestations.documents.base import format_time
from attestations.documents.engagement import LogReceipt, PackageManifest, Release, ReleasedView, Stage, Tlp
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import DisclosureForbidden, HazardFieldExposed, LogEquivocation, PhaseViolation
from attestations.labels import ceiling, check_label, strictest
from attestations.notes import parse_note
from attestations.policy.evaluate import Bounds, State
from attestations.policy.model import STAGE_CLASSES
from attestations.policy.simplify import simplify
from attestations.policy.words import formula_words
from attestations.release_time import made_at
from auditor_client.cosigning import Cosigner
from auditor_client.engagement import Engagement, signed
from auditor_client.history import History, read_history
from auditor_client.leaf_checks import sent_name
from auditor_client.mirror import Mirror
from auditor_client.ports import Clock, Journal, Lab

STAGES: tuple[Stage, ...] = ("S1", "S2", "S3", "S4", "S5")
KEPT = "cosigned/"
_TO_ALL = ("PUBLIC", "LAB_ALL")


@dataclass(frozen=True)
class Wanted:
    """What is to be released: a stage, or `only` some classes of it; some field by field; under a label."""

    stage: Stage
    recipient: str
    only: tuple[str, ...] = ()
    views: Mapping[str, ReleasedView] = field(default_factory=dict)
    tlp: Tlp | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes the recipient is to be shown."""
        return self.only or classes_up_to(self.stage)

    @property
    def asked(self) -> tuple[str, ...]:
        """The classes that are released now."""
        return self.only or STAGE_CLASSES[self.stage]


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
        return read_history(self.mirror, self.engagement.first, self.engagement.digest)

    async def release(self, wanted: Wanted) -> tuple[str, ...]:
        """Release what is wanted and cosign the log with the releases in it.

        Returns:
            Every class the recipient may now be shown.

        Raises:
            DisclosureForbidden: the policy does not permit it now, or an earlier stage is not released yet.
            HazardFieldExposed: hazardous fields for everybody.
            TlpDowngrade: the label is looser than a class allows.
            PhaseViolation: the packages are not delivered yet.
        """
        if "C9" in wanted.asked and wanted.recipient in _TO_ALL:
            raise HazardFieldExposed("hazardous fields are never released to all", recipient=wanted.recipient)
        await self.cosigner.cosign()
        history = self.history()
        aborted = history.ledger.aborted is not None
        if not history.delivered and not (aborted and wanted.stage == "S1" and history.close is not None):
            raise PhaseViolation("packages must be delivered before anything is released")
        for earlier in () if wanted.only else STAGES[: STAGES.index(wanted.stage)]:
            for needed in STAGE_CLASSES[earlier]:
                if not history.releases(needed, wanted.recipient):
                    raise DisclosureForbidden(f"{earlier} has not been released to {wanted.recipient}", stage=earlier)
        due = [name for name in wanted.classes if not _shown(history, name, wanted)]
        due = [name for name in due if name in wanted.asked or name in wanted.views]
        for content_class in due:
            self.check(history, content_class, wanted)
        for content_class in due:
            await self._release(history, content_class, wanted)
        await self.keep_cosigned()
        return wanted.classes

    async def keep_cosigned(self) -> None:
        """Cosign the log and keep the checkpoint: it tells until when at the latest a release was made."""
        text = await self.cosigner.cosign()
        note = parse_note(text.encode())
        size = open_checkpoint(note, origin=self.engagement.agreement.origin, log_key=self.engagement.lab_log).size
        if self.journal.recall(f"{KEPT}{size:012d}") is None:
            await self.journal.remember(f"{KEPT}{size:012d}", text.encode())

    def now(self) -> Bounds:
        """Return the bounds of the present as the checkpoint we cosigned last gives them."""
        return made_at(self.cosigner.last(), format_time(self.clock.now()), self.engagement.agreement)

    def check(self, history: History, content_class: str, wanted: Wanted) -> None:
        """Refuse what the policy does not surely permit by the time of the checkpoint we cosigned last."""
        state = history.ledger.permission(content_class, wanted.recipient, self.now())
        if state is not State.PERMITTED:
            why = "not yet permitted" if state is State.INDETERMINATE else "not permitted"
            when = self._when(content_class, wanted)
            raise DisclosureForbidden(
                f"the policy says: {content_class} to {wanted.recipient} is {why} now{when}",
                content_class=content_class,
                recipient=wanted.recipient,
                state=state.value,
            )
        check_label(wanted.tlp, content_class, public=_public(history, content_class, wanted.recipient))

    def _when(self, content_class: str, wanted: Wanted) -> str:
        policy = self.engagement.agreement.policy
        rules = [rule for rule in policy.rules if rule.content_class == content_class and rule.to == wanted.recipient]
        when = [formula_words(simplify(policy, policy.permits(rule)), policy.anchor) for rule in rules]
        return f"; it may be when {' or '.join(when)}" if when else ""

    async def _release(self, history: History, content_class: str, wanted: Wanted) -> None:
        name = f"release/{content_class}/{wanted.recipient}"
        if content_class in wanted.views:
            name += f"/{wanted.views[content_class].digest[:12]}"
        kept = self.journal.recall(name)
        if kept is None:
            public = _public(history, content_class, wanted.recipient)
            label = wanted.tlp or ceiling(content_class, public=public)
            envelope = signed(self._document(content_class, wanted, label), self.engagement.keys.publication)
            await self.journal.remember(sent_name(envelope), envelope.to_bytes())
            await self.journal.remember(name, envelope.to_bytes())
        else:
            envelope = parse_envelope(kept)
        receipt = self.engagement.opened(await self.lab.release(envelope), LogReceipt)
        if (receipt.kind, receipt.document) != ("release", envelope.digest):
            raise LogEquivocation("the lab's receipt is for another document", kind=receipt.kind)

    def _document(self, content_class: str, wanted: Wanted, label: Tlp) -> Release:
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
            stage=wanted.stage,
            content_class=content_class,  # type: ignore[arg-type]
            recipient=wanted.recipient,
            manifest=None if manifest is None else manifest.digest,
            key_commitment=commitment,
            view=wanted.views.get(content_class),
            tlp=label,
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


def file_label(history: History, classes: Sequence[str], recipient: str) -> Tlp:
    """Return the strictest label of what a file shows its recipient."""
    labels: list[Tlp] = []
    for name in classes:
        labels.append(ceiling(name, public=history.ledger.is_public(name)))
        labels += [release.tlp for release in history.releases(name, recipient)[-1:] if release.tlp is not None]
    return strictest(labels)


def _shown(history: History, content_class: str, wanted: Wanted) -> bool:
    view = wanted.views.get(content_class)
    digests = [r.view.digest if r.view else None for r in history.releases(content_class, wanted.recipient)]
    return (None if view is None else view.digest) in digests


def _public(history: History, content_class: str, recipient: str) -> bool:
    return recipient == "PUBLIC" or history.ledger.is_public(content_class)
