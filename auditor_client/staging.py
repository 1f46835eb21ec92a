"""One stage from policy to file: releases it, attests it, writes its evidence file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from attestations.canonical import canonical_bytes
from attestations.commitments import SuiteKey, TaskLeaf
from attestations.container import Watch
from attestations.deviations import headline_of
from attestations.documents.engagement import (
    Acknowledgement,
    GradeCommitment,
    PackageManifest,
    PreRegistration,
    Stage,
    Tlp,
)
from attestations.documents.planning import AnalysisPlan
from attestations.envelope import open_document, parse_envelope
from attestations.errors import PhaseViolation, SafeconductError
from attestations.files import open_file, write_file
from attestations.keys import KeyUse
from attestations.merkle import leaf_hash, merkle_root
from attestations.views import MEMBER
from auditor_client.attesting import Attested, Reported, attest
from auditor_client.closed_fields import Closing
from auditor_client.eliciting.arms import PACK
from auditor_client.eliciting.reporting import elicited
from auditor_client.evidence import Members, Shown, write_evidence
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.grading_run import GRADES, Graded, grade_all
from auditor_client.history import History
from auditor_client.redacting import Closed
from auditor_client.releasing import KEPT, Releaser, Wanted, file_label, released_keys
from auditor_client.sealing_packages import compute, package_path
from auditor_client.viewing import Source

_CLASSES = ("C2", "C3", "C5", "C6", "C7", "C8")


@dataclass(frozen=True)
class Asked:
    """What a person wants released, and what of it stays closed."""

    stage: Stage
    recipient: str
    only: tuple[str, ...] = ()
    redact: Sequence[Closed] = ()
    tlp: Tlp | None = None


@dataclass(frozen=True)
class Staging:
    """What every stage's evidence file is made from."""

    releaser: Releaser
    suite: FrozenSuite
    plan: AnalysisPlan
    registration: PreRegistration
    key: SuiteKey
    log: Path
    packages: Path
    watch: Watch | None = None

    async def release(self, stage: Stage, recipient: str, out: Path) -> Attested:
        """Release the whole of `stage` to `recipient` and write its evidence file to `out`; safe to repeat.

        Raises:
            DisclosureForbidden: the policy does not permit it now.
        """
        return await self.release_asked(Asked(stage, recipient), out)

    async def release_asked(self, asked: Asked, out: Path) -> Attested:
        """Release what is asked, some of it field by field, and write its evidence file; safe to repeat.

        Raises:
            DisclosureForbidden, HazardFieldExposed, TlpDowngrade, RedactionNotAllowed: it may not be released so.
        """
        releaser, journal = self.releaser, self.releaser.journal
        graded = await grade_all(self.suite, journal=journal, watch=self.watch)
        closing = Closing(releaser, Source(self.suite, self.key, graded, journal))
        views = await closing.views(asked.stage, asked.recipient, only=asked.only, redact=asked.redact)
        documents = {name: view.document for name, view in views.items()}
        wanted = Wanted(asked.stage, asked.recipient, asked.only, documents, asked.tlp)
        classes = await releaser.release(wanted)
        await closing.keep(asked.recipient, views)
        history, now = releaser.history(), releaser.clock.now()
        name = f"attestation/{asked.recipient}"
        previous = journal.recall(name)
        attested = attest(
            engagement=releaser.engagement,
            registration=self.registration,
            history=history,
            reported=await self._reported(graded, history, () if asked.only else classes),
            stage=asked.stage,
            recipient=asked.recipient,
            supersedes=None if previous is None else previous.decode(),
            now=now,
        )
        sources = await asyncio.to_thread(self._sources, graded, history)
        sources["attestation.sigstore.json"] = attested.bundle
        if views:
            sources[MEMBER] = b"".join(views[cls].lines for cls in sorted(views))
        whole = [cls for cls in classes if cls not in views]
        if history.manifest_digest is not None:
            manifest = PackageManifest.parse(parse_envelope(_kept(journal.recall("manifest"))).payload)
            if keys := released_keys(self.key, whole, manifest):
                sources["keys.json"] = canonical_bytes(keys)
        pack = journal.recall(PACK)
        if pack is not None and {"C5", "C7"} <= set(whole):
            sources["pack.dsse.json"] = pack  # transcripts hold it word for word, and cannot be judged without it
        acknowledged = await self._acknowledgement(attested)
        if acknowledged is not None:
            sources["acknowledgement.dsse.json"] = acknowledged
        shown = Shown(asked.stage, asked.recipient, asked.only or None, file_label(history, classes, asked.recipient))
        write_evidence(out, Members(sources), attested=attested, engagement=releaser.engagement, shown=shown, now=now)
        await journal.remember(name, attested.digest.encode())
        return attested

    async def _reported(self, graded: Graded, history: History, classes: Sequence[str]) -> Reported:
        agreement, journal = self.releaser.engagement.agreement, self.releaser.journal
        found = await elicited(self.suite, history, agreement, graded.rows, journal)
        claim = None if found.claim is None else found.claim.up_to(tuple(classes))
        if history.manifest_digest is None or "C2" not in classes:
            return Reported((), None, elicitation=None if claim is None else claim.outline(), done=found.done)
        deviations = history.deviations
        computed = compute(
            self.plan,
            graded.rows,
            found.running,
            deviations=[deviation.digest for deviation in deviations],
            sandbagging=found.sandbagging,
        )
        return Reported(
            [result for result in computed.results if result.content_class in classes],
            computed.validity,
            [measure for measure in computed.measures if measure.content_class in classes],
            headline_of(self.plan, deviations),
            claim,
            found.done,
        )

    def _sources(self, graded: Graded, history: History) -> dict[str, bytes | Path]:
        journal = self.releaser.journal
        sources: dict[str, bytes | Path] = {
            "agreement.dsse.json": self.releaser.engagement.envelope.to_bytes(),
            "checkpoint.txt": self.releaser.cosigner.last().encode(),
            "log.jsonl": self.log,
            "suite-leaves.jsonl": self._leaves("suite", self.registration.suite.root, self.suite.leaves(self.key)),
        }
        kept = [journal.recall(name) or b"" for name in journal.names(KEPT)]
        if kept:
            sources["checkpoints.jsonl"] = b"".join(canonical_bytes(text.decode()) + b"\n" for text in kept)
        if history.manifest_digest is None:
            return sources
        committed = GradeCommitment.parse(parse_envelope(_kept(journal.recall(GRADES))).payload)
        sources["grade-leaves.jsonl"] = self._leaves("grade", committed.root, graded.leaves(self.key))
        for content_class in _CLASSES:
            path = package_path(self.packages, content_class)
            if path.exists():
                sources[f"packages/{content_class}.sealed"] = path
        return sources

    def _leaves(self, name: str, root: str, leaves: Iterable[TaskLeaf]) -> Path:
        """Return the file that holds the leaves under `root`: the stage before wrote it, or it is written now."""
        path = self.packages / f"{name}-leaves.jsonl"
        if not path.exists() or root_of_lines(path) != root:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, (leaf.to_bytes() + b"\n" for leaf in leaves))
        return path

    async def _acknowledgement(self, attested: Attested) -> bytes | None:
        engagement = self.releaser.engagement
        # A lab may decline: the attestation stands without its acknowledgement.
        with suppress(SafeconductError):
            envelope = await self.releaser.lab.acknowledge(agreement=engagement.digest, attestation=attested.digest)
            key = engagement.agreement.lab_key(KeyUse.AGREEMENT)
            document = open_document(envelope, Acknowledgement, required=(key,))
            if (document.agreement, document.attestation) == (engagement.digest, attested.digest):
                return envelope.to_bytes()
        return None


def root_of_lines(path: Path) -> str:
    """Return the Merkle root over a file's lines, as hex.

    Raises:
        FileUnusable: it cannot be read.
    """
    with open_file(path) as lines:
        return merkle_root(leaf_hash(line.removesuffix(b"\n")) for line in lines).hex()


def _kept(value: bytes | None) -> bytes:
    if value is None:
        raise PhaseViolation("nothing is sealed yet: run `safeconduct auditor seal`")
    return value
