"""Steps 10 to 12 for what has been opened: sealed packages, their keys, and every field against its commitment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from attestations.canonical import parse_canonical
from attestations.commitments import ClassKey, TaskLeaf, check_field, handle, parse_task_leaf
from attestations.container import Container
from attestations.digests import sha256
from attestations.documents.base import Part, decode, validated
from attestations.documents.dialogue import (
    ModelRequest,
    ModelResult,
    request_commitment,
    result_commitment,
)
from attestations.documents.engagement import AnalysisPlan, Package, PackageManifest, PreRegistration
from attestations.errors import (
    CommitmentMismatch,
    DecoyScored,
    EvidenceMissing,
    ExchangeOmitted,
    GraderDigestMismatch,
    HazardFieldExposed,
    KeyCommitmentMismatch,
    MalformedEnvelope,
    PackageManifestMismatch,
    PreRegistrationAltered,
    ReleasedContentMismatch,
    ScoreMismatch,
    SizeLimitExceeded,
    UnaccountedTask,
)
from attestations.grading import grade, grader_digest
from attestations.merkle import Frontier, leaf_hash
from attestations.packages import chunk_key_commitment, iter_package, open_chunk
from attestations.predicate import AuditPredicate, Result, Validity
from attestations.results import GradeRow, GradeValue
from attestations.verify.exchanges import STATUS_CODES, Tally, answer, answer_count
from attestations.verify.parties import Parties
from attestations.verify.transcript import Transcript
MAX_KEYS_BYTES = 4096
MAX_TASKS = 1 << 20
TASK_CLASSES = ("C3", "C5", "C6", "C8")
RUN_KINDS = {
    "test": "test",
    "benign_twin": "test",
    "positive_control": "positive_control",
    "negative_control": "negative_control",
    "canary": "canary",
}

class _Holder(Part):
    request: ModelRequest
    result: ModelResult


class Answered(NamedTuple):
    """An opened transcript's place and content."""

    promise: int
    request: Any
    result: Any


@dataclass
class Content:
    """Everything the file's keys open, checked against its commitments."""

    registration: PreRegistration
    classes: tuple[str, ...] = ()
    plan: AnalysisPlan | None = None
    sealed_results: tuple[Result, ...] = ()
    sealed_validity: Validity | None = None
    rows: list[GradeRow] | None = None
    kinds: dict[int, str] = field(default_factory=dict)
    prompts: dict[int, Any] = field(default_factory=dict)
    targets: dict[int, Any] = field(default_factory=dict)
    graders: dict[int, str] = field(default_factory=dict)
    link_key: bytes | None = None
    places: dict[int, tuple[int, str, int]] = field(default_factory=dict)  # promise number -> (task, arm, epoch)
    answered: list[Answered] = field(default_factory=list)

    @property
    def transcripts(self) -> int:
        """How many transcripts were opened."""
        return len(self.answered)


def open_content(container: Container, parties: Parties, transcript: Transcript) -> Content:
    """Check every sealed package of the file and open those whose keys it holds.

    Raises:
        PackageManifestMismatch, PackageDecryptFailed, KeyCommitmentMismatch, CommitmentMismatch,
        HazardFieldExposed, ReleasedContentMismatch, ExchangeOmitted, EvidenceMissing, MalformedEnvelope.
    """
    registration, manifest = transcript.registration, transcript.manifest
    if registration is None or manifest is None or transcript.exchanges is None:
        raise EvidenceMissing("no registration or package manifest in the log")
    keys = _read_keys(container, registration, manifest)
    content = Content(registration, tuple(keys))
    leaves = _read_leaves(container, "suite-leaves.jsonl", registration.suite.tasks, registration.suite.root)
    grade_leaves: list[TaskLeaf] = []
    if transcript.grades is not None:
        if "grade-leaves.jsonl" not in container.names:
            raise EvidenceMissing("grade-leaves.jsonl is missing", member="grade-leaves.jsonl")
        grades = transcript.grades
        grade_leaves = _read_leaves(container, "grade-leaves.jsonl", grades.tasks, grades.root)
    for package in manifest.packages:
        if package.content_class == "C9":
            continue
        chunks = _checked_chunks(container, package, keys.get(package.content_class))
        if package.content_class not in keys:
            for _ in chunks:
                pass
        elif package.content_class == "C2":
            _open_plan(content, chunks)
        elif package.content_class == "C7":
            _open_transcripts(content, chunks, transcript.exchanges.tally)
        else:
            _open_tasks(content, keys[package.content_class], chunks, leaves, grade_leaves)
    return content


