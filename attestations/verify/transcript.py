"""Steps 4 to 9: one pass over the leaves of the log that establishes what took place and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from attestations.documents.base import Document, parse_time
from attestations.documents.drawing import Draw
from attestations.documents.elicitation import RunStart
from attestations.documents.engagement import (
    CloseStatement,
    DeliveryReceipt,
    GradeCommitment,
    LogReceipt,
    PackageManifest,
    PreRegistration,
    Release,
    RuntimeStatement,
)
from attestations.documents.finetuning import VariantDestroyed
from attestations.elicitation.starting import check_start
from attestations.envelope import open_document
from attestations.errors import (
    AnalysisDeviationUndeclared,
    AttributionFailed,
    CloseStatementMismatch,
    ExchangeOmitted,
    MalformedEnvelope,
    PreRegistrationAltered,
    RegistrationTooLate,
    SafeconductError,
)
from attestations.keys import EnrolledKey
from attestations.ledger import Ledger
from attestations.log_entries import LogEntry, parse_entry
from attestations.merkle import Frontier, leaf_hash
from attestations.policy.evaluate import Bounds
from attestations.release_time import made_at_or_never
from attestations.statements import open_statement
from attestations.verify.closing import check_close
from attestations.verify.established import LoggedRelease, Transcript
from attestations.verify.exchanges import ExchangePass
from attestations.verify.parties import Parties
from attestations.verify.revising import Revisions
from attestations.verify.runtimes import check_runtime
from attestations.verify.steps import Step

D = TypeVar("D", bound=Document)
__all__ = ["LoggedRelease", "Transcript", "read_log"]
_Handler = Callable[[LogEntry, int, Frontier], None]


def read_log(lines: Iterable[bytes], parties: Parties) -> Transcript:
    """Read every leaf. Errors are kept by step; the Merkle root is computed to the end in any case."""
    reader = _Reader(parties)
    frontier = Frontier()
    for index, line in enumerate(lines):
        reader.step(line, index, frontier)
        frontier.append(leaf_hash(line))
    reader.finish()
    transcript = reader.transcript
    transcript.size, transcript.root = frontier.size, frontier.root()
    transcript.roots[frontier.size] = transcript.root
    return transcript


class _Reader:
    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._skew = timedelta(seconds=parties.agreement.timing.skew_seconds)
        self._pass = ExchangePass(parties)
        self.transcript = Transcript(self._pass, Ledger(parties.agreement), Revisions(parties))
        self._kinds: dict[str, tuple[Step, _Handler]] = {
            "registration": (Step.REGISTRATION, self._registration),
            "draw": (Step.REGISTRATION, self._draw),
            "runtime": (Step.RUNTIME, self._runtime),
            "session": (Step.EXCHANGES, self._exchange(self._pass.session)),
            "promise": (Step.EXCHANGES, self._exchange(self._pass.promise)),
            "refusal": (Step.EXCHANGES, self._exchange(self._pass.refusal)),
            "record": (Step.EXCHANGES, self._exchange(self._pass.record)),
            "close": (Step.CLOSE, self._close),
            "grades": (Step.REGISTRATION, self._grades),
            "manifest": (Step.DISCLOSURE, self._manifest),
            "delivery": (Step.DISCLOSURE, self._delivery),
            "event": (Step.DISCLOSURE, self._statement),
            "release": (Step.DISCLOSURE, self._release),
            "statement": (Step.DISCLOSURE, self._statement),
            "amendment": (Step.AGREEMENT, self._revision),
            "termination": (Step.AGREEMENT, self._revision),
            "escrow": (Step.DISCLOSURE, self._escrow),
            "escrow_verified": (Step.DISCLOSURE, self._escrow),
            "variant_destroyed": (Step.IDENTITY, self._destroyed),
        }

    def step(self, line: bytes, index: int, frontier: Frontier) -> None:
        transcript = self.transcript
        if transcript.close is not None:
            transcript.roots[index] = frontier.root()
        if transcript.broken:
            return
        if transcript.drawing.waiting and not self._pass.tally.promises:
            transcript.drawing.keep_root(index, frontier.root())
        number = Step.EXCHANGES
        try:
            entry = parse_entry(line)
            number, handle = self._kinds[entry.kind]
            handle(entry, index, frontier)
        except SafeconductError as error:
            error.facts.setdefault("leaf", str(index))
            self._note(number, error)
            # After a bad leaf nothing that follows can be placed, but the tree can be computed.
            transcript.broken = True

    def finish(self) -> None:
        if not self.transcript.broken and self.transcript.close is None:
            self._run_ended()

    def _note(self, step: Step, error: SafeconductError) -> None:
        """Keep an error that does not keep the following leaves from being read."""
        self.transcript.errors.setdefault(step, error)

    def _run_ended(self) -> None:
        self._noting(Step.EXCHANGES, self._pass.finish)
        if self._pass.tally.promises:
            self._noting(Step.REGISTRATION, self.transcript.drawing.check_made)

    def _noting(self, step: Step, check: Callable[[], None]) -> None:
        try:
            check()
        except SafeconductError as error:
            self._note(step, error)

    def _exchange(self, method: Callable[[LogEntry, int], None]) -> _Handler:
        def handle(entry: LogEntry, index: int, _: Frontier) -> None:
            if self.transcript.close is not None or self.transcript.ledger.aborted is not None:
                raise ExchangeOmitted("the run goes on after its end", leaf=str(index))
            method(entry, index)
            self.transcript.revisions.check_begins(entry.kind, self._pass.last_time)

        return handle

    def _registration(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, PreRegistration, self._parties.auditor_publication)
        transcript, receipt = self.transcript, self._pass.receipt(entry, index)
        if transcript.registration is not None:
            self._note(Step.REGISTRATION, PreRegistrationAltered("a second registration stands in the log"))
            return
        if self._pass.tally.promises:
            self._note(Step.REGISTRATION, RegistrationTooLate("the suite was registered after the first Promise"))
        transcript.registration, transcript.registration_index = document, index
        digest = transcript.registration_digest = entry.documents[0].digest
        self._noting(Step.REGISTRATION, lambda: transcript.drawing.registered(document, digest, index, receipt))
        self._seen("REGISTERED", receipt)

    def _draw(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, Draw, self._parties.auditor_publication)
        receipt, drawing, asked = self._pass.receipt(entry, index), self.transcript.drawing, self._pass.tally.promises
        self._noting(Step.REGISTRATION, lambda: drawing.made(document, receipt, self._parties, promised=bool(asked)))

    def _runtime(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, RuntimeStatement, self._parties.lab_record)
        self._pass.receipt(entry, index)
        self._pass.runtime(entry.documents[0].digest, document)
        self.transcript.runtimes[entry.documents[0].digest] = document
        self._noting(Step.RUNTIME, lambda: check_runtime(document, self._parties))

    def _close(self, entry: LogEntry, index: int, frontier: Frontier) -> None:
        transcript, parties = self.transcript, self._parties
        if len(entry.documents) != 2:  # noqa: PLR2004 - a document and the lab's receipt
            raise MalformedEnvelope("a close leaf holds 2 documents", kind=entry.kind)
        document = open_document(
            entry.documents[0],
            CloseStatement,
            required=(parties.lab_record, parties.auditor_exchange),
            known=parties.known,
        )
        self._about(document)
        receipt = self._pass.receipt(entry, index)
        if transcript.close is not None:
            self._note(Step.CLOSE, CloseStatementMismatch("a second close statement stands in the log"))
            return
        self._run_ended()
        transcript.close, transcript.close_digest = document, entry.documents[0].digest
        root = transcript.roots[index] = frontier.root()
        self._seen("RUN_CLOSED", receipt)
        self._noting(Step.CLOSE, lambda: check_close(document, self._pass, size=index, root=root))

    def _grades(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, GradeCommitment, self._parties.auditor_publication)
        self._pass.receipt(entry, index)
        self._not_given_up()
        transcript = self.transcript
        if transcript.close is None:
            self._note(Step.REGISTRATION, PreRegistrationAltered("grades were committed before the run was closed"))
        if transcript.releases:
            self._note(Step.REGISTRATION, PreRegistrationAltered("grades were committed after something was released"))
        if transcript.grades is not None:
            self._note(Step.REGISTRATION, PreRegistrationAltered("grades were committed twice"))
            return
        transcript.grades, transcript.grades_index = document, index

    def _manifest(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, PackageManifest, self._parties.auditor_publication)
        self._pass.receipt(entry, index)
        self._not_given_up()
        transcript = self.transcript
        if transcript.releases:
            self._note(Step.REGISTRATION, PreRegistrationAltered("packages were sealed after something was released"))
        if transcript.manifest is not None:
            self._note(Step.REGISTRATION, PreRegistrationAltered("packages were sealed twice"))
            return
        transcript.manifest, transcript.manifest_digest = document, entry.documents[0].digest

    def _delivery(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, DeliveryReceipt, self._parties.lab_record)
        receipt = self._pass.receipt(entry, index)
        if document.manifest != self.transcript.manifest_digest:
            raise AttributionFailed("a delivery of other packages", leaf=str(index))
        self.transcript.delivered = True
        self._seen("DELIVERED", receipt)

    def _statement(self, entry: LogEntry, index: int, _: Frontier) -> None:
        stated = open_statement(entry.documents[0], self._parties.agreement, self._parties.digest)
        receipt = self._pass.receipt(entry, index)
        if stated.kind != entry.kind:
            raise MalformedEnvelope("a statement stands in a leaf of another kind", kind=entry.kind)
        for party in stated.parties:
            self.transcript.stated[party.role] = receipt.logged_at
            if party.role not in ("lab", "auditor"):
                self.transcript.parties[party.id] = party
        if self.transcript.ledger.take(stated, self._bounds(receipt), index) and isinstance(stated.document, RunStart):
            self._begins(stated.document)

    def _begins(self, start: RunStart) -> None:
        transcript = self.transcript
        transcript.test_begins = self._pass.tally.promises
        registration, course = transcript.registration, transcript.ledger.elicitation
        if registration is None:
            raise AnalysisDeviationUndeclared("TEST begins before the suite was registered")
        hooks, agreement = self._pass.hooks.so_far(), transcript.agreement
        self._noting(
            Step.REGISTRATION, lambda: check_start(start, registration, course, hooks=hooks, agreement=agreement)
        )

    def _release(self, entry: LogEntry, index: int, frontier: Frontier) -> None:
        document = self._own(entry, Release, self._parties.auditor_publication)
        receipt = self._pass.receipt(entry, index)
        transcript, before = self.transcript, tuple(self.transcript.events)
        at = made_at_or_never(document.after, receipt.logged_at, self._parties.agreement)
        made = transcript.ledger.released(document, entry.documents[0].digest, at, index)
        self._held(lambda: transcript.escrow.check_complete(self._parties.agreement))
        transcript.releases.append(
            LoggedRelease(
                document,
                index,
                receipt.logged_at,
                frontier.root(),
                before,
                transcript.agreement,
                made.permission,
                made.limit,
            )
        )

    def _revision(self, entry: LogEntry, index: int, _: Frontier) -> None:
        receipt, transcript = self._pass.receipt(entry, index), self.transcript
        try:
            transcript.revisions.take(entry, receipt, events=transcript.events, used=self._pass.tally.meter)
        except SafeconductError as error:
            self._note(Step.AGREEMENT, error)
            return
        self._pass.amend(transcript.agreement)
        transcript.ledger.agreement = transcript.agreement
        transcript.stated |= {"lab": receipt.logged_at, "auditor": receipt.logged_at}

    def _not_given_up(self) -> None:
        # Whoever gives up owes less, and so must not go on to show what it likes.
        if self.transcript.ledger.aborted is not None:
            self._note(Step.REGISTRATION, PreRegistrationAltered("grades or packages follow where it was given up"))

    def _escrow(self, entry: LogEntry, index: int, _: Frontier) -> None:
        self._pass.receipt(entry, index)
        log = self.transcript
        self._held(lambda: log.escrow.take(entry, self._parties, log.registration, late=bool(log.releases)))

    def _destroyed(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, VariantDestroyed, self._parties.lab_record)
        self._pass.receipt(entry, index)
        log = self.transcript
        closed = log.close is not None or log.ledger.aborted is not None
        self._noting(Step.IDENTITY, lambda: log.destructions.take(document, self._pass.training, closed=closed))

    def _held(self, action: Callable[[], None]) -> None:
        """Do something that says nothing about the leaves that follow."""
        try:
            action()
        except SafeconductError as error:
            self._note(Step.DISCLOSURE, error)

    def _own(self, entry: LogEntry, kind: type[D], key: EnrolledKey) -> D:
        if len(entry.documents) != 2:  # noqa: PLR2004 - a document and the lab's receipt
            raise MalformedEnvelope(f"a {entry.kind} leaf holds 2 documents", kind=entry.kind)
        document = open_document(entry.documents[0], kind, required=(key,), known=self._parties.known)
        self._about(document)
        return document

    def _about(self, document: Document) -> None:
        if getattr(document, "agreement", None) != self._parties.digest:
            raise AttributionFailed(f"a {type(document).__name__} of another agreement")

    def _seen(self, name: str, receipt: LogReceipt) -> None:
        self.transcript.ledger.seen(name, self._bounds(receipt))

    def _bounds(self, receipt: LogReceipt) -> Bounds:
        moment = parse_time(receipt.logged_at)
        return Bounds(moment - self._skew, moment + self._skew)
