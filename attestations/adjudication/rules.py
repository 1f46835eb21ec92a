"""The rules that blame: each names signed documents that no party which keeps to the protocol can have signed together.

Time never rests on a party's own clock: what was owed and not done is shown by a relay that both sides named, or
it stays open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from attestations.adjudication.evidence import Evidence, stated_time
from attestations.adjudication.verdict import Finding
from attestations.documents.agreement import Agreement, PartyRole
from attestations.documents.base import Document, parse_time
from attestations.documents.dispute import Denial, RelayReceipt
from attestations.documents.engagement import LogReceipt, SessionGrant
from attestations.documents.exchange import Intent, Promise, Record, Refusal
from attestations.errors import (
    FalseDenial,
    LogEquivocation,
    PromiseUnfulfilled,
    RecordEquivocation,
    SafeconductError,
    SequenceEquivocation,
    Unanswered,
    reason_of,
)


class OnePlace(NamedTuple):
    """A place that a party signs for once: two different documents there convict it."""

    kinds: tuple[type[Document], ...]
    role: PartyRole
    error: type[SafeconductError]
    place: Callable[[Any], tuple[object, ...]]
    sentence: str


ONE_PLACE: tuple[OnePlace, ...] = (
    OnePlace(
        (Intent,),
        "auditor",
        SequenceEquivocation,
        lambda item: (item.session, item.seq),
        "signed different Intents for one place (session {}, seq {})",
    ),
    OnePlace(
        (Promise, Refusal),
        "lab",
        SequenceEquivocation,
        lambda item: (item.session, item.seq),
        "gave different answers to one place (session {}, seq {})",
    ),
    OnePlace(
        (Record,),
        "lab",
        RecordEquivocation,
        lambda item: (item.session, item.seq),
        "signed different Records of one exchange (session {}, seq {})",
    ),
    OnePlace(
        (Record,), "lab", RecordEquivocation, lambda item: (item.promise,), "signed different Records of one Promise {}"
    ),
    OnePlace(
        (SessionGrant, Promise, Refusal, Record, LogReceipt),
        "lab",
        LogEquivocation,
        lambda item: (item.log_index,),
        "signed different leaves for one place of its log (leaf {})",
    ),
)


def blame(evidence: Evidence) -> list[Finding]:
    """Return every finding that the evidence makes against a party, claimed or not."""
    found: list[Finding] = []
    for rule in ONE_PLACE:
        shown = {(item.reason, item.evidence) for item in found}
        found += [item for item in _one_place(evidence, rule) if (item.reason, item.evidence) not in shown]
    found += _two_histories(evidence)
    found += _denials(evidence)
    found += _relayed(evidence)
    return found


def finding(evidence: Evidence, role: PartyRole, error: type[SafeconductError], said: str, *shown: str) -> Finding:
    """Return a finding that blames the lab or the auditor."""
    party = evidence.party(role)
    return Finding("blamed", role, party, reason_of(error), f"{party} {said}", shown)


def _one_place(evidence: Evidence, rule: OnePlace) -> Iterator[Finding]:
    places: Mapping[tuple[object, ...], list[str]] = defaultdict(list)
    for kind in rule.kinds:
        for held, document in evidence.of(kind):
            places[rule.place(document)].append(held.digest)
    for place, digests in places.items():
        if len(digests) > 1:
            named = (str(part)[:64] for part in place)
            yield finding(evidence, rule.role, rule.error, rule.sentence.format(*named), *sorted(digests))


def _two_histories(evidence: Evidence) -> Iterator[Finding]:
    roots: dict[int, dict[bytes, str]] = defaultdict(dict)
    for checkpoint, digest in evidence.checkpoints:
        roots[checkpoint.size].setdefault(checkpoint.root, digest)
    for size, digests in sorted(roots.items()):
        if len(digests) > 1:
            said = f"signed different roots of its log at one size ({size} leaves)"
            yield finding(evidence, "lab", LogEquivocation, said, *sorted(digests.values()))
    for older, newer in evidence.forks:
        large, small = newer.checkpoint.size, older.checkpoint.size
        said = f"signed a log of {large} leaves that does not begin with its log of {small}"
        yield finding(evidence, "lab", LogEquivocation, said, older.digest, newer.digest)


def _denials(evidence: Evidence) -> Iterator[Finding]:
    for held, denial in evidence.of(Denial):
        denied = evidence.documents.get(denial.document)
        if denied is None or denied.role != held.role:
            continue
        stated = stated_time(denied.document)
        # What is dated later than the denial may have been signed later: nobody denies what does not exist yet.
        if stated is None or stated < parse_time(denial.stated_at):
            said = f"denies a document that it signed ({type(denied.document).__name__} {denied.digest[:16]})"
            yield finding(evidence, held.role, FalseDenial, said, denied.digest, held.digest)


def _relayed(evidence: Evidence) -> Iterator[Finding]:
    agreement = evidence.parties.agreement
    contradicted, gone_on, patience = contradicted_waits(evidence), _gone_on(evidence), _patience(agreement)
    for held, receipt in evidence.of(RelayReceipt):
        put = evidence.documents.get(receipt.put)
        if put is None or receipt.answer is not None or _wait(receipt) in contradicted or put.digest in gone_on:
            continue
        put_at, until = parse_time(receipt.put_at), parse_time(receipt.until)
        if until - put_at < patience or not _owed(put.document, put_at, agreement):
            continue
        error: type[SafeconductError] = Unanswered if isinstance(put.document, Intent) else PromiseUnfulfilled
        said = (
            f"left the {type(put.document).__name__} ({put.digest[:16]}) without any answer, from {receipt.put_at}"
            f" when {evidence.party('relay')} put it before the lab, until {receipt.until}"
        )
        yield finding(evidence, "lab", error, said, put.digest, held.digest)


def contradicted_waits(evidence: Evidence) -> set[tuple[str, str, str]]:
    """Return the waits about which a relay has signed both that an answer came and that none did."""
    answers: dict[tuple[str, str, str], set[bool]] = defaultdict(set)
    for _, receipt in evidence.of(RelayReceipt):
        answers[_wait(receipt)].add(receipt.answer is None)
    return {wait for wait, said in answers.items() if len(said) > 1}


def _wait(receipt: RelayReceipt) -> tuple[str, str, str]:
    return receipt.put, receipt.put_at, receipt.until


def _patience(agreement: Agreement) -> timedelta:
    return timedelta(seconds=agreement.timing.relay_seconds or 0)


def _owed(document: Document, put_at: datetime, agreement: Agreement) -> bool:
    """Tell whether the lab owed an answer to what was put before it then, and attended its relay."""
    timing, ends = agreement.timing, parse_time(agreement.access.not_after)
    match document:
        case Intent():
            return put_at <= ends
        case Promise():
            # A Promise may be the last thing of the access period; its Record can be asked for once it is due.
            longest = timedelta(seconds=timing.reveal_seconds + timing.respond_seconds)
            return parse_time(document.respond_by) <= put_at <= ends + longest + _patience(agreement)
    return False


def _gone_on(evidence: Evidence) -> set[str]:
    """Return the Intents and Promises whose outcome an Intent of the auditor follows: who goes on from it had it."""
    followed = {intent.prev for _, intent in evidence.of(Intent)}
    done = {refusal.intent for held, refusal in evidence.of(Refusal) if held.digest in followed}
    done |= {record.promise for held, record in evidence.of(Record) if held.digest in followed}
    return done | {promise.intent for held, promise in evidence.of(Promise) if held.digest in done}