def _read_keys(container: Container, registration: PreRegistration, manifest: PackageManifest) -> dict[str, ClassKey]:
    if "keys.json" not in container.names:
        return {}
    value = parse_canonical(container.read("keys.json", limit=MAX_KEYS_BYTES))
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise MalformedEnvelope("keys.json maps classes to keys", member="keys.json")
    registered = {item.content_class: item.commitment for item in registration.class_keys}
    sealed = {package.content_class: package.key_commitment for package in manifest.packages}
    keys: dict[str, ClassKey] = {}
    for content_class, text in value.items():
        if content_class == "C9":
            raise HazardFieldExposed("the file holds the key of hazardous fields")
        if content_class not in sealed or len(text) != 64 or set(text) - set("0123456789abcdef"):  # noqa: PLR2004
            raise MalformedEnvelope("keys.json holds no key of a sealed class", member="keys.json")
        key = ClassKey(bytes.fromhex(text), registration.suite.id, content_class)
        if key.commitment() != sealed[content_class] or key.commitment() != registered.get(content_class):
            raise KeyCommitmentMismatch(f"the key of {content_class} is not the committed one", content_class=content_class)
        keys[content_class] = key
    return keys


def _read_leaves(container: Container, name: str, count: int, root: str) -> list[TaskLeaf]:
    frontier = Frontier()
    leaves: list[TaskLeaf] = []
    for number, line in enumerate(container.lines(name)):
        if number >= min(count, MAX_TASKS):
            raise SizeLimitExceeded(f"{name} holds more tasks than were registered", member=name)
        leaf = parse_task_leaf(line)
        if leaf.i != number:
            raise CommitmentMismatch(f"{name} is out of order", member=name)
        frontier.append(leaf_hash(line))
        leaves.append(leaf)
    if len(leaves) != count or frontier.root().hex() != root:
        raise CommitmentMismatch(f"{name} is not what was registered", member=name)
    return leaves


def _checked_chunks(container: Container, package: Package, key: ClassKey | None) -> Iterator[bytes]:
    """Give the opened chunks (empty bytes while sealed); the last step checks the whole package."""
    name = f"packages/{package.content_class}.sealed"
    if name not in container.names:
        raise EvidenceMissing(f"{name} is missing", member=name)
    ciphertexts, keys, count = Frontier(), Frontier(), 0
    for count, ciphertext in enumerate(iter_package(container.blocks(name)), start=1):
        if count > package.chunks:
            raise PackageManifestMismatch(f"{name} holds more chunks than its manifest says", member=name)
        ciphertexts.append(leaf_hash(ciphertext))
        if key is None:
            yield b""
            continue
        keys.append(leaf_hash(chunk_key_commitment(key, count - 1)))
        yield open_chunk(key, count - 1, ciphertext)
    if count != package.chunks or ciphertexts.root().hex() != package.ciphertext_root:
        raise PackageManifestMismatch(f"{name} is not the sealed package of the manifest", member=name)
    if key is not None and keys.root().hex() != package.key_root:
        raise KeyCommitmentMismatch(f"the chunk keys of {package.content_class} are not the committed ones")


def _open_plan(content: Content, chunks: Iterator[bytes]) -> None:
    for number, chunk in enumerate(chunks):
        if number:
            raise ReleasedContentMismatch("the C2 package holds more than the plan and the results")
        value = parse_canonical(chunk)
        if not isinstance(value, dict) or set(value) != {"plan", "results", "validity"}:
            raise MalformedEnvelope("the C2 package holds exactly plan, results and validity")
        plan = AnalysisPlan.from_json(value["plan"])
        if sha256(plan.to_bytes()) != content.registration.plan:
            raise PreRegistrationAltered("the analysis plan is not the registered one")
        if not isinstance(value["results"], list):
            raise MalformedEnvelope("the C2 package holds a list of results")
        content.plan = plan
        content.sealed_results = tuple(validated(Result, item) for item in value["results"])
        content.sealed_validity = validated(Validity, value["validity"])


