"""The one function: from a case and a trust file to a verdict, the same for everyone who asks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from attestations.adjudication.case import Case, Claim
from attestations.adjudication.evidence import Evidence, weigh
from attestations.adjudication.rules import blame, contradicted_waits
from attestations.adjudication.verdict import Finding, Outcome, Verdict
from attestations.documents.base import parse_time
from attestations.documents.elicitation import PackAnswer
from attestations.documents.exchange import Intent, Promise, Record, Refusal
from attestations.errors import PromiseUnfulfilled, Unanswered, reason_of
from attestations.trust import Trust
from attestations.verify.parties import check_agreement, read_agreement

UNDER_ELICITED = "UNDER_ELICITED"
UNANSWERED, UNFULFILLED = reason_of(Unanswered), reason_of(PromiseUnfulfilled)


def adjudicate(case: Case, trust: Trust, at: datetime | None = None) -> Verdict:
    """Decide who, if anyone, is to blame. Pure: the same case and trust file always give the same verdict.

    A party that kept to the protocol is never blamed, whatever is in the case, as long as its keys are its own and
    the relay it agreed to is honest.

    Args:
        case: what was put forward; anyone may have made it.
        trust: whose agreement counts, and which keys were revoked.
        at: judge as of this time: later receipts of relays and later revocations do not count.

    Raises:
        UntrustedParty, MissingRoleSignature, SignatureInvalid, SignerRoleMismatch, KeyRevoked: the agreement is not
            one of two trusted parties, so nothing can be decided under it.
    """
    parties = read_agreement(case.agreement, trust)
    check_agreement(parties, trust)
    evidence = weigh(case, parties, trust, at)
    blamed = blame(evidence)
    answered = [_answer(evidence, claim, at) for claim in case.claims if not _backed(claim, blamed)]
    return Verdict((*blamed, *_relay_contradictions(evidence), *answered), tuple(evidence.set_aside))


def _backed(claim: Claim, blamed: list[Finding]) -> bool:
    return any(
        (item.role, item.reason) == (claim.against, claim.reason)
        and (claim.about is None or claim.about in item.evidence)
        for item in blamed
    )


def _answer(evidence: Evidence, claim: Claim, at: datetime | None) -> Finding:
    outcome, sentence, shown = _answered(evidence, claim, at)
    return Finding(outcome, claim.against, evidence.party(claim.against), claim.reason, sentence, shown)


def _answered(evidence: Evidence, claim: Claim, at: datetime | None) -> tuple[Outcome, str, tuple[str, ...]]:
    about = evidence.documents.get(claim.about or "")
    if claim.against == "lab" and claim.reason == UNANSWERED:
        if about is None or not isinstance(about.document, Intent):
            return "inconclusive", "no Intent that the auditor signed is shown, so there is nothing to answer", ()
        answers = [
            *(held.digest for held, promise in evidence.of(Promise) if promise.intent == about.digest),
            *(held.digest for held, refusal in evidence.of(Refusal) if refusal.intent == about.digest),
        ]
        if answers:
            return "cleared", "the lab's signed answer to this Intent is shown", (about.digest, *answers)
        return "inconclusive", _word_against_word(evidence, "an answer to this Intent"), (about.digest,)
    if claim.against == "lab" and claim.reason == UNFULFILLED:
        if about is None or not isinstance(about.document, Promise):
            return "inconclusive", "no Promise that the lab signed is shown, so nothing shows that a Record is owed", ()
        records = [held.digest for held, record in evidence.of(Record) if record.promise == about.digest]
        if records:
            return "cleared", "the lab's signed Record of this Promise is shown", (about.digest, *records)
        if at is not None and at < parse_time(about.document.respond_by):
            return "inconclusive", f"the Record is not due before {about.document.respond_by}", (about.digest,)
        return "inconclusive", _word_against_word(evidence, "a Record of this Promise"), (about.digest,)
    if claim.reason == UNDER_ELICITED:
        shown = [(held.digest, answer) for held, answer in evidence.of(PackAnswer)]
        said = "; ".join(
            "the lab was asked how to elicit its model and declined" if item.pack is None else "the lab gave a pack"
            for _, item in shown
        )
        sentence = f"whether a model was elicited well is for a panel; {said or 'no answer of the lab is shown'}"
        return "inconclusive", sentence, tuple(digest for digest, _ in shown)
    return "inconclusive", "nothing that is signed shows this", ()


def _word_against_word(evidence: Evidence, owed: str) -> str:
    if evidence.parties.agreement.relay_key() is None:
        return f"{owed} was given or not: word against word, because the parties agreed on no relay"
    return f"{owed} was given or not: word against word, until the agreed relay has put it before the lab"


def _relay_contradictions(evidence: Evidence) -> Iterator[Finding]:
    for put, put_at, _ in sorted(contradicted_waits(evidence)):
        relay = evidence.party("relay")
        sentence = f"{relay} says both that an answer came and that none did, to what it put forward at {put_at}"
        yield Finding("inconclusive", "relay", relay, UNANSWERED, sentence, (put,))
