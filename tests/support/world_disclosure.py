"""What the auditor of the made-up audit does once the run is closed: grades, packages, releases, attestations."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from attestations.assurance import Facts, derive
from attestations.bundle import build_bundle
from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import SuiteKey, TaskLeaf, commit_task
from attestations.deviations import declared, headline_of
from attestations.digests import sha256
from attestations.documents.base import Document, encode, format_time, parse_time
from attestations.documents.engagement import (
    DeliveryReceipt,
    GradeCommitment,
    Package,
    PackageManifest,
    PolicyEvent,
    Release,
)
from attestations.documents.planning import AnalysisPlan
from attestations.envelope import Envelope, sign
from attestations.errors import SafeconductError
from attestations.grades import GradeRow, GradeValue, grouping
from attestations.grading import grade, needs_judge
from attestations.judged import Verdict
from attestations.keys import Signer
from attestations.ledger import Deviation
from attestations.marks import marks
from attestations.measures import compute_measures
from attestations.merkle import leaf_hash, merkle_root
from attestations.packages import seal_package
from attestations.policy.calendar import business_days_between
from attestations.policy.evaluate import Bounds, evaluate
from attestations.predicate import PREDICATE_TYPE, SUBJECT_MANIFEST, SUBJECT_VARIANT, Measure, Result, Validity
from attestations.results import compute_canary, compute_controls, compute_results, count_judged
from attestations.statement import PAYLOAD_TYPE, STATEMENT_TYPE
from attestations.statements import open_statement
from attestations.views import released_view
from tests.support.world_run import Run
from tests.support.world_suite import ANSWERED, Task, task_chunk
from tests.support.world_views import Closed, view_lines

ORDER = ("C2", "C3", "C5", "C6", "C7", "C8", "C9")


@dataclass
class Disclosure:
    """Grades, seals and releases what a run gave."""

    run: Run
    tasks: list[Task]
    plan: AnalysisPlan
    key: SuiteKey
    epochs: int = 1
    witnesses: Sequence[tuple[str, Signer]] = ()
    left_out: frozenset[int] = frozenset()  # scored tasks that were not drawn
    rows: list[GradeRow] = field(default_factory=list)
    leaves: list[TaskLeaf] = field(default_factory=list)
    packages: dict[str, bytes] = field(default_factory=dict)
    manifest: PackageManifest | None = None
    manifest_digest: str = ""
    registration_digest: str = ""
    suite_root: str = ""
    registered_at: str = ""
    registered_index: str = "0"
    results: tuple[Result, ...] = ()
    validity: Validity | None = None
    measures: tuple[Measure, ...] = ()
    grades_index: int | None = None
    views: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    released: dict[tuple[str, str], str] = field(default_factory=dict)

    def grade(self) -> None:
        """Grade every answer and log the commitment."""
        run, hooks = self.run, self.run.hooks
        answers = {}
        attempts: Counter[tuple[int, int]] = Counter()
        for exchange in run.exchanges:
            attempts[exchange.task, exchange.epoch] += exchange.purpose is None and exchange.step == 0
        for opening in run.opened:
            exchange = run.exchanges[opening.number]
            if exchange.purpose is None:
                answers[exchange.task, exchange.epoch] = opening.result
        rows = [
            self._grade(task, epoch, answers.get((task.i, epoch)), attempts[task.i, epoch])
            for task in self.tasks
            for epoch in range(self.epochs)
        ]
        self.rows = hooks.change(("rows",), rows)
        grades: dict[int, dict[str, tuple[str, Any]]] = {task.i: {} for task in self.tasks}
        for row in self.rows:
            grades[row.task][f"grade/{row.arm}/{row.epoch}"] = ("C3", row.value.json_value())
        self.leaves = [commit_task(self.key, i, fields) for i, fields in grades.items()]
        document = GradeCommitment(
            agreement=run.digest,
            root=merkle_root(leaf_hash(leaf.to_bytes()) for leaf in self.leaves).hex(),
            tasks=len(self.leaves),
            committed_at=run.log.tick(),
        )
        self.grades_index = run.log.size
        run.log.receipt("grades", hooks.sign(("grades",), document, run.keys.publication))

    def _grade(self, task: Any, epoch: int, answer: Any, attempts: int) -> GradeRow:
        if task.kind not in ANSWERED or task.i in self.left_out:
            value = GradeValue(outcome="not_run", score="0", role="none", attempts=0)
        elif answer is None:
            value = GradeValue(outcome="error", score="0", role=task.kind, attempts=attempts)
        else:
            # The judge of this world finds every second essay right.
            said: Verdict | None = (
                ("correct", "incorrect")[task.i // 2 % 2] if needs_judge(task.target, answer) else None
            )
            graded = grade(task.target, task.prompt, answer, verdict=said)
            shown = marks(task.target, task.prompt, (task.get("metadata"), task.get("answerMetadata")), answer)
            value = GradeValue(
                outcome=graded.outcome,
                score=graded.score,
                role=task.kind,
                attempts=attempts,
                confidence=shown.confidence,
                brier=shown.brier,
                bias=shown.bias,
                judged=None if said is None else True,
            )
        return GradeRow(task.i, "as_shipped", epoch, str(task.category), value, *grouping(task.get("metadata")))

    def seal(self) -> None:
        """Seal every package and log the manifest."""
        hooks, packages = self.run.hooks, []
        self.results = compute_results(self.plan, self.rows, ("as_shipped",))
        self.measures = hooks.change(("measures",), compute_measures(self.plan, self.rows, ("as_shipped",)))
        self.validity = Validity(
            controls=compute_controls(self.plan, self.rows),
            sandbagging="notAssessed",
            canary=compute_canary(self.rows),
            judged=count_judged(self.rows),
            deviations=tuple(deviation.digest for deviation in self._deviations()),
        )
        self.results = hooks.change(("results",), self.results)
        self.validity = hooks.change(("validity",), self.validity)
        for content_class in ORDER:
            chunks = hooks.change((f"chunks:{content_class}",), list(self._chunks(content_class)))
            if not chunks:
                continue
            class_key = self.key.class_key(content_class)
            sealed = seal_package(class_key, chunks)
            data = hooks.change((f"package:{content_class}",), b"".join(sealed.file_blocks()))
            self.packages[content_class] = data
            packages.append(
                Package(
                    content_class=content_class,  # type: ignore[arg-type]
                    chunks=sealed.n,
                    ciphertext_root=sealed.ciphertext_root,
                    key_root=sealed.key_root,
                    key_commitment=class_key.commitment(),
                    file_bytes=str(len(data)),
                    file_digest=hashlib.sha256(data).hexdigest(),
                )
            )
        self.manifest = PackageManifest(
            agreement=self.run.digest, packages=tuple(packages), sealed_at=self.run.log.tick()
        )
        envelope = hooks.sign(("manifest",), self.manifest, self.run.keys.publication)
        self.manifest_digest = envelope.digest
        self.run.log.receipt("manifest", envelope)

    def _chunks(self, content_class: str) -> Iterator[bytes]:
        run = self.run
        if content_class == "C2":
            shown = [dump(result) for result in self.results if result.content_class == "C2"]
            measures = [dump(item) for item in self.measures if item.content_class == "C2"]
            sealed = {"plan": self.plan.json_value(), "results": shown, "validity": dump(self.validity)}
            yield canonical_bytes(sealed | ({"measures": measures} if measures else {}))
        elif content_class == "C7":
            for opening in run.opened:
                yield canonical_bytes(
                    {
                        "request": opening.request,
                        "request_salt": encode(opening.request_salt),
                        "result": parse_canonical(opening.result.to_bytes()),
                        "result_salt": encode(opening.result_salt),
                        "seq": opening.seq,
                        "session": opening.session,
                    }
                )
        else:
            grades: dict[int, dict[str, Any]] = {}
            for row in self.rows if content_class == "C3" else ():
                grades.setdefault(row.task, {})[f"grade/{row.arm}/{row.epoch}"] = row.value.json_value()
            for task in self.tasks:
                yield task_chunk(task.i, task.of_class(content_class) | grades.get(task.i, {}))

    def deliver(self) -> None:
        """Log the lab's receipt for the packages."""
        run = self.run
        receipt = DeliveryReceipt(agreement=run.digest, manifest=self.manifest_digest, delivered_at=run.log.tick())
        run.log.receipt("delivery", run.hooks.sign(("delivery",), receipt, run.keys.lab_record))
        run.log.seen("DELIVERED")

    def event(self, name: str, argument: str | None = None, **extra: Any) -> None:
        """Log a statement of the lab's that the policy waits for."""
        run = self.run
        document = PolicyEvent(agreement=run.digest, event=name, argument=argument, stated_at=run.log.tick(), **extra)
        self.statement(document, run.keys.lab_agreement, labels=("event", f"event:{name}"))

    def state(self, make: Callable[[str, str], Document], *signers: Signer) -> None:
        """Log a statement made from the agreement's digest and the time."""
        document = make(self.run.digest, self.run.log.tick())
        self.statement(document, *signers, labels=("statement",))

    def statement(self, document: Document, *signers: Signer, labels: Sequence[str]) -> None:
        """Log a statement; what it then counts for is the ledger's to say."""
        run, log = self.run, self.run.log
        envelope = run.hooks.sign(labels, document, *signers)
        kind = "event" if isinstance(document, PolicyEvent) else "statement"
        log.receipt(kind, envelope)
        try:
            stated = open_statement(envelope, run.agreement, run.digest)
        except SafeconductError:
            return
        log.took(stated)

    def release(
        self,
        stage: str,
        content_class: str,
        recipient: str,
        closed: Closed | None = None,
        **changes: Any,
    ) -> None:
        """Log one release; with `closed`, field by field."""
        run, log = self.run, self.run.log
        committed: dict[str, str] = {item.content_class: item.key_commitment for item in self._packages()}
        view = None
        if closed is not None:
            lines = view_lines(self, content_class, closed)
            self.views[content_class, recipient] = lines
            view = released_view(lines)
        values: dict[str, Any] = {
            "agreement": run.digest,
            "stage": stage,
            "content_class": content_class,
            "recipient": recipient,
            "manifest": None if content_class == "C1" or self.manifest is None else self.manifest_digest,
            "key_commitment": committed.get(content_class),
            "view": view,
            "after": log.checkpoint(log.size, log.root(), log.now, self.witnesses),
            "released_at": log.tick(),
        }
        document = Release(**(values | changes))
        label = f"release:{content_class}:{recipient}"
        envelope = run.hooks.sign(("release", label), document, run.keys.publication)
        log.receipt("release", envelope, label)
        made = log.released(document, envelope.digest)
        log.seen("RELEASED" if made.meets else "SHOWN", f"{content_class}:{recipient}")
        self.released[content_class, recipient] = envelope.digest
        log.keep(self.witnesses)

    def _deviations(self) -> list[Deviation]:
        ledger = self.run.log.ledger
        return [] if ledger is None else declared(ledger, sha256(self.plan.to_bytes()), self.grades_index)

    def _packages(self) -> Sequence[Package]:
        return () if self.manifest is None else self.manifest.packages

    def attestation(self, stage: str, recipient: str, size: int, *, limited: bool = False) -> tuple[bytes, str]:
        """Return the bundle of a stage over the first `size` leaves, and the digest of its statement."""
        run, hooks, log, agreement = self.run, self.run.hooks, self.run.log, self.run.agreement
        now = log.times[size]
        events = [event for index, event in log.events if index <= size]
        states = evaluate(agreement.policy, events, Bounds(now, now))
        shown = {"S1": (), "S2": ("C2",)}.get(stage, ("C2", "C3")) if not limited else ()
        opened = max(agreement.access.not_before, self.registered_at)
        facts = Facts(
            runtime_level="RA0",
            records_signed=True,
            reconciled=True,
            registered_first=True,
            graders_registered=True,
            policy_signed=True,
            delivered=any(event.name == "DELIVERED" for event in events),
        )
        closed = run.close_document
        predicate = {
            "agreement": {
                "digest": run.digest,
                "policy": sha256(canonical_bytes(agreement.policy.json_value())),
                "publicationControl": agreement.clauses.publication_control,
            },
            "preRegistration": {
                "digest": self.registration_digest,
                "suiteRoot": self.suite_root,
                "tasks": len(self.tasks),
                "logIndex": self.registered_index,
            },
            "arms": ["as_shipped"],
            "runtime": {"level": "RA0", "evidence": [run.evidence]},
            "transcript": {
                "origin": agreement.origin,
                "treeSize": closed.tree_size,
                "root": closed.root,
                "close": run.close_digest,
                "counts": closed.counts.json_value(),
                "usage": closed.meter.json_value(),
                "effectiveAccessBusinessDays": str(
                    business_days_between(parse_time(opened), parse_time(closed.closed_at), frozenset())
                ),
            },
            "results": [dump(result) for result in self.results if result.content_class in shown],
            "validity": dump(self.validity) if shown else None,
            "disclosure": {
                "stage": stage,
                "recipient": recipient,
                "manifest": self.manifest_digest or None,
                "states": [
                    {"class": cls, "to": to, "state": state.value} for (cls, to), state in sorted(states.items())
                ],
            },
            "assurance": derive(facts).model_dump(mode="json", by_alias=True),
            "limitationsText": "This says what was asked and answered, not that a model is safe.",
            "issuedAt": format_time(now),
            "supersedes": None,
        }
        if shown_measures := [dump(item) for item in self.measures if item.content_class in shown]:
            predicate["measures"] = shown_measures
        headline = headline_of(self.plan, self._deviations())
        if headline is not None and shown:
            predicate["headline"] = headline
        variant = agreement.variants[0]
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": f"model/{variant.id}", "digest": {SUBJECT_MANIFEST: variant.manifest}},
                {"name": f"variant/{variant.id}", "digest": {SUBJECT_VARIANT: variant.digest()}},
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": hooks.change(("predicate",), predicate),
        }
        payload = canonical_bytes(hooks.change(("statement",), statement))
        signers = hooks.signers.get("statement", (run.keys.publication,))
        envelope: Envelope = sign(PAYLOAD_TYPE, payload, *signers)
        return build_bundle(envelope, signers[0].key), envelope.digest


def dump(claim: Any) -> Any:
    """Return a claim as plain JSON types."""
    return claim.model_dump(mode="json", by_alias=True)
