"""Whether an offer keeps to the terms: what the lab can never give, and what a person may give beyond them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from attestations.documents.agreement import Access, Agreement, Budget, FineTuningGrant, Terms
from attestations.documents.base import parse_time
from attestations.errors import TermsRefused
from attestations.identity import Identity


def check_fixed(body: Agreement, terms: Terms, auditor: Identity, tls: str) -> None:
    """Refuse what nobody at the lab can agree to: other keys, models that are not served, another log.

    Raises:
        TermsRefused: the fact `field` says what.
    """
    if body.party("lab") != terms.lab:
        raise TermsRefused("the offer names other keys of ours", field="parties")
    if body.party("auditor") != auditor.party():
        raise TermsRefused("the offer names other keys of the auditor than were admitted", field="parties")
    if any(party.role == "relay" for party in body.parties):
        # Who names a relay must attend it, or is blamed for what lies there unanswered.
        raise TermsRefused("we attend no relay yet", field="parties")
    if (body.transport.gateway, body.transport.auditor) != (terms.gateway, tls):
        raise TermsRefused("the offer pins other TLS keys", field="transport")
    offered = {variant.id: variant for variant in terms.variants}
    if any(offered.get(variant.id) != variant for variant in body.variants):
        raise TermsRefused("the offer names a variant we do not serve as described", field="variants")
    if body.origin != f"{terms.origin_prefix.rstrip('/')}/{body.engagement}":
        raise TermsRefused("the log's name is not ours", field="origin")
    if body.runtime != terms.runtime:
        raise TermsRefused("we do not run at this level", field="runtime")
    if body.witnesses.quorum:
        raise TermsRefused("we have not agreed to witnesses", field="witnesses")


def check_terms(body: Agreement, terms: Terms) -> None:
    """Refuse the first thing that exceeds the terms.

    Raises:
        TermsRefused: the fact `field` says what.
    """
    for refusal in beyond(body, terms):
        raise refusal


def beyond(body: Agreement, terms: Terms) -> Iterator[TermsRefused]:
    """Give everything that exceeds the terms, in the order of the agreement."""
    yield from _scope(body, terms)
    yield from _budget(body.budget, terms.budget)
    if not _within_training(body.fine_tuning, terms.fine_tuning):
        yield TermsRefused("the offer asks for more fine-tuning than our terms", field="fineTuning")
    if not _within_access(body.access, terms.access):
        yield TermsRefused("the dates of access lie outside our terms", field="access")
    if body.timing != terms.timing:
        yield TermsRefused("the deadlines are not ours", field="timing")
    if body.policy.json_value() != terms.policy.json_value():
        yield TermsRefused("the disclosure policy is not the one of our terms", field="policy")
    if body.clauses != terms.clauses:
        yield TermsRefused("the clauses are not those of our terms", field="clauses")


def _within_training(wanted: FineTuningGrant | None, ours: FineTuningGrant | None) -> bool:
    if wanted is None or ours is None:
        return wanted is None
    return wanted.max_jobs <= ours.max_jobs and int(wanted.max_train_tokens) <= int(ours.max_train_tokens)


def _within_access(wanted: Access, ours: Access) -> bool:
    return (
        parse_time(ours.not_before) <= parse_time(wanted.not_before)
        and parse_time(wanted.not_after) <= parse_time(ours.not_after)
        and Decimal(wanted.business_days) <= Decimal(ours.business_days)
    )


def _scope(body: Agreement, terms: Terms) -> Iterator[TermsRefused]:
    scope, ours = body.scope, terms.scope
    within = {
        "variants": set(scope.variants) <= set(ours.variants),
        "operations": set(scope.operations) <= set(ours.operations),
        "tools": ours.tools or not scope.tools,
        "maxTopLogprobs": scope.max_top_logprobs <= ours.max_top_logprobs,
        "maxOutputTokens": scope.max_output_tokens <= ours.max_output_tokens,
        "maxSessions": scope.max_sessions <= ours.max_sessions,
    }
    for field, holds in within.items():
        if not holds:
            yield TermsRefused(f"the offer asks for more than our terms: {field}", field=f"scope.{field}")


def _budget(wanted: Budget, ours: Budget) -> Iterator[TermsRefused]:
    for field in type(ours).model_fields:
        if int(getattr(wanted, field)) > int(getattr(ours, field)):
            yield TermsRefused(f"the offer asks for more than our terms: {field}", field=f"budget.{field}")
