"""Step 10: everything the file's keys open, each piece checked against what was committed to before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import ClassKey, check_salts, parse_task_leaf
from attestations.container import Container
from attestations.digests import sha256
from attestations.documents.base import decode, validated
from attestations.documents.elicitation import ElicitationPack
from attestations.documents.engagement import PackageManifest, PreRegistration
from attestations.documents.planning import AnalysisPlan
from attestations.elicitation.claims import ElicitationClaim
from attestations.elicitation.course import Course
from attestations.errors import (
    EvidenceMissing,
    MalformedEnvelope,
    PreRegistrationAltered,
    ReleasedContentMismatch,
    UnaccountedTask,
)
from attestations.grades import GradeRow
from attestations.predicate import Measure, Result, Validity
from attestations.verify.keyring import NEVER_SHOWN, check_manifest, check_sealed, read_keys
from attestations.verify.packages import PackageReader
from attestations.verify.packs import open_pack
from attestations.verify.tasks import GRADE_CLASS, GRADES, SUITE, Tasks, leaf_lines, read_tasks
from attestations.verify.transcript import Transcript
from attestations.verify.views import Viewed, read_views

TASK_CLASSES = (GRADE_CLASS, "C5", "C6", "C8")


@dataclass(frozen=True)
class Aggregate:
    """What the C2 package holds: the registered plan, and the figures fixed before any release."""

    plan: AnalysisPlan
    results: tuple[Result, ...]
    validity: Validity
    measures: tuple[Measure, ...] = ()
    elicitation: ElicitationClaim | None = None


@dataclass(frozen=True, repr=False)
class Content:
    """What is open. Transcripts are read later, one by one (`attestations.verify.transcripts`)."""

    registration: PreRegistration
    keys: dict[str, ClassKey]
    aggregate: Aggregate | None
    tasks: Tasks
    transcripts: PackageReader | None
    views: dict[str, Viewed]
    shown: tuple[str, ...] = ()  # the classes whose keys the file itself holds
    course: Course = field(default_factory=Course)
    pack: ElicitationPack | None = None

    @property
    def running(self) -> tuple[str, ...]:
        """The arms that TEST was asked in."""
        return self.course.running(self.registration)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are open, by the file's keys or by escrow."""
        return tuple(self.keys)

    @property
    def rows(self) -> tuple[GradeRow, ...] | None:
        """Every grade, in the order of tasks, or None while grades are sealed."""
        return tuple(self.tasks.rows.values()) if GRADE_CLASS in self.keys else None


def open_content(
    container: Container, transcript: Transcript, escrowed: Mapping[str, ClassKey] = MappingProxyType({})
) -> Content:
    """Check every sealed package of the file and open those whose keys it holds, except transcripts.

    `escrowed` holds keys that a quorum of escrow holders released; they open exactly as the file's own do.

    Raises:
        PackageManifestMismatch, PackageDecryptFailed, KeyCommitmentMismatch, CommitmentMismatch, UnaccountedTask,
        HazardFieldExposed, ReleasedContentMismatch, PreRegistrationAltered, EvidenceMissing, MalformedEnvelope,
        RedactionNotAllowed, WeakSalt.
    """
    registration, manifest = transcript.registration, transcript.manifest
    if registration is None or manifest is None:
        raise EvidenceMissing("no registration or package manifest in the log")
    check_manifest(registration, manifest)
    own = read_keys(container, registration, manifest)
    sealed = {package.content_class for package in manifest.packages}
    keys = own | {name: key for name, key in escrowed.items() if name in sealed and name not in own}
    readers = _readers(container, manifest, keys)
    tasks = Tasks(registration, {cls: readers[cls] for cls in TASK_CLASSES if cls in keys})
    _tasks(container, transcript, manifest, tasks, keys)
    aggregate = _aggregate(readers["C2"], registration) if "C2" in keys else None
    views = read_views(container, transcript)
    for cls, reader in readers.items():
        if cls not in keys:
            reader.check()
    transcripts = readers.get("C7") if "C7" in keys else None
    pack = open_pack(container, transcript)
    return Content(registration, keys, aggregate, tasks, transcripts, views, tuple(own), transcript.course, pack)


