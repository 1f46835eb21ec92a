"""An offer as a page shows it: the whole text, and what differs from the terms and from what was offered before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

from attestations.documents.agreement import Agreement, Terms
from attestations.documents.base import parse_time
from attestations.documents.negotiation import Offer
from attestations.errors import PhaseViolation
from attestations.negotiation.diff import Difference, differences
from attestations.negotiation.ledger import Stand
from attestations.negotiation.messages import Side, Sides
from attestations.negotiation.showing import previous_offer, standing
from attestations.policy.explain import explain
from attestations.policy.formula import parse_duration
from attestations.policy.words import class_words, duration_words, instant_words, recipient_words
from attestations.rendering.agreement_view import TermsView, terms_view
from attestations.rendering.pages import page

_RULE = re.compile(r"policy\.rules\[(?P<rule>[^\]]*)\]\.(?P<field>permit|oblige)")
_NAMED = re.compile(r"policy\.rules\[[^\]]*\]\.(?P<field>class|to)")
_NUMBER = re.compile(r"[0-9]{4,18}", re.ASCII)
_SPAN = re.compile(r"P[0-9]+(BD|D)|PT[0-9]+S")


@dataclass(frozen=True)
class Change:
    """One term before and after; None where it is not there."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Comparison:
    """What differs between two texts, by heading."""

    title: str
    before: str
    after: str
    groups: tuple[tuple[str, tuple[Change, ...]], ...]


@dataclass(frozen=True)
class OfferView:
    """Everything the page shows."""

    title: str
    standing: str
    facts: tuple[tuple[str, str], ...]
    tone: str
    binding: str
    consequence: str
    comparisons: tuple[Comparison, ...]
    terms: TermsView


def offer_page(stood: Stand, side: Side, sides: Sides, terms: Terms | None) -> str:
    """Return the page of the offer on the table, as HTML; as `offer_view`."""
    return page("offer.html", view=offer_view(stood, side, sides, terms))


def offer_view(stood: Stand, side: Side, sides: Sides, terms: Terms | None) -> OfferView:
    """Return what the page of the offer on the table shows, from where `side` stands.

    Args:
        stood: the negotiation so far; every message in it is verified.
        side: who reads.
        sides: whose keys sign.
        terms: the lab's own terms, if they are known.

    Raises:
        PhaseViolation: nothing is on the table.
    """
    thread = stood.thread
    if thread.table is None:
        raise PhaseViolation("no offer is on the table that could be shown as a page")
    table, compared = thread.table, []
    body = table.offer.body
    if thread.in_force is not None:
        agreed = thread.in_force.agreement
        compared.append(comparison("Changes to the agreement in force", agreed, body, "In force", "Offered"))
    elif terms is not None:
        compared.append(comparison("Differences from the lab's terms", terms, body, "The lab's terms", "Offered"))
    before = previous_offer(stood.entries, sides, table)
    if before is not None:
        compared.append(comparison("Changes since the offer before", before, body, "Before", "Now"))
    whose = "ours" if table.by == side else "theirs"
    return _view(
        table.offer,
        f"by the {table.by} ({whose})",
        standing(thread, side),
        (
            ("Offer", table.envelope.digest),
            ("Agreement", table.agreement),
            *((("Signed already by", ", ".join(sorted(table.consenting))),) if table.consenting else ()),
        ),
        tuple(compared),
    )


def offer_file_view(offer: Offer, digest: str, against: Agreement | Terms | None) -> OfferView:
    """Return what the page of an offer in a file shows; whoever signed it is not checked."""
    compared = () if against is None else (comparison("Differences", against, offer.body, "The other file", "Offered"),)
    return _view(
        offer,
        "from a file",
        "Who signed it was not checked: a party's own program does.",
        (("Offer", digest),),
        compared,
    )


def comparison(title: str, before: Agreement | Terms, after: Agreement, one: str, other: str) -> Comparison:
    """Return what differs, with formulas and durations in words."""
    found = differences(before, after)
    words = (_formulas(before), _formulas(after))
    groups = tuple(
        (heading, tuple(_change(item, *words) for item in items))
        for heading, items in groupby(found, key=lambda item: item.heading)
    )
    return Comparison(title, one, other, groups)


def _view(
    offer: Offer, whose: str, stands: str, facts: tuple[tuple[str, str], ...], compared: tuple[Comparison, ...]
) -> OfferView:
    terms = terms_view(offer.body)
    kind = "Amendment" if offer.body.supersedes is not None else "Offer"
    until = instant_words(parse_time(offer.valid_until))
    good = not terms.findings
    return OfferView(
        title=f"{kind} {offer.n} {whose} on the audit “{offer.body.engagement}”",
        standing=f"{stands[0].upper()}{stands[1:]}",
        facts=(("Valid until", until), *facts),
        tone="open" if good else "bad",
        binding="An offer binds nobody yet." if good else "Neither side can accept this: it breaks the linter's rules.",
        consequence=(
            "Accepting it locks the acceptor's signature until the offer ends; it is in force once the other side has "
            "signed the same bytes" + (" and the log holds it." if offer.body.supersedes is not None else ".")
        ),
        comparisons=compared,
        terms=terms,
    )


def _formulas(document: Agreement | Terms) -> dict[tuple[str, str], str]:
    """Return {(rule, permit or oblige): words}."""
    rules = explain(document.policy).rules
    return {
        **{(rule.id, "permit"): f"when {rule.may_when}" for rule in rules},
        **{(rule.id, "oblige"): f"when {rule.must_when}" if rule.must_when else "never" for rule in rules},
    }


def _change(item: Difference, before: dict[tuple[str, str], str], after: dict[tuple[str, str], str]) -> Change:
    return Change(item.name, _words(item.path, item.before, before), _words(item.path, item.after, after))


def _words(path: str, value: str | None, formulas: dict[tuple[str, str], str]) -> str | None:
    if value is None:
        return None
    formula, named = _RULE.fullmatch(path), _NAMED.fullmatch(path)
    if formula is not None:
        return formulas.get((formula["rule"], formula["field"]), value)
    if named is not None:
        return class_words(value) if named["field"] == "class" else recipient_words(value)
    if _NUMBER.fullmatch(value):
        return f"{int(value):,}"
    return (duration_words(parse_duration(value)) or "no time") if _SPAN.fullmatch(value) else value
