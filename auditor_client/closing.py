"""Ends the run: the lab states what took place, we compare it with what we hold, and both sign."""

from __future__ import annotations

from collections import Counter

from attestations.documents.engagement import CloseStatement, LogReceipt, StatusCounts
from attestations.documents.exchange import Meter, Record
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import CloseStatementMismatch, LogEquivocation, PhaseViolation
from attestations.keys import KeyUse
from auditor_client.cosigning import Cosigner
from auditor_client.engagement import Engagement, signed
from auditor_client.leaf_checks import sent_name
from auditor_client.mirror import Mirror
from auditor_client.ports import Journal, Lab

CLOSE = "close"
_COUNTED = {
    "completed": "COMPLETED",
    "refused_policy": "REFUSED_POLICY",
    "error": "ERROR",
    "timeout": "TIMEOUT",
    "cancelled": "CANCELLED_BY_AUDITOR",
    "aborted_crash": "ABORTED_CRASH",
}


async def close_run(
    *, engagement: Engagement, lab: Lab, journal: Journal, mirror: Mirror, cosigner: Cosigner
) -> CloseStatement:
    """Close the run, or finish closing it after a crash, and cosign the log with the close in it.

    Raises:
        PhaseViolation: exchanges are still open here; `run` finishes them.
        CloseStatementMismatch: the lab's account differs from ours; nothing is signed.
    """
    keys = (engagement.lab_record, engagement.agreement.auditor_key(KeyUse.EXCHANGE))
    kept = journal.recall(CLOSE)
    if kept is None:
        if any(journal.pending(session.name) for session in journal.sessions()):
            raise PhaseViolation("an exchange is still open: run again to finish it")
        await cosigner.cosign()
        stated = await lab.close(engagement.digest)
        statement = engagement.opened(stated, CloseStatement)
        engagement.belongs(statement.agreement)
        await cosigner.cosign()
        await _compare(statement, journal, mirror)
        ours = signed(statement, engagement.keys.exchange)
        envelope = Envelope(stated.payload_type, stated.payload, (*stated.signatures, *ours.signatures))
        await journal.remember(sent_name(envelope), envelope.to_bytes())
        await journal.remember(CLOSE, envelope.to_bytes())
    else:
        envelope = parse_envelope(kept)
        statement = engagement.opened(envelope, CloseStatement, *keys)
    receipt = engagement.opened(await lab.confirm_close(envelope), LogReceipt)
    if (receipt.kind, receipt.document) != ("close", envelope.digest):
        raise LogEquivocation("the lab's receipt is for another document", kind=receipt.kind)
    await cosigner.cosign()
    return statement


async def _compare(statement: CloseStatement, journal: Journal, mirror: Mirror) -> None:
    counts, meter = await _ours(journal)
    if statement.counts != counts:
        wrong = [name for name in StatusCounts.model_fields if getattr(statement.counts, name) != getattr(counts, name)]
        raise CloseStatementMismatch(f"the lab counts {wrong[0]} otherwise than we do", count=wrong[0])
    if statement.meter != meter:
        raise CloseStatementMismatch("the lab's meter is not the last Record's", count="meter")
    ours = {session.name: session.next_seq for session in journal.sessions() if session.prev is not None}
    theirs = {end.session: end.next_seq for end in statement.sessions}
    if ours != theirs or len(theirs) != len(statement.sessions):
        raise CloseStatementMismatch("the lab closes other sessions than we held", count="sessions")
    if statement.open_disputes:
        raise CloseStatementMismatch("the lab names disputes that are not open", count="disputes")
    if int(statement.tree_size) != mirror.size or statement.root != mirror.root().hex():
        raise CloseStatementMismatch("the lab closes another log than the one we follow", count="tree")


async def _ours(journal: Journal) -> tuple[StatusCounts, Meter]:
    statuses: Counter[str] = Counter()
    last, meter = -1, Meter()
    async for exchange in journal.exchanges():
        statuses[exchange.status] += 1
        if exchange.promise is not None:
            record = Record.parse(parse_envelope(exchange.document).payload)
            if int(record.log_index) > last:
                last, meter = int(record.log_index), record.meter_after
    promised = sum(count for status, count in statuses.items() if status != "REFUSED")
    counts = {name: str(statuses[status]) for name, status in _COUNTED.items()}
    return StatusCounts(promised=str(promised), refusals=str(statuses["REFUSED"]), **counts), meter