def nothing_open(container: Container, registration: PreRegistration) -> Content:
    """Return what a file shows of an engagement that was given up before anything was sealed.

    Raises:
        CommitmentMismatch: the leaves are not those of the registered suite.
        EvidenceMissing: it holds keys, packages or fields of what was never sealed.
    """
    for name in container.names:
        if name in ("keys.json", "view.jsonl") or name.startswith("packages/"):
            raise EvidenceMissing(f"{name} of an engagement that sealed nothing", member=name)
    for _ in leaf_lines(container, SUITE, count=registration.suite.tasks, root=registration.suite.root):
        pass
    return Content(registration, {}, None, Tasks(registration, {}), None, {})


def _readers(container: Container, manifest: PackageManifest, keys: dict[str, ClassKey]) -> dict[str, PackageReader]:
    return {
        package.content_class: PackageReader(container, package, keys.get(package.content_class))
        for package in manifest.packages
        if package.content_class != NEVER_SHOWN
    }


def _tasks(
    container: Container, transcript: Transcript, manifest: PackageManifest, tasks: Tasks, keys: dict[str, ClassKey]
) -> None:
    registered, committed = tasks.registration.suite, transcript.grades
    suite = leaf_lines(container, SUITE, count=registered.tasks, root=registered.root)
    grades: Iterator[tuple[int, bytes]] = iter(())
    if committed is not None:
        grades = leaf_lines(container, GRADES, count=committed.tasks, root=committed.root)
        if committed.tasks != registered.tasks:
            raise UnaccountedTask("grades are committed to for another number of tasks", tasks=str(committed.tasks))
    first = next(suite)
    sealed = {"C2", *(item.cls for item in parse_task_leaf(first[1]).fields)}
    if committed is not None:
        sealed.add(GRADE_CLASS)
    if transcript.exchanges.tally.answers:
        sealed.add("C7")
    check_sealed(manifest, sealed)
    if tasks.readers:
        read_tasks(tasks, keys, chain((first,), suite), grades, graded=committed is not None)
        return
    for rest in (suite, grades):  # nothing to compare with yet: the roots alone are checked
        for _ in rest:
            pass


def _aggregate(reader: PackageReader, registration: PreRegistration) -> Aggregate:
    chunks = list(_few(reader.chunks()))
    if len(chunks) != 1:
        raise ReleasedContentMismatch("the C2 package holds more than the plan and the results")
    value = parse_canonical(chunks[0])
    expected = {"plan", "results", "validity", *(("elicitation",) if registration.conduct is not None else ())}
    if not isinstance(value, dict) or value.keys() - {"measures"} != expected:
        raise MalformedEnvelope(f"the C2 package holds exactly {', '.join(sorted(expected))}, and measures")
    if sha256(canonical_bytes(value["plan"])) != registration.plan:
        raise PreRegistrationAltered("the analysis plan is not the registered one")
    plan = AnalysisPlan.from_json(value["plan"])
    check_salts([decode(plan.nonce)])
    if not isinstance(value["results"], list) or not isinstance(value.get("measures", []), list):
        raise MalformedEnvelope("the C2 package holds lists of results and measures")
    results = tuple(validated(Result, item) for item in value["results"])
    measures = tuple(validated(Measure, item) for item in value.get("measures", []))
    claim = validated(ElicitationClaim, value["elicitation"]) if registration.conduct is not None else None
    return Aggregate(plan, results, validated(Validity, value["validity"]), measures, claim)


def _few(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks):
        if number > 1:
            raise ReleasedContentMismatch("the C2 package holds more than the plan and the results")
        yield chunk
