"""A whole honest audit in memory, made with the kernel alone; a test breaks exactly one thing in it.

`World()` runs every step of `World.steps` in order. A test edits the steps (drop, repeat, reorder), the
exchanges, the model, the suite, or gives `Hooks` that change a document before it is signed; everything that
follows (indices, chains, counts, roots, the index) is made to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from typing import Any, BinaryIO

from attestations import digests
from attestations.canonical import canonical_bytes
from attestations.commitments import SuiteKey, TaskLeaf, suite_root
from attestations.container import MEMBER_NAMES, Source, write_container
from attestations.documents.agreement import Agreement
from attestations.documents.base import encode, format_time
from attestations.documents.drawing import Draw, DrawRule
from attestations.documents.engagement import (
    Acknowledgement,
    ClassKeyCommitment,
    EvidenceIndex,
    EvidenceMember,
    PreRegistration,
    RegisteredGrader,
    RegisteredSuite,
)
from attestations.documents.planning import AnalysisPlan
from attestations.draw import beacon, draw, draw_seed, share_commitment
from attestations.envelope import sign
from attestations.escrow.holding import LoggedManifest
from attestations.grading import grader_digest
from attestations.keys import Signer
from attestations.ledger import Ledger
from attestations.notes import parse_note
from attestations.policy.model import STAGE_CLASSES
from attestations.trust import Trust
from attestations.verify.engine import Request, verify_path
from attestations.verify.report import Report
from tests.support import world_agreement, world_escrow, world_revisions, world_suite
from tests.support.fixed_keys import secret
from tests.support.world_agreement import Keys
from tests.support.world_disclosure import ORDER, Disclosure
from tests.support.world_log import Hooks, WorldLog
from tests.support.world_run import Exchange, Run
from tests.support.world_suite import Task

Step = tuple[Any, ...]
AGREED_START = datetime(2026, 11, 2, 13, tzinfo=UTC)  # when the log begins
SESSIONS = 4
STAGES = ("S1", "S2", "S3", "S4", "S5")
# When what is released to whom, under the standard policy: neither early nor late.
CALENDAR: tuple[tuple[datetime, str, str], ...] = (
    (datetime(2026, 11, 5, 9, tzinfo=UTC), "S1", "REGULATOR"),
    (datetime(2026, 11, 5, 10, tzinfo=UTC), "S1", "PUBLIC"),
    (datetime(2026, 11, 6, 9, tzinfo=UTC), "S2", "REGULATOR"),
    (datetime(2026, 11, 9, 9, tzinfo=UTC), "S3", "REGULATOR"),
    (datetime(2026, 11, 20, 9, tzinfo=UTC), "S4", "REGULATOR"),
    (datetime(2026, 11, 23, 9, tzinfo=UTC), "S5", "REGULATOR"),
    (datetime(2026, 12, 4, 9, tzinfo=UTC), "S2", "PUBLIC"),
    (datetime(2026, 12, 7, 9, tzinfo=UTC), "S3", "PUBLIC"),
    (datetime(2027, 11, 8, 9, tzinfo=UTC), "S4", "PUBLIC"),
)


def exchanges(tasks: Sequence[Task], epochs: int = 1) -> list[Exchange]:
    """Return the honest schedule: every task that is sent, once an epoch, over all sessions."""
    places = [(task.i, epoch) for task in tasks if task.kind in world_suite.ANSWERED for epoch in range(epochs)]
    return [Exchange(task, number % SESSIONS, epoch) for number, (task, epoch) in enumerate(places)]


def run_steps(count: int) -> list[Step]:
    """Return the steps up to the close, with every session at work at once."""
    steps: list[Step] = [("register",), ("runtime",), *(("session", n) for n in range(min(SESSIONS, count)))]
    for first in range(0, count, SESSIONS):
        together = range(first, min(first + SESSIONS, count))
        steps += [("promise", n) for n in together] + [("record", n) for n in together]
    return [*steps, ("close",)]


def disclosure_steps() -> list[Step]:
    """Return the steps after the close."""
    steps: list[Step] = [("until", datetime(2026, 11, 4, 9, tzinfo=UTC)), ("grade",), ("seal",), ("deliver",)]
    for at, stage, recipient in CALENDAR:
        steps.append(("until", at))
        steps += [("release", stage, content_class, recipient) for content_class in STAGE_CLASSES[stage]]
    return steps


@dataclass
class World:
    """One audit; fields are what a test may change before `build`, which `evidence` calls."""

    tasks: list[Task] = field(default_factory=lambda: world_suite.make_tasks(40))
    epochs: int = 1
    exchanges: list[Exchange] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    hooks: Hooks = field(default_factory=Hooks)
    keys: Keys = field(default_factory=world_agreement.keys)
    agreement: Agreement = field(default_factory=world_agreement.agreement)
    model: Callable[[Task], Any] = world_suite.model
    plan: AnalysisPlan | None = None
    key: SuiteKey = field(default_factory=world_suite.suite_key)
    witnesses: Sequence[tuple[str, Signer]] = ()
    stream: BinaryIO = field(default_factory=BytesIO)
    forgetful: bool = False
    asked: list[Task] | None = None  # what is really sent, if it is not `tasks`
    draw: int | None = None  # how many of the scored tasks are drawn; None asks all
    attested: dict[tuple[str, str], str] = field(default_factory=dict)
    only: tuple[str, ...] | None = None  # the classes the file says it shows
    tlp: str | None = None  # the label of the file
    trust: Trust | None = None
    escrowed: dict[str, LoggedManifest] = field(default_factory=dict)
    _built: bool = False

    def __post_init__(self) -> None:
        bank = world_suite.bank(self.tasks)
        # Until the draw says which, as many of the bank as will be drawn stand for those that will.
        self.exchanges = self.exchanges or exchanges(self._without(bank[self.draw :]), self.epochs)
        self.steps = self.steps or [*run_steps(len(self.exchanges)), *disclosure_steps()]
        if self.draw is not None and ("draw",) not in self.steps:
            self.steps.insert(self.steps.index(("runtime",)) + 1, ("draw",))

    def _without(self, left_out: Sequence[int]) -> list[Task]:
        return [task for task in self.tasks if self.draw is None or task.i not in left_out]

    def build(self) -> World:
        """Run every step, once."""
        if self._built:
            return self
        self._built = True
        agreement = self.agreement
        self.envelope = self.hooks.sign(("agreement",), agreement, self.keys.lab_agreement, self.keys.agreement)
        plan = self.plan or world_suite.plan(self.tasks, **({} if self.draw is None else {"scoredTasks": self.draw}))
        start = AGREED_START
        skew, digest = agreement.timing.skew_seconds, self.envelope.digest
        self.log = WorldLog(
            keys=self.keys, hooks=self.hooks, start=start, origin=agreement.origin, skew=skew, stream=self.stream
        )
        self.log.agreement, self.log.ledger = digest, Ledger(agreement)
        self.run = Run(
            agreement=agreement,
            digest=digest,
            tasks=self.asked or self.tasks,
            exchanges=self.exchanges,
            model=self.model,
            keys=self.keys,
            hooks=self.hooks,
            log=self.log,
            forgetful=self.forgetful,
        )
        self.disclosure = Disclosure(self.run, self.tasks, plan, self.key, self.epochs, self.witnesses)
        for step in self.steps:
            self._step(step)
        return self

    def build_with(self, asked: list[Task]) -> None:
        """Build an audit in which other tasks are asked than were committed to."""
        self.asked = asked
        self.build()

    def _step(self, step: Step) -> None:
        name, *rest = step
        if name == "until":
            self.log.now = rest[0]
        elif name == "register":
            self._register()
        elif name in {"escrow", "escrow_verified"}:
            getattr(world_escrow, name)(self, *rest)
        elif name in {"amend", "terminate"}:
            getattr(world_revisions, name)(self.run, *rest)
        elif name == "draw":
            self._draw()
        elif name in {"grade", "seal", "deliver", "release", "event", "state"}:
            changes = rest.pop() if rest and isinstance(rest[-1], dict) else {}
            getattr(self.disclosure, name)(*rest, **changes)
        else:
            getattr(self.run, name)(*rest)

    def _register(self) -> None:
        self.leaves: Sequence[TaskLeaf] = world_suite.commit(self.tasks)
        graders = sorted({str(task.fields["graderRef"][1]) for task in self.tasks if task.kind != "decoy"})
        document = PreRegistration(
            agreement=self.run.digest,
            suite=RegisteredSuite(id=self.key.suite_id, root=suite_root(self.leaves), tasks=len(self.leaves)),
            class_keys=tuple(
                ClassKeyCommitment(content_class=cls, commitment=self.key.class_key(cls).commitment())  # type: ignore[arg-type]
                for cls in ORDER
            ),
            plan=digests.sha256(self.disclosure.plan.to_bytes()),
            graders=tuple(RegisteredGrader(name=name, version="1", digest=grader_digest(name)) for name in graders),
            arms=("as_shipped",),
            epochs=self.epochs,
            max_attempts=3,
            draw=None if self.draw is None else self._draw_rule(),
            registered_at=self.log.tick(),
        )
        envelope = self.hooks.sign(("registration",), document, self.keys.publication)
        disclosure = self.disclosure
        disclosure.registration_digest, disclosure.suite_root = envelope.digest, document.suite.root
        disclosure.registered_at, disclosure.registered_index = document.registered_at, str(self.log.size)
        commit = {} if self.draw is None else {"share_commit": share_commitment(secret("lab's share"))}
        self.log.receipt("registration", envelope, **commit)
        self.log.seen("REGISTERED")

    def _draw_rule(self) -> DrawRule:
        commit = share_commitment(secret("auditor's share"))
        return DrawRule(bank=len(world_suite.bank(self.tasks)), drawn=self.draw or 0, share_commit=commit)

    def _draw(self) -> None:
        log, now = self.log, self.log.now
        note = log.checkpoint(log.size, log.root(), now, self.witnesses)
        document = Draw(
            agreement=self.run.digest,
            registration=self.disclosure.registration_digest,
            share=encode(secret("auditor's share")),
            beacon=self.hooks.change(("beacon",), note),
            drawn_at=log.tick(),
        )
        envelope = self.hooks.sign(("draw",), document, self.keys.publication)
        log.receipt("draw", envelope, share=encode(secret("lab's share")))
        seed = draw_seed(
            suite_root=self.disclosure.suite_root,
            auditor_share=secret("auditor's share"),
            lab_share=secret("lab's share"),
            beacon=beacon(parse_note(note), self.agreement)[0],
        )
        bank = world_suite.bank(self.tasks)
        chosen = self.hooks.change(("chosen",), draw(seed, bank, self.draw or 0))
        self.disclosure.left_out = frozenset(bank) - frozenset(chosen)
        self.exchanges[:] = exchanges(self._without(list(self.disclosure.left_out)), self.epochs)

    def size_at(self, stage: str, recipient: str) -> int:
        """Return the size of the log once everything of a stage was released to a recipient, else its whole size."""
        wanted = {f"{cls}:{recipient}" for cls in STAGE_CLASSES[stage]}
        sizes = [
            size for size, seen in self.log.events if seen.name in ("RELEASED", "SHOWN") and seen.argument in wanted
        ]
        return max(sizes, default=self.log.size)

    def members(self, stage: str, recipient: str, *, size: int | None = None) -> dict[str, bytes]:
        """Return every member of a stage's evidence file but the index."""
        log, disclosure = self.build().log, self.disclosure
        size = self.size_at(stage, recipient) if size is None else size
        closed = bool(self.run.close_digest)  # without a close there is nothing to attest
        bundle, attested = b"", "00" * 32
        if closed:
            bundle, attested = disclosure.attestation(stage, recipient, size, limited=self.only is not None)
        self.attested[stage, recipient] = attested
        shown = [cls for wanted in STAGES[: STAGES.index(stage) + 1] for cls in STAGE_CLASSES[wanted]]
        views = {
            cls: lines
            for (cls, to), lines in sorted(disclosure.views.items())
            if to == recipient and cls in (*shown, "C9") and (self.only is None or cls in self.only)
        }
        shown = [cls for cls in shown if cls not in views and (self.only is None or cls in self.only)]
        keys = {cls: self.key.class_key(cls).secret.hex() for cls in shown if cls in disclosure.packages}
        note = log.checkpoint(size, log.roots[size], log.times[size], self.witnesses)
        members = {
            "attestation.sigstore.json": bundle,
            "agreement.dsse.json": self.envelope.to_bytes(),
            "checkpoint.txt": note.encode(),
            "log.jsonl": log.prefix(size) if isinstance(self.stream, BytesIO) else b"",
            "suite-leaves.jsonl": world_suite.lines(self.leaves),
            "grade-leaves.jsonl": world_suite.lines(disclosure.leaves),
            **{f"packages/{cls}.sealed": data for cls, data in disclosure.packages.items() if cls != "C9"},
            "acknowledgement.dsse.json": self._acknowledgement(attested),
        }
        kept = [canonical_bytes(text) + b"\n" for at, text in log.kept if at <= size]
        for name in ("grade-leaves.jsonl", "attestation.sigstore.json"):
            if not members[name]:
                del members[name]
        if views:
            members["view.jsonl"] = b"".join(line + b"\n" for lines in views.values() for line in lines)
        if kept:
            members["checkpoints.jsonl"] = b"".join(kept)
        if keys:
            members["keys.json"] = canonical_bytes(keys)
        return members

    def _acknowledgement(self, attested: str) -> bytes:
        document = Acknowledgement(
            agreement=self.run.digest, attestation=attested, acknowledged_at=format_time(self.log.now)
        )
        return self.hooks.sign(("acknowledgement",), document, self.keys.lab_agreement).to_bytes()

    def index(self, members: Mapping[str, bytes], stage: str, recipient: str) -> bytes:
        """Return the signed index of members."""
        document = EvidenceIndex(
            agreement=self.run.digest,
            stage=stage,  # type: ignore[arg-type]
            recipient=recipient,
            classes=self.only,  # type: ignore[arg-type]
            tlp=self.tlp,  # type: ignore[arg-type]
            attestation=self.attested[stage, recipient],
            members=tuple(
                EvidenceMember(name=name, bytes=str(len(members[name])), digest=sha256(members[name]).hexdigest())
                for name in MEMBER_NAMES
                if name in members
            ),
            issued_at=format_time(self.log.now),
        )
        return self.hooks.sign(("index",), document, self.keys.publication).to_bytes()

    def evidence(
        self,
        stage: str = "S5",
        recipient: str = "REGULATOR",
        *,
        size: int | None = None,
        change: Callable[[dict[str, bytes]], None] | None = None,
    ) -> bytes:
        """Return an evidence file; `change` edits its members before the auditor's index is made."""
        members = self.members(stage, recipient, size=size)
        if change is not None:
            change(members)
        return packed({"index.dsse.json": self.index(members, stage, recipient), **members})

    def verify(
        self, stage: str = "S5", recipient: str = "REGULATOR", *, request: Request | None = None, **options: Any
    ) -> Report:
        """Verify a stage's evidence file with the usual trust file."""
        return check(self.evidence(stage, recipient, **options), trust=self.trust, request=request)


def packed(members: Mapping[str, bytes]) -> bytes:
    """Return members as an archive of the one form."""
    out = BytesIO()
    write_container(out, [_source(name, members[name]) for name in MEMBER_NAMES if name in members])
    return out.getvalue()


def _source(name: str, data: bytes) -> Source:
    return Source(name, lambda: BytesIO(data))


def check(data: bytes, *, trust: Trust | None = None, request: Request | None = None) -> Report:
    """Verify the bytes of an evidence file."""
    return verify_path(BytesIO(data), trust or world_agreement.trust(), request or Request())


__all__ = ["Exchange", "Hooks", "World", "check", "packed", "sign"]
