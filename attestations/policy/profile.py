"""L8: the profile of the EU General-Purpose AI Code of Practice, Measure 3.5(5).

Under it a lab cannot delay or block the publication of findings for more than 30 business days from notice, unless
that is exceptionally necessary. Notice is the policy's anchor. What delays is what the lab can do (withhold its
consent or a market placement, hold) and, for results and findings, plain waiting as well. That tasks and
transcripts stay sealed for a while protects the auditor's suite, so there only what the lab can do counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from attestations.policy.counterexample import Counterexample
from attestations.policy.formula import parse_duration
from attestations.policy.model import Policy, Rule
from attestations.policy.terms import ALWAYS, NEVER, Both, Source, Term, Terms, mapped, terms_of

PROFILE = "eu-gpai-cop"
LONGEST_DELAY = 30
_BY_THE_LAB = ("LAB_CONSENT", "MARKET_PLACEMENT")
_RESULTS = ("C2", "C3", "C4")
Refute = Callable[[Terms, Terms], Counterexample | None]


def exceeds_profile(policy: Policy, rule: Rule, refute: Refute) -> str | None:
    """Return why a rule breaks the profile its policy names, or None."""
    if policy.profile != PROFILE or rule.to != "PUBLIC":
        return None
    notice = Term(Source(policy.anchor))
    permits = terms_of(policy, policy.permits(rule))
    slowest = mapped(permits, lambda term: _refused(term, parse_duration(policy.max_hold).business_days))
    quickest = mapped(permits, lambda term: _granted(term, notice, waits=rule.content_class not in _RESULTS))
    allowed = mapped(Both((quickest, notice)), _later)
    if refute(allowed, slowest) is None:
        return None
    if rule.exceptional is None:
        return f"rule {rule.id} lets the lab delay publication by more than 30 business days"
    told = policy.rule(rule.content_class, "REGULATOR")
    obliges = None if told is None else told.obliges()
    if obliges is None:
        return f"rule {rule.id} is exceptional, but the regulator need not be given {rule.content_class}"
    known = mapped(Both((notice, Term(Source("DELIVERED")))), _later)
    owed = mapped(terms_of(policy, obliges), lambda term: _refused(term, parse_duration(policy.max_hold).business_days))
    if refute(known, owed) is not None:
        return f"rule {rule.id} is exceptional, but the regulator gets {rule.content_class} too late"
    return None


def _refused(term: Term, hold: int) -> Terms:
    if isinstance(term.source, Source) and term.source.name in _BY_THE_LAB:
        return NEVER
    return replace(term, business_days=term.business_days + hold, hold=False) if term.hold else term


def _granted(term: Term, notice: Term, *, waits: bool) -> Terms:
    if isinstance(term.source, Source):
        if term.source.name in _BY_THE_LAB:
            return notice
        return replace(term, hold=False) if waits else Term(term.source)
    return replace(term, hold=False) if waits else ALWAYS


def _later(term: Term) -> Terms:
    return replace(term, business_days=term.business_days + LONGEST_DELAY)
