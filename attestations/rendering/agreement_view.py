"""An agreement as a page shows it: every value a string, nothing left to the template but its place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from attestations.digests import sha256
from attestations.documents.agreement import Agreement, Clauses, FineTuningGrant, Party
from attestations.documents.base import decode, parse_time
from attestations.envelope import Envelope
from attestations.policy.agreement_rules import lint_agreement
from attestations.policy.evaluate import Bounds, Seen
from attestations.policy.explain import Explanation, explain
from attestations.policy.finding import Finding
from attestations.policy.simulate import simulate
from attestations.policy.words import class_words, instant_words, recipient_words
from attestations.rendering.signatures import Signatures, signatures_of
from attestations.rendering.timeline import TERMS, Picture, picture
from attestations.templates.wording import TITLES, standard_wording
from attestations.trust import Trust

EXAMPLE = timedelta(days=90)
_ROLES = {
    "lab": "Lab",
    "auditor": "Auditor",
    "regulator": "Regulator",
    "escrow": "Escrow holder",
    "recipient": "Recipient",
}
_KINDS = {
    "deployed": "as deployed",
    "helpful_only": "helpful only, without refusals",
    "safeguards_off": "safeguards off",
    "custom": "custom",
}


@dataclass(frozen=True)
class PartyView:
    """One party and the fingerprints of its keys."""

    role: str
    id: str
    keys: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ClauseView:
    """One clause: the term software reads, and the words beside it."""

    title: str
    term: str
    text: str
    note: str


@dataclass(frozen=True)
class TermsView:
    """What is agreed or offered: the same for every page that shows it."""

    parties: tuple[PartyView, ...]
    facts: tuple[tuple[str, str], ...]
    variants: tuple[tuple[str, str, str], ...]
    policy: Explanation
    rules: tuple[tuple[str, str, str, str, str], ...]
    timeline: Picture
    example: str
    clauses: tuple[ClauseView, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class AgreementView:
    """Everything the page shows."""

    engagement: str
    digest: str
    supersedes: str | None
    created: str
    signatures: Signatures
    terms: TermsView


def agreement_view(envelope: Envelope, agreement: Agreement, trust: Trust | None) -> AgreementView:
    """Return what the page of an agreement shows.

    Args:
        envelope: the signed envelope.
        agreement: the document in it.
        trust: the reader's trust file, if there is one.
    """
    return AgreementView(
        engagement=agreement.engagement,
        digest=sha256(envelope.payload),
        supersedes=agreement.supersedes,
        created=instant_words(parse_time(agreement.created_at)),
        signatures=signatures_of(envelope, agreement, trust),
        terms=terms_view(agreement),
    )


def terms_view(agreement: Agreement) -> TermsView:
    """Return what a page shows of the terms in an agreement, signed or not."""
    closed = parse_time(agreement.access.not_after)
    at = Bounds(closed, closed)
    assumed = [Seen(name, None, at) for name in ("RUN_CLOSED", "DELIVERED")]
    explained = explain(agreement.policy, agreement.escrow, agreed=True)
    return TermsView(
        parties=tuple(_party(party) for party in agreement.parties),
        facts=_facts(agreement),
        variants=tuple(
            (variant.id, _KINDS[variant.kind] + (f", from {variant.parent}" if variant.parent else ""), variant.note)
            for variant in agreement.variants
        ),
        policy=explained,
        rules=tuple(
            (
                _capital(class_words(rule.content_class)),
                _capital(recipient_words(rule.to)),
                rule.may_when,
                rule.must_when,
                " ".join(text for text in (rule.delay, rule.silence) if text),
            )
            for rule in explained.rules
        ),
        timeline=picture(simulate(agreement.policy, assumed, closed + EXAMPLE), TERMS),
        example=(
            f"Example, not a term: the run closes on {instant_words(closed)}, when access ends; the lab says nothing "
            f"and holds nothing back. The picture ends after {EXAMPLE.days} days; the table says what comes later."
        ),
        clauses=_clauses(agreement.clauses),
        findings=lint_agreement(agreement),
    )


def fingerprint(public: str) -> str:
    """Return the SHA-256 of a key in groups of four, to be compared over another channel."""
    digest = hashlib.sha256(decode(public)).hexdigest()
    return " ".join(digest[place : place + 4] for place in range(0, len(digest), 4))


def _party(party: Party) -> PartyView:
    role = _ROLES[party.role]
    group = getattr(party, "group", None)
    return PartyView(
        role=role if group is None else f"{role}, group {group}",
        id=party.id,
        keys=tuple((key.use, fingerprint(key.public)) for key in party.keys),
    )


def _facts(agreement: Agreement) -> tuple[tuple[str, str], ...]:
    scope, budget, access, timing = agreement.scope, agreement.budget, agreement.access, agreement.timing
    witnesses = agreement.witnesses
    return (
        ("Models in scope", ", ".join(scope.variants)),
        ("What may be asked", ", ".join(scope.operations) + (", with tools" if scope.tools else ", without tools")),
        ("Log-probabilities", f"the top {scope.max_top_logprobs} of each token" if scope.max_top_logprobs else "none"),
        ("Longest answer", f"{scope.max_output_tokens:,} tokens"),
        ("Sessions at once", f"{scope.max_sessions:,}"),
        ("Requests", f"{int(budget.requests):,} in all"),
        ("Tokens", f"{int(budget.input_tokens):,} read and {int(budget.output_tokens):,} written in all"),
        *_training(agreement.fine_tuning),
        ("Access from", instant_words(parse_time(access.not_before))),
        ("Access until", instant_words(parse_time(access.not_after))),
        ("Effective access owed", f"{access.business_days} business days"),
        ("Deadlines", f"{timing.respond_seconds:,} s to answer, {timing.skew_seconds:,} s of clock skew tolerated"),
        (
            "Runtime",
            f"level {agreement.runtime.level}; no prompts kept after a session, no training on them (the lab's word)",
        ),
        ("Log", agreement.origin),
        (
            "Witnesses",
            f"{witnesses.quorum} of {len(witnesses.keys)} must cosign" if witnesses.quorum else "none agreed",
        ),
    )


def _clauses(clauses: Clauses) -> tuple[ClauseView, ...]:
    signed = {words.clause: words.text for words in clauses.wording}
    terms = {
        "nogag": _promised(clauses.no_gag),
        "safeharbor": _promised(clauses.safe_harbor),
        "publication": clauses.publication_control,
        "authorship": clauses.authorship,
        "training": _promised(clauses.no_training),
        "retention": _retention(clauses),
        "finetuning": clauses.fine_tuning.replace("_", " "),
        "funding": clauses.funding + (", depends on the result" if clauses.contingent_pay else ""),
    }
    views = []
    for words in standard_wording(clauses):
        text = signed.get(words.clause, words.text)
        note = (
            "" if words.clause in signed else "Explanation by this program: the signed document holds the term alone."
        )
        if text != words.text:
            note = "These words differ from the standard ones for this term."
        views.append(ClauseView(TITLES[words.clause], terms[words.clause], text, note))
    views.append(_ending(clauses))
    if clauses.elicitation_days is not None:
        days = clauses.elicitation_days
        text = f"Once the auditor has disclosed its DEV tasks, the lab has {days} days to advise before TEST may begin."
        note = "Explanation by this program: the signed document holds the term alone."
        views.append(ClauseView("Advice on elicitation", f"{days} days", text, note))
    views += [ClauseView(name, "words only", text, "") for name, text in signed.items() if name not in terms]
    return tuple(views)


def _ending(clauses: Clauses) -> ClauseView:
    note = "Explanation by this program: the signed document holds the term alone."
    ending = clauses.termination
    if ending is None:
        text = "It ends before its time only when both sides sign that it does. What is owed by then stays owed."
        return ClauseView("Ending early", "both together", text, note)
    who = "Either side" if ending.by == "either" else f"The {ending.by}"
    text = f"{who} may end the agreement alone with {ending.notice_days} days' notice. What is owed by then stays owed."
    return ClauseView("Ending early", f"{ending.by}, {ending.notice_days} days", text, note)


def _promised(value: bool) -> str:  # noqa: FBT001 - one word of the document
    return "promised" if value else "not promised"


def _retention(clauses: Clauses) -> str:
    kept = clauses.retention
    return "not promised" if kept is None else f"lab {kept.lab_days} days, auditor {kept.auditor_days} days"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _training(granted: FineTuningGrant | None) -> list[tuple[str, str]]:
    if granted is None:
        return []
    return [("Fine-tuning", f"{granted.max_jobs} jobs, {int(granted.max_train_tokens):,} training tokens in all")]
