"""What we keep when the lab's signatures contradict each other or stop, and the case anyone can judge it by.

Nothing of a request or an answer is in a case: documents hold commitments only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attestations.adjudication.case import Case, Claim, Fork
from attestations.adjudication.judging import UNANSWERED, UNFULFILLED, adjudicate
from attestations.canonical import parse_canonical
from attestations.checkpoint import Checkpoint, open_checkpoint, prove_fork
from attestations.documents.exchange import Promise
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import EvidenceMissing, SafeconductError
from attestations.log_entries import parse_entry
from attestations.merkle import Tree
from attestations.notes import parse_note
from attestations.trust import Trust, TrustedParty
from auditor_client.engagement import Engagement
from auditor_client.mirror import Mirror
from auditor_client.ports import Journal

COSIGNED = "checkpoint"
_DOCUMENT, _NOTE = "dispute/document/", "dispute/note/"
_MOST_DOCUMENTS = 4000  # of 4096 in a case
_MOST_NOTES = 60


async def keep_documents(journal: Journal, documents: Iterable[Envelope]) -> None:
    """Keep signed documents that a failure made evidence of."""
    for document in documents:
        await journal.remember(_DOCUMENT + document.digest, document.to_bytes())


async def keep_leaves(journal: Journal, *leaves: bytes) -> None:
    """Keep the documents of leaves; bytes that are no leaf show nothing."""
    for leaf in leaves:
        try:
            documents = parse_entry(leaf).documents
        except SafeconductError:
            continue
        await keep_documents(journal, documents)


async def keep_note(journal: Journal, text: str) -> None:
    """Keep a checkpoint that the lab signed and that we will not cosign."""
    await journal.remember(f"{_NOTE}{len(journal.names(_NOTE)):06}", text.encode())


def kept_case(engagement: Engagement, journal: Journal, mirror: Mirror) -> Case:
    """Return everything that was kept, with what we hold of the same exchanges, as a case against the lab.

    Raises:
        EvidenceMissing: nothing is kept and no exchange is open.
    """
    documents = {item.digest: item for item in _kept_documents(journal)}
    claims = list(_open_exchanges(journal, documents))
    notes = [note for name in journal.names(_NOTE)[-_MOST_NOTES:] if (note := _text(journal, name))]
    if not documents and not notes:
        raise EvidenceMissing("nothing is kept that would convict the lab, and no exchange is open")
    cosigned = _text(journal, COSIGNED)
    if cosigned:
        notes.append(cosigned)
    case = Case(
        engagement.envelope,
        list(documents.values())[:_MOST_DOCUMENTS],
        notes,
        list(_forks(engagement, notes, mirror)) if cosigned else [],
        claims,
    )
    return Case(case.agreement, case.documents, case.checkpoints, case.forks, (*_shown(engagement, case), *claims))


def _kept_documents(journal: Journal) -> Iterator[Envelope]:
    for name in journal.names(_DOCUMENT):
        envelope = parse_envelope(journal.recall(name) or b"")
        yield envelope
        place = _place(envelope)
        held = None if place is None else journal.held(*place)
        if held is not None:
            yield from (parse_envelope(data) for data in held if data is not None)


def _place(envelope: Envelope) -> tuple[str, int] | None:
    try:
        value = parse_canonical(envelope.payload)
    except SafeconductError:
        return None
    session, seq = value.get("session"), value.get("seq")
    return (session, seq) if isinstance(session, str) and isinstance(seq, int) else None


def _open_exchanges(journal: Journal, documents: dict[str, Envelope]) -> Iterator[Claim]:
    """Add the Intents that have no outcome and give what can be asked about each."""
    promised = {}
    for item in documents.values():
        if item.payload_type == Promise.payload_type:
            promised[Promise.parse(item.payload).intent] = item.digest
    for session in journal.sessions():
        pending = journal.pending(session.name)
        if pending is None:
            continue
        intent = parse_envelope(pending.intent)
        documents[intent.digest] = intent
        promise = promised.get(intent.digest)
        reason = UNANSWERED if promise is None else UNFULFILLED
        yield Claim(against="lab", reason=reason, about=promise or intent.digest)


def _text(journal: Journal, name: str) -> str:
    return (journal.recall(name) or b"").decode()


def _forks(engagement: Engagement, notes: list[str], mirror: Mirror) -> Iterator[Fork]:
    """Prove from our copy of the log, where that can be done, that a kept checkpoint contradicts ours."""
    ours, newer = _opened(engagement, notes[-1]), len(notes) - 1
    if ours is None or mirror.size < ours.size:
        return
    tree = Tree(mirror.hash_at(index) for index in range(ours.size))
    for number, text in enumerate(notes[:-1]):
        other = _opened(engagement, text)
        if other is None or not 0 < other.size < ours.size:
            continue
        shown = prove_fork(tree, other, ours)
        if shown is not None:
            proof = tuple(item.hex() for item in shown[1])
            yield Fork(older=number, newer=newer, prefix_root=shown[0].hex(), proof=proof)


def _opened(engagement: Engagement, text: str) -> Checkpoint | None:
    try:
        return open_checkpoint(parse_note(text), origin=engagement.agreement.origin, log_key=engagement.lab_log)
    except SafeconductError:
        return None


def _shown(engagement: Engagement, case: Case) -> Iterator[Claim]:
    """Claim what the evidence shows, so that a reader sees what the case is about."""
    sides = [party for party in engagement.agreement.parties if party.role in ("lab", "auditor")]
    trust = Trust(parties=tuple(TrustedParty(role=party.role, id=party.id, keys=party.keys) for party in sides))
    for finding in adjudicate(case, trust).findings:
        if finding.outcome == "blamed" and finding.role == "lab":
            yield Claim(against="lab", reason=finding.reason, about=finding.evidence[0])
