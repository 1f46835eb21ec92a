"""What of a case holds: every document under its party's key, every checkpoint under the log's, the rest set aside.

Setting aside blames nobody. A case is not signed, so a forgery in it says nothing about either party.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from attestations.adjudication.case import Case, Fork
from attestations.checkpoint import Checkpoint, is_fork, open_checkpoint
from attestations.digests import sha256
from attestations.documents.agreement import PartyRole
from attestations.documents.base import Document, encode, parse_time
from attestations.documents.dispute import Denial, RelayReceipt
from attestations.documents.elicitation import PackAnswer
from attestations.documents.engagement import LogReceipt, SessionGrant
from attestations.documents.exchange import Intent, Promise, Record, Refusal
from attestations.envelope import Envelope, open_document
from attestations.errors import (
    AttributionFailed,
    CheckpointInvalid,
    ConsistencyProofInvalid,
    KeyRevoked,
    PayloadTypeMismatch,
    SafeconductError,
    TimeOrderViolation,
    UntrustedParty,
)
from attestations.keys import EnrolledKey
from attestations.notes import parse_note
from attestations.trust import Trust
from attestations.verify.parties import Parties

D = TypeVar("D", bound=Document)
T = TypeVar("T")
_Signer = tuple[PartyRole, EnrolledKey]


@dataclass(frozen=True)
class Held:
    """A document that holds: who signed it, what it says, and the digest that is its name."""

    role: PartyRole
    document: Document
    digest: str


class SetAside(NamedTuple):
    """Something in a case that shows nothing, and why."""

    what: str
    reason: str
    message: str


class HeldCheckpoint(NamedTuple):
    """A checkpoint that the log's key signed, and the digest of its note."""

    checkpoint: Checkpoint
    digest: str


@dataclass
class Evidence:
    """Everything of a case that holds; documents by digest, so that one document is one however often it is shown."""

    parties: Parties
    documents: dict[str, Held] = field(default_factory=dict)
    checkpoints: list[HeldCheckpoint] = field(default_factory=list)
    forks: list[tuple[HeldCheckpoint, HeldCheckpoint]] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)

    def party(self, role: PartyRole) -> str:
        """Return the name of the party in a role."""
        return self.parties.agreement.party(role).id

    def of(self, kind: type[D]) -> Iterator[tuple[Held, D]]:
        """Give every held document of a kind, in the order of their digests."""
        for _, held in sorted(self.documents.items()):
            if isinstance(held.document, kind):
                yield held, held.document


def weigh(case: Case, parties: Parties, trust: Trust, at: datetime | None) -> Evidence:
    """Return what of a case holds under its agreement.

    Args:
        case: the case.
        parties: its agreement, opened.
        trust: tells which keys were revoked.
        at: leave out what relays signed, and revocations, after this time.
    """
    evidence = Evidence(parties)
    signers = _signers(parties)
    for number, envelope in enumerate(case.documents):
        held = _attempt(evidence, f"document {number}", partial(_open, envelope, signers, parties, trust, at))
        if held is not None:
            evidence.documents[held.digest] = held
    numbered: dict[int, HeldCheckpoint] = {}
    for number, text in enumerate(case.checkpoints):
        checkpoint = _attempt(evidence, f"checkpoint {number}", partial(_checkpoint, text, parties, trust, at))
        if checkpoint is not None:
            numbered[number] = checkpoint
    evidence.checkpoints = list(numbered.values())
    for number, fork in enumerate(case.forks):
        pair = _attempt(evidence, f"fork {number}", partial(_fork, fork, numbered))
        if pair is not None:
            evidence.forks.append(pair)
    return evidence


def stated_time(document: Document) -> datetime | None:
    """Return the time a party gave a document; an Intent has none, and is random enough that nobody can foresee one."""
    match document:
        case SessionGrant():
            return parse_time(document.granted_at)
        case Promise():
            return parse_time(document.promised_at)
        case Refusal():
            return parse_time(document.refused_at)
        case Record():
            return parse_time(document.finished_at)
        case LogReceipt():
            return parse_time(document.logged_at)
        case Denial() | PackAnswer():
            return parse_time(document.stated_at)
    return None


def _signers(parties: Parties) -> dict[type[Document], tuple[_Signer, ...]]:
    lab: tuple[_Signer, ...] = (("lab", parties.lab_record),)
    relay = parties.agreement.relay_key()
    return {
        Intent: (("auditor", parties.auditor_exchange),),
        **dict.fromkeys((SessionGrant, Promise, Refusal, Record, LogReceipt), lab),
        Denial: (("lab", parties.lab_agreement), ("auditor", parties.auditor_agreement)),
        PackAnswer: (("lab", parties.lab_agreement),),
        RelayReceipt: () if relay is None else (("relay", relay),),
    }


def _open(
    envelope: Envelope,
    signers: dict[type[Document], tuple[_Signer, ...]],
    parties: Parties,
    trust: Trust,
    at: datetime | None,
) -> Held:
    kind = next((kind for kind in signers if kind.payload_type == envelope.payload_type), None)
    if kind is None:
        raise PayloadTypeMismatch("not a kind of document that decides anything here")
    failure: SafeconductError = UntrustedParty("the agreement names no relay")
    for role, key in signers[kind]:
        try:
            document = open_document(envelope, kind, required=(key,), known=parties.known)
        except SafeconductError as error:
            failure = error
            continue
        if getattr(document, "agreement", None) != parties.digest:
            raise AttributionFailed("a document of another agreement")
        _check_revoked(key, trust, at)
        if isinstance(document, RelayReceipt) and at is not None and parse_time(document.signed_at) > at:
            raise TimeOrderViolation("a relay's receipt from after the time to judge at")
        return Held(role, document, envelope.digest)
    raise failure


def _checkpoint(text: str, parties: Parties, trust: Trust, at: datetime | None) -> HeldCheckpoint:
    checkpoint = open_checkpoint(parse_note(text), origin=parties.agreement.origin, log_key=parties.lab_log)
    _check_revoked(parties.lab_log, trust, at)
    return HeldCheckpoint(checkpoint, sha256(text.encode()))


def _fork(fork: Fork, checkpoints: dict[int, HeldCheckpoint]) -> tuple[HeldCheckpoint, HeldCheckpoint]:
    older, newer = checkpoints.get(fork.older), checkpoints.get(fork.newer)
    if older is None or newer is None:
        raise CheckpointInvalid("a fork between checkpoints that do not hold")
    proof = tuple(bytes.fromhex(item) for item in fork.proof)
    if not is_fork(older.checkpoint, newer.checkpoint, prefix_root=bytes.fromhex(fork.prefix_root), proof=proof):
        raise ConsistencyProofInvalid("both checkpoints are of one history")
    return older, newer


def _check_revoked(key: EnrolledKey, trust: Trust, at: datetime | None) -> None:
    # A thief signs whatever date he likes: once a key is revoked, nothing it signed convicts its owner.
    revoked = trust.revoked_at(encode(key.public))
    if revoked is not None and (at is None or parse_time(revoked) <= at):
        raise KeyRevoked(f"the {key.use.value} key of {key.party} has been revoked", party=key.party)


def _attempt(evidence: Evidence, what: str, action: Callable[[], T]) -> T | None:
    try:
        return action()
    except SafeconductError as error:
        evidence.set_aside.append(SetAside(what, error.reason, error.message))
        return None