def _open_tasks(
    content: Content, key: ClassKey, chunks: Iterator[bytes], leaves: list[TaskLeaf], grade_leaves: list[TaskLeaf]
) -> None:
    count = 0
    for count, chunk in enumerate(chunks, start=1):
        value = parse_canonical(chunk)
        if not isinstance(value, dict) or set(value) != {"i", "fields"} or not isinstance(value["fields"], dict):
            raise MalformedEnvelope("a task chunk holds exactly i and fields")
        number = count - 1
        if value["i"] != number or number >= len(leaves):
            raise ReleasedContentMismatch("a task chunk is out of order", chunk=str(number))
        committed = _committed(key.cls, leaves[number], grade_leaves[number] if grade_leaves else None)
        if set(value["fields"]) != set(committed):
            _explain_fields(key.cls, value["fields"], leaves[number], number)
        for path, field_value in value["fields"].items():
            check_field(key, committed[path], path, field_value)
        _keep(content, key.cls, number, value["fields"])
    if count != len(leaves):
        raise ReleasedContentMismatch("a package holds another number of tasks than the suite", chunks=str(count))
    if key.cls == "C5":
        content.link_key = key.link_key()


def _committed(cls: str, leaf: TaskLeaf, grades: TaskLeaf | None) -> dict[str, TaskLeaf]:
    fields = {item.path: leaf for item in leaf.fields if item.cls == cls}
    if grades is not None:
        fields |= {item.path: grades for item in grades.fields if item.cls == cls}
    return fields


def _explain_fields(cls: str, shown: dict[str, Any], leaf: TaskLeaf, number: int) -> None:
    classes = {item.path: item.cls for item in leaf.fields}
    for path in shown:
        if classes.get(path) == "C9":
            raise HazardFieldExposed(f"a hazardous field is in the {cls} package", task=str(number))
    raise ReleasedContentMismatch(f"the {cls} package does not hold exactly its fields", task=str(number))


def _keep(content: Content, cls: str, number: int, fields: dict[str, Any]) -> None:
    if cls == "C3":
        if content.rows is None:
            content.rows = []
        category = fields.get("category")
        for path, value in fields.items():
            if path.startswith("grade/"):
                arm, epoch = path.removeprefix("grade/").rsplit("/", 1)
                content.rows.append(
                    GradeRow(number, arm, int(epoch), str(category), validated(GradeValue, value))
                )
    elif cls == "C5":
        content.kinds[number] = str(fields.get("kind"))
        content.prompts[number] = fields.get("prompt")
    elif cls == "C6":
        content.targets[number] = fields.get("target")
        content.graders[number] = str(fields.get("graderRef"))


def _open_transcripts(content: Content, chunks: Iterator[bytes], tally: Tally) -> None:
    for number, chunk in enumerate(chunks):
        value = parse_canonical(chunk)
        if not isinstance(value, dict) or set(value) != {
            "request",
            "request_salt",
            "result",
            "result_salt",
            "seq",
            "session",
        }:
            raise MalformedEnvelope("a transcript chunk does not hold exactly its fields")
        request = validated(_Holder, {"request": value["request"], "result": value["result"]})
        asked, answered, promise = answer(tally, number)
        salts = [_salt(value[name]) for name in ("request_salt", "result_salt")]
        if request_commitment(request.request, salts[0]) != asked.hex() or (
            result_commitment(request.result, salts[1]) != answered.hex()
        ):
            raise ReleasedContentMismatch("a transcript is not the one both sides signed", transcript=str(number))
        content.answered.append(Answered(promise, request.request, request.result))
    if len(content.answered) != answer_count(tally):
        raise ExchangeOmitted(
            "answered exchanges are missing from the transcripts",
            answered=str(answer_count(tally)),
            shown=str(len(content.answered)),
        )


def _salt(text: Any) -> bytes:
    try:
        salt = decode(text)
    except (ValueError, TypeError):
        raise MalformedEnvelope("a salt that is not base64") from None
    if len(salt) != 32:  # noqa: PLR2004 - spec/exchange.md
        raise MalformedEnvelope("a salt that is not 32 bytes")
    return salt


