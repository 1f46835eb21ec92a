"""Checks one leaf of the lab's log: who signed what, whether our own documents are unchanged, its place and time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from attestations.documents.base import Document, parse_time
from attestations.documents.drawing import Draw
from attestations.documents.engagement import (
    CloseStatement,
    DeliveryReceipt,
    GradeCommitment,
    LogReceipt,
    PackageManifest,
    PreRegistration,
    Release,
    RuntimeStatement,
    SessionGrant,
    SessionOpen,
)
from attestations.documents.escrow import EscrowManifest
from attestations.documents.exchange import Cancel, Intent, Meter, Promise, Record, Refusal
from attestations.documents.finetuning import VariantDestroyed
from attestations.envelope import Envelope
from attestations.errors import (
    AgreementDigestMismatch,
    EvidenceMissing,
    LogEquivocation,
    MalformedEnvelope,
    RecordEquivocation,
    SequenceEquivocation,
    TimeOrderViolation,
)
from attestations.keys import KeyUse
from attestations.log_entries import LogEntry, parse_entry
from attestations.negotiation.ending import check_grounds
from attestations.negotiation.messages import Concluded, Sides, Terminated, open_message
from attestations.notes import parse_note
from attestations.release_time import cosigned_time
from attestations.statements import open_statement
from attestations.verify.escrow_log import open_verified
from auditor_client.engagement import Engagement
from auditor_client.ports import Journal

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class LeafFacts:
    """What a checked leaf says about itself; the meter is that of a Record, before and after.

    `amendment` is an agreement that both have signed; whether it may be logged there is for who knows the log to say.
    """

    index: int
    at: datetime
    before: Meter | None = None
    after: Meter | None = None
    amendment: Concluded | None = None


# The auditor's document that opens each kind of leaf, and the key it is signed with.
_OURS: dict[str, tuple[type[Document], KeyUse]] = {
    "registration": (PreRegistration, KeyUse.PUBLICATION),
    "draw": (Draw, KeyUse.PUBLICATION),
    "session": (SessionOpen, KeyUse.EXCHANGE),
    "promise": (Intent, KeyUse.EXCHANGE),
    "refusal": (Intent, KeyUse.EXCHANGE),
    "grades": (GradeCommitment, KeyUse.PUBLICATION),
    "manifest": (PackageManifest, KeyUse.PUBLICATION),
    "release": (Release, KeyUse.PUBLICATION),
    "escrow": (EscrowManifest, KeyUse.PUBLICATION),
}
# The lab's document that ends each kind of leaf; its index and time are the leaf's.
_LABS: dict[str, type[Document]] = {
    "session": SessionGrant,
    "promise": Promise,
    "refusal": Refusal,
    "record": Record,
}


class LeafChecker:
    """Checks leaves of one engagement against the agreement's keys and our journal."""

    def __init__(self, engagement: Engagement, journal: Journal) -> None:
        self._engagement = engagement
        self._journal = journal
        self.amended: Envelope | None = None
        """The amendment in force, if one was seen in the log."""

    def check(self, leaf: bytes) -> LeafFacts:
        """Return what the leaf says.

        Raises:
            SequenceEquivocation, LogEquivocation: it holds a document we never sent.
            SignatureInvalid, MalformedEnvelope, AgreementDigestMismatch: it is not a leaf of this log.
        """
        entry = parse_entry(leaf)
        first, last = entry.documents[0], entry.documents[-1]
        amendment = None
        if entry.kind in _OURS:
            self._two(entry)
            kind, use = _OURS[entry.kind]
            self._ours(first, kind, use)
        elif entry.kind == "record" and len(entry.documents) > 1:
            self._ours(first, Cancel, KeyUse.EXCHANGE)
        elif entry.kind == "runtime":
            self._two(entry)
            self._lab(first, RuntimeStatement)
        elif entry.kind == "close":
            self._two(entry)
            self._close(first)
        elif entry.kind in ("amendment", "termination"):
            self._two(entry)
            amendment = self._revision(first)
        elif entry.kind in ("event", "statement"):
            self._two(entry)
            self._statement(first, entry.kind)
        elif entry.kind == "variant_destroyed":
            self._two(entry)
            self._lab(first, VariantDestroyed)
        elif entry.kind == "escrow_verified":
            self._two(entry)
            open_verified(first, self._engagement.agreement, self._engagement.digest)
        facts = self._facts(entry.kind, first, last)
        if entry.kind == "release":
            self._not_dated_back(Release.parse(first.payload), facts.at)
        return facts if amendment is None else replace(facts, amendment=amendment)

    def _not_dated_back(self, release: Release, at: datetime) -> None:
        # A release logged as of before its own checkpoint was cosigned would look early, and be blamed on us.
        agreement = self._engagement.agreement
        skew = timedelta(seconds=agreement.timing.skew_seconds + 1)
        with suppress(EvidenceMissing):  # a checkpoint that gives no time proves nothing to anybody
            if cosigned_time(parse_note(release.after.encode()), agreement) <= at + skew:
                return
            raise TimeOrderViolation("the lab dated a release before the checkpoint it rests on")

    def _facts(self, kind: str, first: Envelope, last: Envelope) -> LeafFacts:
        if kind == "delivery":
            self._lab(first, DeliveryReceipt)
        if kind not in _LABS:
            receipt = self._lab(last, LogReceipt)
            if (receipt.kind, receipt.document) != (kind, first.digest):
                raise LogEquivocation("a log receipt is for another document", kind=kind)
            return LeafFacts(int(receipt.log_index), parse_time(receipt.logged_at))
        document = self._lab(last, _LABS[kind])
        match document:
            case SessionGrant():
                return LeafFacts(int(document.log_index), parse_time(document.granted_at))
            case Promise():
                return LeafFacts(int(document.log_index), parse_time(document.promised_at))
            case Refusal():
                return LeafFacts(int(document.log_index), parse_time(document.refused_at))
            case Record():
                held = self._journal.held(document.session, document.seq)
                if held is not None and held.document not in (None, last.to_bytes()):
                    raise RecordEquivocation(
                        "the log holds another Record than we were given",
                        session=document.session,
                        seq=str(document.seq),
                    )
                return LeafFacts(
                    int(document.log_index),
                    parse_time(document.finished_at),
                    document.meter_before,
                    document.meter_after,
                )
        raise MalformedEnvelope("a leaf of an unknown kind", kind=kind)

    def _two(self, entry: LogEntry) -> None:
        if len(entry.documents) != 2:  # noqa: PLR2004 - a document and the lab's word on it
            raise MalformedEnvelope("a leaf of the wrong number of documents", kind=entry.kind)

    def _lab(self, envelope: Envelope, kind: type[D]) -> D:
        document = self._engagement.opened(envelope, kind)
        self._same(document)
        return document

    def _ours(self, envelope: Envelope, kind: type[D], use: KeyUse) -> D:
        document = self._engagement.opened(envelope, kind, self._engagement.agreement.auditor_key(use))
        self._same(document)
        if isinstance(document, Intent):
            held = self._journal.held(document.session, document.seq)
            if held is None or held.intent != envelope.to_bytes():
                raise SequenceEquivocation(
                    "the log holds an Intent we never sent", session=document.session, seq=str(document.seq)
                )
        elif self._journal.recall(sent_name(envelope)) != envelope.to_bytes():
            raise LogEquivocation("the log holds a document we never sent", document=envelope.digest)
        return document

    def _close(self, envelope: Envelope) -> None:
        keys = (self._engagement.lab_record, self._engagement.agreement.auditor_key(KeyUse.EXCHANGE))
        self._same(self._engagement.opened(envelope, CloseStatement, *keys))
        if self._journal.recall(sent_name(envelope)) is None:
            raise LogEquivocation("the log holds a close statement we never signed", document=envelope.digest)

    def _statement(self, envelope: Envelope, kind: str) -> None:
        stated = open_statement(envelope, self._engagement.agreement, self._engagement.digest)
        if stated.kind != kind:
            raise MalformedEnvelope("a statement stands in a leaf of another kind", kind=kind)
        if "auditor" in stated.roles and self._journal.recall(sent_name(envelope)) is None:
            raise LogEquivocation("the log holds a statement we never made", document=envelope.digest)

    def _revision(self, envelope: Envelope) -> Concluded | None:
        agreement = self._engagement.agreement
        lab, auditor = agreement.lab_key(KeyUse.AGREEMENT), agreement.auditor_key(KeyUse.AGREEMENT)
        # Our own signature under it says that we agreed; what may have come between, `Cosigner` knows.
        message = open_message("lab", [envelope], Sides(lab, auditor, tuple(self._engagement.known)))
        if isinstance(message, Concluded):
            self.amended = envelope
            return message
        if isinstance(message, Terminated):
            check_grounds(agreement, message)
            self._same(message.document)
            return None
        raise MalformedEnvelope("a leaf holds another document than its kind", document=envelope.digest)

    def _same(self, document: Document) -> None:
        if getattr(document, "agreement", None) != self._engagement.digest:
            raise AgreementDigestMismatch("a leaf of another agreement", agreement=self._engagement.digest)


def sent_name(envelope: Envelope) -> str:
    """Return the journal's name for a document of ours outside the exchanges."""
    return f"sent/{envelope.digest}"
