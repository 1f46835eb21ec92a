"""The run of the made-up audit: every step of an honest audit in order, each of which a test may drop or change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from attestations.commitments import aux_handle, handle
from attestations.digests import sha256
from attestations.documents.agreement import Agreement
from attestations.documents.asking import request_commitment, result_commitment
from attestations.documents.base import Part, encode, format_time, validated
from attestations.documents.dialogue import ModelRequest, Sampling
from attestations.documents.engagement import (
    CloseStatement,
    RuntimeStatement,
    SessionEnd,
    SessionGrant,
    SessionOpen,
    StatusCounts,
)
from attestations.documents.exchange import (
    Cancel,
    Intent,
    Meter,
    Promise,
    Quota,
    Record,
    Refusal,
    Response,
    TokenBudget,
    Usage,
    seed_commitment,
)
from attestations.frames import worker_signature_input
from tests.support.fixed_keys import secret, worker_key
from tests.support.world_agreement import Keys
from tests.support.world_log import Hooks, WorldLog
from tests.support.world_suite import Task, suite_key

BOOT = "boot-1"
BUDGET = TokenBudget(input_tokens=4096, output_tokens=64)


class _Asked(Part):
    request: ModelRequest


class Exchange(NamedTuple):
    """One exchange of the schedule: which task, which attempt, in which session, and how it ends.

    With a `purpose` it belongs to no task, and `epoch` is its number.
    """

    task: int
    session: int
    epoch: int = 0
    attempt: int = 0
    status: str = "COMPLETED"
    step: int = 0
    arm: str = "as_shipped"
    purpose: str | None = None


@dataclass
class Lane:
    """Where a session stands."""

    next_seq: int = 0
    prev: str = ""


@dataclass
class Opening:
    """What the auditor keeps of an answered exchange."""

    number: int
    session: str
    seq: int
    request: Any
    request_salt: bytes
    result: Any
    result_salt: bytes


@dataclass
class Run:
    """Signs the leaves of the exchanges."""

    agreement: Agreement
    digest: str
    tasks: list[Task]
    exchanges: list[Exchange]
    model: Callable[[Task], Any]
    keys: Keys
    hooks: Hooks
    log: WorldLog
    lanes: dict[str, Lane] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    meter: Meter = field(default_factory=Meter)
    evidence: str = ""
    close_digest: str = ""
    pending: dict[int, tuple[Intent, Promise, str]] = field(default_factory=dict)
    opened: list[Opening] = field(default_factory=list)
    forgetful: bool = False  # for logs too large to keep what a test might want to change
    _requests: dict[int, Any] = field(default_factory=dict)
    _link: bytes = field(default_factory=lambda: suite_key().class_key("C5").link_key())

    def runtime(self) -> None:
        """Log the runtime statement."""
        document = RuntimeStatement(
            agreement=self.digest,
            level="RA0",
            boot=BOOT,
            image="55" * 32,
            backend="scripted",
            hpke_public=encode(worker_key().public),
            worker_public=encode(self.keys.worker.key.public),
            nonce=sha256(bytes.fromhex(self.digest) + BOOT.encode()),
            issued_at=self.log.tick(),
        )
        envelope = self.hooks.sign(("runtime",), document, self.keys.lab_record)
        self.evidence = envelope.digest
        self.log.receipt("runtime", envelope)

    def session(self, number: int) -> None:
        """Open a session."""
        name = f"session-{number}"
        opened = SessionOpen(
            agreement=self.digest,
            session=name,
            nonce=sha256(name.encode()),
            auditor_tls="44" * 32,
            opened_at=self.log.tick(),
        )
        asked = self.hooks.sign(("session-open", f"session-open:{number}"), opened, self.keys.exchange)
        grant = SessionGrant(
            agreement=self.digest,
            session=name,
            open=asked.digest,
            log_index=str(self.log.size),
            granted_at=self.log.tick(),
        )
        granted = self.hooks.sign(("session-grant", f"session-grant:{number}"), grant, self.keys.lab_record)
        self.lanes[name] = Lane(prev=granted.digest)
        self.log.append("session", asked, granted)

    def _intent(self, number: int) -> tuple[Intent, Lane]:
        exchange = self.exchanges[number]
        task, lane = self.tasks[exchange.task], self.lanes[f"session-{exchange.session}"]
        request = self._request(task)
        variant = self.agreement.variants[0]
        sealed = f"sealed-{number}".encode()
        return (
            Intent(
                agreement=self.digest,
                session=f"session-{exchange.session}",
                seq=lane.next_seq,
                prev=lane.prev,
                sealed_digest=sha256(sealed),
                sealed_bytes=1024,
                plaintext_commit=request_commitment(request, self._salt(number)),
                handle=self._handle(exchange),
                variant=variant.id,
                template=variant.template,
                operation=request.operation,
                sampling=validated(Sampling, task.prompt["sampling"]),
                seed_commit=seed_commitment(secret(f"seed {number}")),
                worker_key=sha256(worker_key().public),
                evidence=self.evidence,
                budget_max=BUDGET,
                not_after=format_time(self.log.now + timedelta(seconds=60)),
            ),
            lane,
        )

    def _handle(self, exchange: Exchange) -> str:
        if exchange.purpose is not None:
            return aux_handle(self._link, purpose=exchange.purpose, number=exchange.epoch)
        task, arm, epoch, attempt, step = (
            exchange.task,
            exchange.arm,
            exchange.epoch,
            exchange.attempt,
            exchange.step,
        )
        return handle(self._link, task=task, arm=arm, epoch=epoch, attempt=attempt, step=step)

    def promise(self, number: int) -> None:
        """Log an Intent with its Promise."""
        intent, lane = self._intent(number)
        intent = self.hooks.change(("intent-fields", f"intent-fields:{number}"), intent)
        asked = self.hooks.sign(("intent", f"intent:{number}"), intent, self.keys.exchange)
        variant = self.agreement.variants[0]
        promise = Promise(
            agreement=self.digest,
            session=intent.session,
            seq=intent.seq,
            intent=asked.digest,
            log_index=str(self.log.size),
            promised_at=self.log.tick(),
            reveal_by=format_time(self.log.now + timedelta(seconds=60)),
            respond_by=format_time(self.log.now + timedelta(seconds=660)),
            manifest=variant.manifest,
            variant=variant.digest(),
            evidence=self.evidence,
            quota_left=Quota(requests="1", input_tokens="1", output_tokens="1"),
        )
        promised = self.hooks.sign(("promise", f"promise:{number}"), promise, self.keys.lab_record)
        self.log.append("promise", asked, promised)
        lane.next_seq = intent.seq + 1
        self.counts["promised"] += 1
        self.pending[number] = (intent, promise, promised.digest)

    def refusal(self, number: int) -> None:
        """Log an Intent that the lab refuses."""
        intent, lane = self._intent(number)
        asked = self.hooks.sign(("intent", f"intent:{number}"), intent, self.keys.exchange)
        refusal = Refusal(
            agreement=self.digest,
            session=intent.session,
            seq=intent.seq,
            intent=asked.digest,
            log_index=str(self.log.size),
            reason="RATE_LIMITED",
            refused_at=self.log.tick(),
        )
        refused = self.hooks.sign(("refusal", f"refusal:{number}"), refusal, self.keys.lab_record)
        self.log.append("refusal", asked, refused)
        lane.next_seq, lane.prev = intent.seq + 1, refused.digest
        self.counts["refusals"] += 1

    def record(self, number: int) -> None:
        """Log the Record of a Promise."""
        exchange = self.exchanges[number]
        intent, promise, digest = self.pending.pop(number) if self.forgetful else self.pending[number]
        answered = exchange.status == "COMPLETED"
        usage = Usage(input_tokens=12 * answered, cached_tokens=0, output_tokens=4 * answered, reasoning_tokens=0)
        before = self.meter
        after = Meter(
            requests=str(int(before.requests) + 1),
            input_tokens=str(int(before.input_tokens) + usage.input_tokens),
            output_tokens=str(int(before.output_tokens) + usage.output_tokens),
        )
        started = self.log.tick(0.01)
        record = Record(
            agreement=self.digest,
            session=intent.session,
            seq=intent.seq,
            promise=digest,
            log_index=str(self.log.size),
            status=exchange.status,  # type: ignore[arg-type]
            code=None if answered else "BACKEND_FAILED",
            response=self._response(number, intent) if answered else None,
            finish_reason="stop" if answered else None,
            usage=usage,
            meter_before=before,
            meter_after=after,
            started_at=started,
            finished_at=self.log.tick(),
            manifest=promise.manifest,
            variant=promise.variant,
            worker="worker-1",
            redeliver_until=format_time(self.log.now + timedelta(days=1)),
        )
        labels = ("record", f"record:{number}")
        envelope = self.hooks.sign(labels, record, self.keys.lab_record)
        documents = [envelope]
        if exchange.status == "CANCELLED_BY_AUDITOR":
            cancel = Cancel(agreement=self.digest, session=intent.session, seq=intent.seq, promise=digest)
            documents.insert(0, self.hooks.sign(("cancel", f"cancel:{number}"), cancel, self.keys.exchange))
        self.log.append("record", *documents)
        self.lanes[intent.session].prev = envelope.digest
        self.counts[exchange.status] += 1
        changed = self.hooks.change(labels, record)
        self.meter = after if isinstance(changed, bytes) else changed.meter_after

    def _salt(self, number: int) -> bytes:
        salt: bytes = self.hooks.change((f"salt:{number}",), secret(f"salt {number}"))
        return salt

    def _request(self, task: Task) -> Any:
        if task.i not in self._requests:
            self._requests[task.i] = validated(_Asked, {"request": task.prompt["request"]}).request
        return self._requests[task.i]

    def _response(self, number: int, intent: Intent) -> Response:
        task = self.tasks[self.exchanges[number].task]
        result = self.model(task)
        salt = self.hooks.change((f"answer-salt:{number}",), secret(f"answer {number}"))
        commitment = result_commitment(result, salt)
        root = sha256(b"frames of %d" % number)
        signed = worker_signature_input(
            agreement=self.digest,
            session=intent.session,
            seq=intent.seq,
            frames_root=root,
            frames=1,
            result_commitment=commitment,
        )
        self.opened.append(
            Opening(number, intent.session, intent.seq, task.prompt["request"], self._salt(number), result, salt)
        )
        return Response(
            frames=1, frames_root=root, commitment=commitment, worker_signature=encode(self.keys.worker.sign(signed))
        )

    def close(self) -> None:
        """Log the close statement."""
        counts = self.counts
        document = CloseStatement(
            agreement=self.digest,
            sessions=tuple(SessionEnd(session=name, next_seq=lane.next_seq) for name, lane in self.lanes.items()),
            tree_size=str(self.log.size),
            root=self.log.root().hex(),
            counts=StatusCounts(
                promised=str(counts["promised"]),
                completed=str(counts["COMPLETED"]),
                refused_policy=str(counts["REFUSED_POLICY"]),
                error=str(counts["ERROR"]),
                timeout=str(counts["TIMEOUT"]),
                cancelled=str(counts["CANCELLED_BY_AUDITOR"]),
                aborted_crash=str(counts["ABORTED_CRASH"]),
                refusals=str(counts["refusals"]),
            ),
            meter=self.meter,
            closed_at=self.log.tick(),
        )
        envelope = self.hooks.sign(("close",), document, self.keys.lab_record, self.keys.exchange)
        if not self.close_digest:
            changed = self.hooks.change(("close",), document)
            self.close_document = document if isinstance(changed, bytes) else changed
            self.close_digest = envelope.digest
        self.log.receipt("close", envelope)
        self.log.seen("RUN_CLOSED")
