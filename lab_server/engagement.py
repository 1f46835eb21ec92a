"""One agreement in force: its keys, log, budget, phase and sessions, all of which follow from what the store holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field

from attestations.canonical import parse_canonical
from attestations.digests import sha256
from attestations.documents.agreement import Agreement, Variant
from attestations.documents.base import decode, format_time, parse_time
from attestations.documents.disclosing import Abort
from attestations.documents.engagement import RuntimeStatement, SessionGrant, StatusCounts
from attestations.documents.escrow import EscrowManifest
from attestations.documents.exchange import Intent, Promise, Record
from attestations.documents.finetuning import VariantDestroyed
from attestations.documents.negotiation import Termination
from attestations.envelope import Envelope
from attestations.errors import LogRollback, PhaseViolation, SessionUnknown
from attestations.following import around, follow
from attestations.keys import EnrolledKey, KeyUse
from attestations.ledger import Ledger
from attestations.log_entries import Kind, LogEntry, parse_entry
from attestations.negotiation.thread import InForce
from attestations.policy.evaluate import Bounds
from attestations.states import PHASES, Exchange, Phase, PhaseEvent, advance
from attestations.training import TrainingLedger
from lab_server.budget import BudgetBook
from lab_server.log import EngagementLog
from lab_server.ports import StoredFrame, StoredLeaf

_AUDITOR_USES = (KeyUse.AGREEMENT, KeyUse.EXCHANGE, KeyUse.COSIGN, KeyUse.PUBLICATION)
STATUSES = ("COMPLETED", "REFUSED_POLICY", "ERROR", "TIMEOUT", "CANCELLED_BY_AUDITOR", "ABORTED_CRASH")
_OPEN = frozenset({Phase.AGREED, Phase.PREREGISTERED, Phase.RUNNING, Phase.CLOSING, Phase.ABORT_CLOSING})
Published = Envelope | StoredFrame


@dataclass
class OpenExchange:
    """A Promise that waits for its Record, and what has been sent for it so far."""

    intent: Intent
    intent_digest: str
    promise: Envelope
    terms: Promise
    boot: str = "none"  # of the worker that was asked
    state: Exchange = Exchange.PROMISED
    published: list[Published] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    overdue: asyncio.TimerHandle | None = None

    @property
    def revealed(self) -> bool:
        """Whether the model may have begun."""
        return self.state is Exchange.REVEALED

    def publish(self, *items: Published) -> None:
        """Show a waiting stream what came."""
        self.published.extend(items)
        self.changed.set()


@dataclass
class Session:
    """One sequential lane."""

    name: str
    next_seq: int
    prev: str
    open: OpenExchange | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Runtime:
    """The statement of one boot of the worker, and the weights it serves for each variant."""

    boot: str
    envelope: Envelope
    hpke_digest: str
    manifests: Mapping[str, str]


class Engagement:
    """The state of one agreement in force."""

    def __init__(self, *, envelope: Envelope, agreement: Agreement, log: EngagementLog) -> None:
        self.envelope = envelope
        self.agreement = agreement
        self.digest = envelope.digest
        self.log = log
        log.only = "registration"
        self.in_force = InForce(envelope.digest, agreement)
        self.ending: Termination | None = None
        self.book = BudgetBook(agreement.budget)
        self.phase = Phase.AGREED
        self.sessions: dict[str, Session] = {}
        self.opens: dict[str, str] = {}  # digest of a session-open document -> session
        self.runtimes: dict[str, Runtime] = {}  # by boot, those of this process
        self.evidence: dict[str, str] = {}  # runtime statement in the log -> digest of its HPKE key
        self.counts = dict.fromkeys(STATUSES, 0)
        self.promised = 0
        self.refusals = 0
        self.unrevealed = 0
        self.registration: Envelope | None = None
        self.draw: Envelope | None = None
        self.receipts: dict[str, Envelope] = {}  # digest of a logged document -> its receipt
        self.close: Envelope | None = None  # our statement, until both have signed it
        self.manifest: Envelope | None = None
        self.delivery: Envelope | None = None
        self.ledger = Ledger(agreement)
        self.escrow: dict[str, Envelope] = {}  # class -> the manifest in force
        self.delivering = asyncio.Lock()  # one delivery at a time
        self.change = asyncio.Lock()  # one step of phase, session or runtime at a time
        self.auditor_keys: dict[KeyUse, EnrolledKey] = {use: agreement.auditor_key(use) for use in _AUDITOR_USES}
        self.known: tuple[EnrolledKey, ...] = agreement.signing_keys()
        self._variant_digests: dict[str, str] = {}
        self.training = TrainingLedger()
        self.destroyed: set[str] = set()  # derived variants whose destruction is logged
        self.forgotten = False  # the worker keeps nothing of this engagement any more

    @property
    def open_exchanges(self) -> list[tuple[Session, OpenExchange]]:
        """Every Promise that waits for its Record."""
        return [(session, session.open) for session in self.sessions.values() if session.open is not None]

    @property
    def run_closed(self) -> bool:
        """Whether the run's end stands in the log: nothing more is asked of any model."""
        return self.phase not in _OPEN

    def variant(self, name: str) -> Variant | None:
        """Return the variant of this name: one that was agreed, or one that a fine-tune job has made."""
        return self.training.variant(self.agreement, name)

    def variant_digest(self, variant: Variant) -> str:
        """Return a variant's digest, computed once."""
        if variant.id not in self._variant_digests:
            self._variant_digests[variant.id] = variant.digest()
        return self._variant_digests[variant.id]

    def training_waiting(self) -> dict[tuple[str, int], int]:
        """Return the training tokens that open Promises may still use, by their places."""
        intents = [pending.intent for _, pending in self.open_exchanges]
        return {
            (intent.session, intent.seq): intent.budget_max.input_tokens
            for intent in intents
            if intent.operation == "fine_tune" and intent.budget_max.input_tokens
        }

    def session(self, name: str) -> Session:
        """Return an open session, or raise `SessionUnknown`."""
        session = self.sessions.get(name)
        if session is None:
            raise SessionUnknown("no such session is open", agreement=self.digest)
        return session

    def move(self, event: PhaseEvent) -> None:
        """Go to the phase that follows, or raise `PhaseViolation`."""
        self.phase = advance(PHASES, self.phase, event)
        self.log.only = "close" if self.phase in (Phase.CLOSING, Phase.ABORT_CLOSING) else None

    def logged(self, kind: Kind, document: Envelope, receipt: Envelope) -> None:
        """Keep the receipt of a document that now stands in the log, and what the document says of disclosure."""
        self.receipts[document.digest] = receipt
        follow(self.ledger, LogEntry(kind, (document, receipt)), self.digest)

    def now(self) -> Bounds:
        """Return the bounds of the present."""
        return around(format_time(self.log.time()), self.ledger)

    def check_open(self) -> None:
        """Raise `PhaseViolation` where no session and no exchange may begin."""
        if self.phase not in (Phase.PREREGISTERED, Phase.RUNNING):
            raise PhaseViolation(f"nothing begins in {self.phase.value}", state=self.phase.value)
        if self.ending is not None and parse_time(self.ending.effective_at) <= self.log.time():
            raise PhaseViolation("the agreement has ended", state="TERMINATED")

    def amend(self, envelope: Envelope) -> None:
        """Go on under an amendment that stands in the log; the engagement keeps its name, keys, models and log."""
        self.agreement = Agreement.parse(envelope.payload)
        self.in_force = InForce(envelope.digest, self.agreement)
        self.book.budget = self.agreement.budget

    def status_counts(self) -> StatusCounts:
        """Return how the Promises ended."""
        counts = self.counts
        return StatusCounts(
            promised=str(self.promised),
            completed=str(counts["COMPLETED"]),
            refused_policy=str(counts["REFUSED_POLICY"]),
            error=str(counts["ERROR"]),
            timeout=str(counts["TIMEOUT"]),
            cancelled=str(counts["CANCELLED_BY_AUDITOR"]),
            aborted_crash=str(counts["ABORTED_CRASH"]),
            refusals=str(self.refusals),
        )

    async def restore(self, leaves: AsyncIterable[StoredLeaf], closing: Envelope | None) -> None:
        """Take back everything the log says, and the close statement if one was made.

        Raises:
            SafeconductError: the stored log is not one we wrote (a gap, a damaged leaf, a step out of place).
        """
        async for leaf in leaves:
            try:
                entry = parse_entry(leaf.data)
                self.log.restore(leaf, _stated_time(entry))
                self._restore_entry(entry)
            except (KeyError, StopIteration):
                raise LogRollback("the stored log has a leaf out of place", leaf=str(leaf.position)) from None
        if closing is not None and self.close is None:
            self.move(PhaseEvent.CLOSE)
            self.close = closing

    def _restore_entry(self, entry: LogEntry) -> None:
        first, last = entry.documents[0], entry.documents[-1]
        if entry.kind == "session":
            grant = SessionGrant.parse(last.payload)
            self.sessions[grant.session] = Session(grant.session, 0, last.digest)
            self.opens[first.digest] = grant.session
            self.receipts[first.digest] = last
        elif entry.kind == "promise":
            intent, promise = Intent.parse(first.payload), Promise.parse(last.payload)
            session = self.sessions[intent.session]
            session.open = OpenExchange(intent, first.digest, last, promise)
            session.next_seq += 1
            self.promised += 1
            self.book.reserve((intent.session, intent.seq), intent.budget_max)
            if self.phase is not Phase.RUNNING:
                self.move(PhaseEvent.PROMISE)
        elif entry.kind == "refusal":
            session = self.sessions[Intent.parse(first.payload).session]
            session.prev = last.digest
            session.next_seq += 1
            self.refusals += 1
        elif entry.kind == "record":
            record = Record.parse(last.payload)
            session = self.sessions[record.session]
            if session.open is not None:
                asked, promised = session.open.intent, int(session.open.terms.log_index)
                self.training.take(self.agreement, asked, record, promised=promised)
            session.open, session.prev = None, last.digest
            self.book.settle((record.session, record.seq), record.usage)
            self.counts[record.status] += 1
            self.unrevealed += record.code == "REVEAL_OVERDUE"
        elif entry.kind == "variant_destroyed":
            self.logged(entry.kind, first, last)
            self.destroyed.add(VariantDestroyed.parse(first.payload).variant)
        else:
            self._restore_step(entry)

    def _restore_step(self, entry: LogEntry) -> None:
        first, last = entry.documents[0], entry.documents[-1]
        self.logged(entry.kind, first, last)
        for event in _MOVES.get(entry.kind, ()):
            self.move(event)
        if entry.kind == "registration":
            self.registration = first
        elif entry.kind == "draw":
            self.draw = first
        elif entry.kind == "runtime":
            self.evidence[first.digest] = sha256(decode(RuntimeStatement.parse(first.payload).hpke_public))
        elif entry.kind == "close":
            self.close = first
        elif entry.kind == "manifest":
            self.manifest = first
        elif entry.kind == "delivery":
            self.delivery = first
        elif entry.kind == "statement" and first.payload_type == Abort.payload_type:
            self.move(PhaseEvent.ABORT)
        elif entry.kind == "amendment":
            self.amend(first)
        elif entry.kind == "termination":
            self.ending = Termination.parse(first.payload)
        elif entry.kind == "escrow":
            self.escrow[EscrowManifest.parse(first.payload).content_class] = first


# How the phase moves on with a leaf of each kind.
_MOVES: Mapping[str, tuple[PhaseEvent, ...]] = {
    "registration": (PhaseEvent.REGISTER,),
    "draw": (PhaseEvent.DRAW,),
    "close": (PhaseEvent.CLOSE, PhaseEvent.CONFIRM_CLOSE),
    "grades": (PhaseEvent.COMMIT_GRADES,),
    "delivery": (PhaseEvent.DELIVER,),
    "release": (PhaseEvent.RELEASE,),
}
_TIMES = ("loggedAt", "grantedAt", "promisedAt", "refusedAt", "finishedAt")


def _stated_time(entry: LogEntry) -> str:
    value = parse_canonical(entry.documents[-1].payload)
    return next(str(value[name]) for name in _TIMES if name in value)
