"""What the lab has kept that convicts an auditor, as a case anyone can judge."""

from __future__ import annotations

from attestations.adjudication.case import MAX_CLAIMS, Case, Claim
from attestations.documents.agreement import Agreement
from attestations.envelope import parse_envelope
from attestations.errors import EvidenceMissing, SequenceEquivocation, reason_of
from lab_server.home import Home
from lab_server.reading import reading_store


async def kept_case(home: Home, agreement: str | None) -> Case:
    """Return every kept pair of messages that claim one place, under one agreement.

    Args:
        home: the lab's folder, whether it serves or not.
        agreement: the agreement's digest or the engagement's name; None where only one has anything to show.

    Raises:
        EvidenceMissing: nothing is kept, or under several agreements and none was named.
    """
    async with reading_store(home) as store:
        found = {}
        for stored in await store.agreements():
            envelope = parse_envelope(stored.envelope)
            named = (stored.digest, Agreement.parse(envelope.payload).engagement)
            kept = await store.equivocations(stored.digest) if agreement in (None, *named) else []
            if kept:
                found[stored.digest] = (envelope, kept)
    if not found:
        raise EvidenceMissing("nothing is kept that would convict an auditor")
    if len(found) > 1:
        names = ", ".join(found)
        raise EvidenceMissing(f"evidence is kept under several agreements; name one with --agreement: {names}")
    ((envelope, kept),) = found.values()
    documents, claims = [], []
    for pair in kept[:MAX_CLAIMS]:
        documents += [parse_envelope(pair.first), parse_envelope(pair.second)]
        reason = reason_of(SequenceEquivocation)
        claims.append(Claim(against="auditor", reason=reason, about=documents[-1].digest))
    return Case(envelope, documents, claims=claims)
