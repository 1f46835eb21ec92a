"""One stage from policy to file: releases it, attests it, writes its evidence file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from attestations.canonical import canonical_bytes
from attestations.commitments import SuiteKey, TaskLeaf
from attestations.documents.engagement import Acknowledgement, AnalysisPlan, PackageManifest, PreRegistration, Stage
from attestations.envelope import open_document, parse_envelope
from attestations.errors import PhaseViolation, SafeconductError
from attestations.keys import KeyUse
from auditor_client.attesting import Attested, Reported, attest
from auditor_client.evidence import Members, write_evidence
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.grading_run import grade_all
from auditor_client.releasing import Releaser, released_keys
from auditor_client.sealing_packages import package_path, results_of

_CLASSES = ("C2", "C3", "C5", "C6", "C7", "C8")


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

    async def release(self, stage: Stage, recipient: str, out: Path) -> Attested:
        """Release `stage` to `recipient` and write its evidence file to `out`; safe to repeat.

        Raises:
            DisclosureForbidden: the policy does not permit it now.
        """
        classes = await self.releaser.release(stage, recipient)
        journal, engagement = self.releaser.journal, self.releaser.engagement
        manifest = _kept(journal.recall("manifest"))
        graded = await grade_all(self.suite, self.key, journal=journal)
        results, validity = results_of(self.plan, graded.rows, self.registration.arms)
        shown = [result for result in results if result.content_class in classes]
        history = self.releaser.history()
        name = f"attestation/{recipient}"
        previous = journal.recall(name)
        now = self.releaser.clock.now()
        attested = attest(
            engagement=engagement,
            registration=self.registration,
            history=history,
            reported=Reported(shown, validity if "C2" in classes else None),
            stage=stage,
            recipient=recipient,
            supersedes=None if previous is None else previous.decode(),
            now=now,
        )
        keys = released_keys(self.key, classes, PackageManifest.parse(parse_envelope(manifest).payload))
        sources: dict[str, bytes | Path] = {
            "attestation.sigstore.json": attested.bundle,
            "agreement.dsse.json": engagement.envelope.to_bytes(),
            "checkpoint.txt": self.releaser.cosigner.last().encode(),
            "log.jsonl": self.log,
            "suite-leaves.jsonl": _lines(self.suite.leaves(self.key)),
            "grade-leaves.jsonl": _lines(graded.leaves),
        }
        for content_class in _CLASSES:
            path = package_path(self.packages, content_class)
            if path.exists():
                sources[f"packages/{content_class}.sealed"] = path
        if keys:
            sources["keys.json"] = canonical_bytes(keys)
        acknowledged = await self._acknowledgement(attested)
        if acknowledged is not None:
            sources["acknowledgement.dsse.json"] = acknowledged
        write_evidence(
            out,
            Members(sources),
            attested=attested,
            engagement=engagement,
            stage=stage,
            recipient=recipient,
            now=now,
        )
        await journal.remember(name, attested.digest.encode())
        return attested

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


def _lines(leaves: list[TaskLeaf]) -> bytes:
    return b"".join(leaf.to_bytes() + b"\n" for leaf in leaves)


def _kept(value: bytes | None) -> bytes:
    if value is None:
        raise PhaseViolation("nothing is sealed yet: run `safeconduct auditor seal`")
    return value