def check_published(content: Content, predicate: AuditPredicate) -> None:
    """Compare the published aggregate with the one sealed before any release.

    Raises:
        ScoreMismatch: they differ.
    """
    published = tuple(result for result in predicate.results if result.content_class == "C2")
    if published != content.sealed_results:
        raise ScoreMismatch("the published figures are not those that were sealed")
    if predicate.validity != content.sealed_validity:
        raise ScoreMismatch("the published validity figures are not those that were sealed", field="validity")


def check_schedule(content: Content, transcript: Transcript) -> None:
    """Check that every exchange belongs to one scheduled task and every scheduled task was asked.

    Raises:
        UnaccountedTask: an exchange of no task, or a task that was never asked.
        DecoyScored: a grade counts an item as something its registered kind is not.
    """
    registration = content.registration
    tally = transcript.exchanges.tally if transcript.exchanges is not None else Tally()
    if content.link_key is None:
        raise EvidenceMissing("the key that links exchanges to tasks is not opened")
    places: dict[bytes, tuple[int, str, int, int]] = {}
    for task, kind in content.kinds.items():
        if kind not in RUN_KINDS:
            continue
        for arm in registration.arms:
            for epoch in range(registration.epochs):
                for attempt in range(registration.max_attempts):
                    name = handle(content.link_key, task=task, arm=arm, epoch=epoch, attempt=attempt)
                    places[bytes.fromhex(name)] = (task, arm, epoch, attempt)
    attempts: dict[tuple[int, str, int], list[tuple[int, int]]] = {}
    for number, status in enumerate(tally.statuses):
        found = places.get(bytes(tally.handles[32 * number : 32 * number + 32]))
        if found is None:
            raise UnaccountedTask("an exchange belongs to no scheduled task", promise=str(number))
        task, arm, epoch, attempt = found
        attempts.setdefault((task, arm, epoch), []).append((attempt, status))
        content.places[number] = (task, arm, epoch)
    for task, kind in content.kinds.items():
        if kind not in RUN_KINDS:
            continue
        for arm in registration.arms:
            for epoch in range(registration.epochs):
                _check_attempts(task, attempts.get((task, arm, epoch), []))
    _check_roles(content)


def _check_attempts(task: int, made: list[tuple[int, int]]) -> None:
    if not made:
        raise UnaccountedTask("a scheduled task was never asked", task=str(task))
    if sorted(attempt for attempt, _ in made) != list(range(len(made))):
        raise UnaccountedTask("a task's attempts are not numbered without gaps", task=str(task))
    completed = [attempt for attempt, status in made if status == STATUS_CODES["COMPLETED"]]
    if completed and completed != [len(made) - 1]:
        raise UnaccountedTask("a task was asked again after it had been answered", task=str(task))


def _check_roles(content: Content) -> None:
    for row in content.rows or ():
        expected = RUN_KINDS.get(content.kinds.get(row.task, ""), "none")
        if row.value.role != expected:
            raise DecoyScored(f"task {row.task} is counted as {row.value.role}, registered as {expected}", task=str(row.task))


def check_regraded(content: Content) -> None:
    """Grade every opened transcript again, with the registered graders.

    Raises:
        GraderDigestMismatch: a task's grader is not the registered one.
        ScoreMismatch: a grade differs from the committed one.
    """
    registered = {(item.name): item.digest for item in content.registration.graders}
    grades = {(row.task, row.arm, row.epoch): row.value for row in content.rows or ()}
    seen: set[tuple[int, str, int]] = set()
    for transcript in content.answered:
        place = content.places.get(transcript.promise)
        if place is None:
            raise UnaccountedTask("a transcript belongs to no scheduled task", promise=str(transcript.promise))
        task = place[0]
        name = content.graders[task]
        if registered.get(name) != grader_digest(name):
            raise GraderDigestMismatch("a task's grader is not the registered one", task=str(task), grader=name)
        regraded = grade(content.targets[task], content.prompts[task], transcript.result)
        committed = grades[place]
        if (regraded.outcome, regraded.score) != (committed.outcome, committed.score):
            raise ScoreMismatch("a grade does not follow from its transcript", task=str(task))
        seen.add(place)
    for place, value in grades.items():
        if place not in seen and value.outcome not in ("error", "not_run"):
            raise ScoreMismatch("a grade without a transcript", task=str(place[0]))
