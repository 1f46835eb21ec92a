"""Seals everything that may ever be released, one package a class; the lab gets the ciphertext before any result."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.claim import Claim
from attestations.commitments import ContentClass, SuiteKey
from attestations.container import Watch
from attestations.documents.base import encode, format_time
from attestations.documents.engagement import DeliveryReceipt, Package, PackageManifest
from attestations.documents.exchange import Record
from attestations.documents.planning import AnalysisPlan
from attestations.elicitation.claims import ElicitationClaim
from attestations.elicitation.levels import Sandbagging
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import FileUnusable, PackageManifestMismatch, PhaseViolation
from attestations.files import because
from attestations.frames import response_salt
from attestations.grades import GradeRow
from attestations.measures import compute_measures
from attestations.packages import seal_into
from attestations.predicate import Measure, Result, Validity
from attestations.results import compute_canary, compute_controls, compute_results, count_judged
from auditor_client.campaign_state import Exchange
from auditor_client.engagement import Engagement, signed
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.grading_run import Graded, grade_fields
from auditor_client.leaf_checks import sent_name
from auditor_client.ports import Clock, Journal, Lab

MANIFEST = "manifest"
DELIVERY = "delivery"
ORDER: tuple[ContentClass, ...] = ("C2", "C3", "C5", "C6", "C7", "C8", "C9")
_BLOCK_BYTES = 512 * 1024  # the wire's limit for one block


class Computed(NamedTuple):
    """Every planned figure and measure, and what bears on reading them."""

    results: tuple[Result, ...]
    measures: tuple[Measure, ...]
    validity: Validity


def compute(
    plan: AnalysisPlan,
    rows: Sequence[GradeRow],
    arms: Sequence[str],
    *,
    deviations: Sequence[str] = (),
    sandbagging: Sandbagging = "notAssessed",
) -> Computed:
    """Return all that follows from the grades under the plan.

    Args:
        plan: the registered plan.
        rows: every grade.
        arms: those that TEST was asked in.
        deviations: the digests of the deviations that were declared.
        sandbagging: how far it was assessed, if the controls show that the run could have shown anything.
    """
    controls = compute_controls(plan, rows)
    validity = Validity(
        controls=controls,
        sandbagging=sandbagging if controls.positive_ok else "notAssessed",
        canary=compute_canary(rows),
        deviations=tuple(deviations),
        judged=count_judged(rows),
    )
    return Computed(compute_results(plan, rows, arms), compute_measures(plan, rows, arms), validity)


async def seal(
    suite: FrozenSuite,
    plan: AnalysisPlan,
    graded: Graded,
    *,
    arms: Sequence[str],
    deviations: Sequence[str] = (),
    key: SuiteKey,
    engagement: Engagement,
    journal: Journal,
    clock: Clock,
    folder: Path,
    elicitation: ElicitationClaim | None = None,
    sandbagging: Sandbagging = "notAssessed",
    watch: Watch | None = None,
) -> Envelope:
    """Write every sealed package into `folder` and return the signed manifest (the same one, after a crash).

    Raises:
        PhaseViolation: grades are not committed yet.
        FileUnusable: the packages cannot be written.
    """
    kept = journal.recall(MANIFEST)
    if kept is not None:
        return parse_envelope(kept)
    if journal.recall("grades") is None:
        raise PhaseViolation("packages are sealed after the grades are committed")
    computed = compute(plan, graded.rows, arms, deviations=deviations, sandbagging=sandbagging)
    packages = []
    for content_class in ORDER:
        if content_class == "C2":
            whole = (_aggregate(plan, computed, elicitation),)
            chunks: Callable[[], Iterable[bytes]] = partial(iter, whole)
        elif content_class == "C7":
            places = await answered(journal)
            chunks = partial(_watched, partial(_transcripts, journal, places), content_class, len(places), watch)
        else:
            whole_class = partial(_tasks, suite, graded, content_class)
            chunks = partial(_watched, whole_class, content_class, len(suite.tasks), watch)
        packages.append(seal_one(content_class, chunks, key, folder))
    manifest = PackageManifest(
        agreement=engagement.digest,
        packages=tuple(package for package in packages if package is not None),
        sealed_at=format_time(clock.now()),
    )
    envelope = signed(manifest, engagement.keys.publication)
    await journal.remember(sent_name(envelope), envelope.to_bytes())
    await journal.remember(MANIFEST, envelope.to_bytes())
    return envelope


async def deliver(manifest: Envelope, *, engagement: Engagement, lab: Lab, journal: Journal, folder: Path) -> None:
    """Deliver the sealed packages and keep the lab's receipt.

    Raises:
        PackageManifestMismatch: the lab's receipt is for other packages.
    """
    names = [package.content_class for package in PackageManifest.parse(manifest.payload).packages]
    envelope = await lab.deliver(manifest, _blocks([package_path(folder, name) for name in names]))
    receipt = engagement.opened(envelope, DeliveryReceipt)
    engagement.belongs(receipt.agreement)
    if receipt.manifest != manifest.digest:
        raise PackageManifestMismatch("the lab's receipt is for other packages", manifest=manifest.digest)
    await journal.remember(DELIVERY, envelope.to_bytes())


def package_path(folder: Path, content_class: str) -> Path:
    """Return where a sealed package lies."""
    return folder / f"{content_class}.sealed"


def seal_one(
    content_class: ContentClass, chunks: Callable[[], Iterable[bytes]], key: SuiteKey, folder: Path
) -> Package | None:
    """Seal one class into its file, a chunk at a time, and return what the manifest says of it; None without chunks.

    Raises:
        FileUnusable: the file cannot be written.
    """
    if next(iter(chunks()), None) is None:
        return None  # nothing was answered: there is no transcript to seal
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with package_path(folder, content_class).open("wb") as out:
            sealed = seal_into(out.write, key.class_key(content_class), chunks)
            out.flush()
            os.fsync(out.fileno())  # the manifest that is signed next describes these bytes for ever
    except OSError as error:
        raise FileUnusable(f"a package cannot be written: {because(error)}", file=content_class) from None
    return Package(
        content_class=content_class,
        chunks=sealed.chunks,
        ciphertext_root=sealed.ciphertext_root,
        key_root=sealed.key_root,
        key_commitment=sealed.key_commitment,
        file_bytes=str(sealed.file_bytes),
        file_digest=sealed.file_digest,
    )


def _aggregate(plan: AnalysisPlan, computed: Computed, elicitation: ElicitationClaim | None) -> bytes:
    value = {
        "plan": plan.json_value(),
        "results": [claim_json(result) for result in computed.results if result.content_class == "C2"],
        "validity": claim_json(computed.validity),
    }
    if measures := [claim_json(measure) for measure in computed.measures if measure.content_class == "C2"]:
        value["measures"] = measures
    if elicitation is not None:
        value["elicitation"] = claim_json(elicitation.up_to(("C2",)))
    return canonical_bytes(value)


def claim_json(claim: Claim) -> Any:
    """Return a claim as plain JSON types, with its published names."""
    return claim.model_dump(mode="json", by_alias=True)


def _tasks(suite: FrozenSuite, graded: Graded, content_class: ContentClass) -> Iterator[bytes]:
    shown = content_class == "C3"
    if not (shown and graded.rows) and not any(task.of_class(content_class) for task in suite.tasks):
        return
    for task, rows in zip(suite.tasks, graded.by_task(), strict=True):
        grades = grade_fields(rows) if shown else {}
        yield canonical_bytes({"fields": task.of_class(content_class) | grades, "i": task.i})


async def answered(journal: Journal) -> list[tuple[int, str, int]]:
    """Return where every answer stands, in the order of the log: places only, answers are read one by one."""
    found = [
        (int(Record.parse(parse_envelope(exchange.document).payload).log_index), intern(exchange.session), exchange.seq)
        async for exchange in journal.exchanges()
        if exchange.result is not None
    ]
    return sorted(found)


def finished(journal: Journal, places: Sequence[tuple[int, str, int]]) -> Iterator[Exchange]:
    """Give the exchanges at these places, one at a time."""
    for _, session, seq in places:
        exchange = journal.finished(session, seq)
        if exchange is None:
            raise FileUnusable("the journal has lost an exchange while it was read", session=session, seq=str(seq))
        yield exchange


def _watched(
    chunks: Callable[[], Iterable[bytes]], content_class: ContentClass, many: int, watch: Watch | None
) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks()):
        if watch is not None:
            watch(f"sealing {content_class}", number, many)
        yield chunk


def _transcripts(journal: Journal, places: Sequence[tuple[int, str, int]]) -> Iterator[bytes]:
    return map(_transcript, finished(journal, places))


def _transcript(exchange: Exchange) -> bytes:
    return canonical_bytes(
        {
            "request": parse_canonical(exchange.request),
            "request_salt": encode(exchange.request_salt),
            "result": parse_canonical(exchange.result or b""),
            "result_salt": encode(response_salt(exchange.response_key)),
            "seq": exchange.seq,
            "session": exchange.session,
        }
    )


async def _blocks(paths: Sequence[Path]) -> AsyncIterator[bytes]:
    for path in paths:
        try:
            with path.open("rb") as package:
                while block := package.read(_BLOCK_BYTES):
                    yield block
        except OSError as error:
            raise FileUnusable(f"a sealed package cannot be read: {error.strerror}", file=path.name) from None
