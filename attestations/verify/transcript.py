"""Steps 4 to 9 of the log: registration, checkpoint, close, exchanges and runtime, in one pass over its leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from attestations.checkpoint import Checkpoint, cosignature_time, open_checkpoint, witness_times
from attestations.digests import sha256
from attestations.documents.base import Document, decode, parse_time
from attestations.documents.engagement import (
    CloseStatement,
    DeliveryReceipt,
    GradeCommitment,
    PackageManifest,
    PolicyEvent,
    PreRegistration,
    Release,
    RuntimeStatement,
)
from attestations.envelope import Envelope, open_document
from attestations.errors import (
    AttestationKeyUnbound,
    AttestationNonceMismatch,
    AttributionFailed,
    CheckpointInvalid,
    CloseStatementMismatch,
    CosignOverdue,
    EvidenceMissing,
    ExchangeOmitted,
    LogEquivocation,
    LogRollback,
    MalformedEnvelope,
    PreRegistrationAltered,
    RegistrationTooLate,
    RuntimeDowngrade,
    SafeconductError,
)
from attestations.keys import EnrolledKey, KeyUse, enrol
from attestations.log_entries import LogEntry, parse_entry
from attestations.merkle import Frontier, leaf_hash
from attestations.notes import parse_note
from attestations.policy.evaluate import Bounds, Seen
from attestations.trust import Trust
from attestations.verify.exchanges import ExchangePass
from attestations.verify.parties import Parties

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class LoggedRelease:
    """A release and what the log says about when it was made."""

    document: Release
    index: int
    logged_at: str
    root: bytes  # of the log before this leaf
    events_before: tuple[Seen, ...]


@dataclass
class Transcript:
    """What one pass over the log established, and the first error of each step."""

    size: int = 0
    root: bytes = b""
    exchanges: ExchangePass | None = None
    registration: PreRegistration | None = None
    registration_digest: str | None = None
    runtimes: dict[str, RuntimeStatement] = field(default_factory=dict)
    close: CloseStatement | None = None
    close_digest: str | None = None
    close_index: int | None = None
    close_root: bytes | None = None
    grades: GradeCommitment | None = None
    manifest: PackageManifest | None = None
    manifest_digest: str | None = None
    delivered: bool = False
    releases: list[LoggedRelease] = field(default_factory=list)
    events: list[Seen] = field(default_factory=list)
    last_time: str | None = None
    roots: dict[int, bytes] = field(default_factory=dict)  # roots of every size from the close on
    errors: dict[int, SafeconductError] = field(default_factory=dict)


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
        self.transcript = Transcript(exchanges=self._pass)
        self._broken = False
        self._kinds: dict[str, tuple[int, Callable[[LogEntry, int, Frontier], None]]] = {
            "registration": (4, self._registration),
            "runtime": (9, self._runtime),
            "session": (7, self._exchange(self._pass.session)),
            "promise": (7, self._exchange(self._pass.promise)),
            "refusal": (7, self._exchange(self._pass.refusal)),
            "record": (7, self._exchange(self._pass.record)),
            "close": (6, self._close),
            "grades": (4, self._grades),
            "manifest": (15, self._manifest),
            "delivery": (15, self._delivery),
            "event": (15, self._event),
            "release": (15, self._release),
        }

    def step(self, line: bytes, index: int, frontier: Frontier) -> None:
        # After one bad leaf the chain cannot be followed further, but the tree can.
        if self.transcript.close is not None:
            self.transcript.roots[index] = frontier.root()
        if self._broken:
            return
        number = 7
        try:
            entry = parse_entry(line)
            number, handle = self._kinds[entry.kind]
            handle(entry, index, frontier)
        except SafeconductError as error:
            error.facts.setdefault("leaf", str(index))
            self.transcript.errors.setdefault(number, error)
            self._broken = True

    def finish(self) -> None:
        if not self._broken:
            try:
                self._pass.finish()
            except SafeconductError as error:
                self.transcript.errors.setdefault(7, error)

    def _exchange(self, method: Callable[[LogEntry, int], None]) -> Callable[[LogEntry, int, Frontier], None]:
        def handle(entry: LogEntry, index: int, _: Frontier) -> None:
            if self.transcript.close is not None:
                raise ExchangeOmitted("the run goes on after its close statement", leaf=str(index))
            method(entry, index)

        return handle

    def _registration(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, PreRegistration, self._parties.auditor_publication)
        transcript = self.transcript
        if transcript.registration is not None:
            raise PreRegistrationAltered("a second registration stands in the log")
        if self._pass.tally.first_promise is not None:
            raise RegistrationTooLate("the suite was registered after the first Promise")
        transcript.registration = document
        transcript.registration_digest = entry.documents[0].digest
        self._seen("REGISTERED", None, self._pass.receipt(entry, index).logged_at)

    def _runtime(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, RuntimeStatement, self._parties.lab_record)
        agreed = self._parties.agreement.runtime.level
        if document.level < agreed:
            raise RuntimeDowngrade(f"{document.level} was run where {agreed} was agreed", level=document.level)
        if document.nonce != sha256(bytes.fromhex(self._parties.digest) + document.boot.encode()):
            raise AttestationNonceMismatch("the runtime statement answers another challenge")
        if document.level != "RA0" and (document.report is None or document.report_format is None):
            raise AttestationKeyUnbound("a runtime level above RA0 without runtime evidence")
        enrol(self._parties.agreement.party("lab").id, KeyUse.WORKER, decode(document.worker_public))
        self._pass.receipt(entry, index)
        self._pass.runtimes.add(entry.documents[0].digest)
        self.transcript.runtimes[entry.documents[0].digest] = document

    def _close(self, entry: LogEntry, index: int, frontier: Frontier) -> None:
        transcript = self.transcript
        if transcript.close is not None:
            raise CloseStatementMismatch("a second close statement stands in the log")
        document = open_document(
            entry.documents[0],
            CloseStatement,
            required=(self._parties.lab_record, self._parties.auditor_exchange),
            known=self._parties.known,
        )
        self._about(document)
        receipt = self._pass.receipt(entry, index)
        self._pass.finish()
        if (document.tree_size, document.root) != (str(index), frontier.root().hex()):
            raise CloseStatementMismatch("the close statement is about another log")
        transcript.close, transcript.close_index = document, index
        transcript.close_digest, transcript.close_root = entry.documents[0].digest, frontier.root()
        self._seen("RUN_CLOSED", None, receipt.logged_at)
        check_close(document, self._pass)

    def _grades(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, GradeCommitment, self._parties.auditor_publication)
        if self.transcript.close is None:
            raise PreRegistrationAltered("grades were committed before the run was closed")
        if self.transcript.grades is not None:
            raise PreRegistrationAltered("grades were committed twice")
        if self.transcript.releases:
            raise PreRegistrationAltered("grades were committed after something was released")
        self._pass.receipt(entry, index)
        self.transcript.grades = document

    def _manifest(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, PackageManifest, self._parties.auditor_publication)
        if self.transcript.manifest is not None:
            raise PreRegistrationAltered("packages were sealed twice")
        if self.transcript.releases:
            raise PreRegistrationAltered("packages were sealed after something was released")
        self._pass.receipt(entry, index)
        self.transcript.manifest, self.transcript.manifest_digest = document, entry.documents[0].digest

    def _delivery(self, entry: LogEntry, index: int, _: Frontier) -> None:
        document = self._own(entry, DeliveryReceipt, self._parties.lab_record)
        if document.manifest != self.transcript.manifest_digest:
            raise AttributionFailed("a delivery of other packages", leaf=str(index))
        self.transcript.delivered = True
        self._seen("DELIVERED", None, self._pass.receipt(entry, index).logged_at)

    def _event(self, entry: LogEntry, index: int, _: Frontier) -> None:
        envelope = entry.documents[0]
        document = _by_event_party(envelope, self._parties)
        self._about(document)
        self._seen(document.event, document.argument, self._pass.receipt(entry, index).logged_at)

    def _release(self, entry: LogEntry, index: int, frontier: Frontier) -> None:
        document = self._own(entry, Release, self._parties.auditor_publication)
        receipt = self._pass.receipt(entry, index)
        transcript = self.transcript
        transcript.releases.append(
            LoggedRelease(document, index, receipt.logged_at, frontier.root(), tuple(transcript.events))
        )
        self._seen("RELEASED", f"{document.content_class}:{document.recipient}", receipt.logged_at)

    def _own(self, entry: LogEntry, kind: type[D], key: EnrolledKey) -> D:
        if len(entry.documents) != 2:  # noqa: PLR2004 - a document and the lab's receipt
            raise MalformedEnvelope(f"a {entry.kind} leaf holds 2 documents", kind=entry.kind)
        document = open_document(entry.documents[0], kind, required=(key,), known=self._parties.known)
        self._about(document)
        return document

    def _about(self, document: Document) -> None:
        if getattr(document, "agreement", None) != self._parties.digest:
            raise AttributionFailed(f"a {type(document).__name__} of another agreement")

    def _seen(self, name: str, argument: str | None, logged_at: str) -> None:
        moment = parse_time(logged_at)
        self.transcript.events.append(Seen(name, argument, Bounds(moment - self._skew, moment + self._skew)))
        self.transcript.last_time = logged_at


_AUDITOR_EVENTS = frozenset({"AUDITOR_CONSENT", "REMEDIATION_CONFIRMED"})


def _by_event_party(envelope: Envelope, parties: Parties) -> PolicyEvent:
    # The key decides who may say what: an auditor cannot consent for the lab.
    lab, auditor = parties.lab_agreement, parties.auditor_agreement
    try:
        document = open_document(envelope, PolicyEvent, required=(lab,), known=parties.known)
        by_auditor = False
    except SafeconductError:
        document = open_document(envelope, PolicyEvent, required=(auditor,), known=parties.known)
        by_auditor = True
    if (document.event in _AUDITOR_EVENTS) != by_auditor:
        raise AttributionFailed(f"{document.event} is not for this party to state", event=document.event)
    return document


def check_close(close: CloseStatement, exchanges: ExchangePass) -> None:
    """Compare the close statement with the exchanges in the log.

    Raises:
        CloseStatementMismatch: a count, the meter or a session differs; the facts name which.
    """
    counts = exchanges.tally.counts
    stated = close.counts
    pairs = {
        "promised": (stated.promised, counts["promised"]),
        "completed": (stated.completed, counts["COMPLETED"]),
        "refusedPolicy": (stated.refused_policy, counts["REFUSED_POLICY"]),
        "error": (stated.error, counts["ERROR"]),
        "timeout": (stated.timeout, counts["TIMEOUT"]),
        "cancelled": (stated.cancelled, counts["CANCELLED_BY_AUDITOR"]),
        "abortedCrash": (stated.aborted_crash, counts["ABORTED_CRASH"]),
        "refusals": (stated.refusals, counts["refusals"]),
    }
    for name, (said, counted) in pairs.items():
        if said != str(counted):
            raise CloseStatementMismatch(
                f"the close statement counts {said} for {name}, the log {counted}", count=name
            )
    if close.meter != exchanges.tally.meter:
        raise CloseStatementMismatch("the close statement's meter is not the log's", count="meter")
    ends = {end.session: end.next_seq for end in close.sessions}
    if len(ends) != len(close.sessions) or ends != {
        name: session.next_seq for name, session in exchanges.sessions.items()
    }:
        raise CloseStatementMismatch("the close statement's sessions are not the log's", count="sessions")


def check_checkpoint(text: bytes, parties: Parties, transcript: Transcript, trust: Trust) -> list[datetime]:
    """Check the checkpoint over the whole log: the lab's signature, the auditor's cosignature, any agreed witnesses.

    Returns:
        The times at which witnesses saw it, oldest first.

    Raises:
        CheckpointInvalid, SignatureInvalid, LogEquivocation, LogRollback, CosignOverdue, WitnessQuorumUnmet.
    """
    note = parse_note(text)
    agreement = parties.agreement
    checkpoint = open_checkpoint(note, origin=agreement.origin, log_key=parties.lab_log)
    compare_with_log(checkpoint, transcript)
    name = f"{agreement.party('auditor').id}/cosign"
    if cosignature_time(note, name=name, key=parties.auditor_cosign) is None:
        raise CosignOverdue("the auditor has not cosigned the log")
    if not agreement.witnesses.quorum:
        return []
    trusted = {(witness.name, witness.public) for witness in trust.witnesses}
    witnesses = [
        (witness.name, enrol(witness.name, KeyUse.WITNESS, decode(witness.public)))
        for witness in agreement.witnesses.keys
        if (witness.name, witness.public) in trusted
    ]
    return sorted(witness_times(note, witnesses, agreement.witnesses.quorum))


def compare_with_log(checkpoint: Checkpoint, transcript: Transcript) -> None:
    """Check that a checkpoint is of exactly this log."""
    if checkpoint.size < transcript.size:
        raise CheckpointInvalid(
            "the log holds more leaves than its checkpoint", size=str(checkpoint.size), leaves=str(transcript.size)
        )
    if checkpoint.size > transcript.size:
        raise LogRollback(
            "leaves are missing from the log's end", size=str(checkpoint.size), leaves=str(transcript.size)
        )
    if checkpoint.root != transcript.root:
        raise CheckpointInvalid("the log is not the one the checkpoint speaks of", size=str(checkpoint.size))


def check_release_checkpoint(release: LoggedRelease, parties: Parties, transcript: Transcript) -> None:
    """Check the checkpoint a release says it came after."""
    checkpoint = open_checkpoint(
        parse_note(release.document.after.encode()), origin=parties.agreement.origin, log_key=parties.lab_log
    )
    if checkpoint.size > release.index:
        raise AttributionFailed("a release says it came after a later state of the log", leaf=str(release.index))
    root = release.root if checkpoint.size == release.index else transcript.roots.get(checkpoint.size)
    if root is None:
        raise EvidenceMissing("a release rests on a checkpoint from before the close", leaf=str(release.index))
    if root != checkpoint.root:
        raise LogEquivocation("the lab signed two different logs of one size", size=str(checkpoint.size))
