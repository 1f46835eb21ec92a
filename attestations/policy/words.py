"""The policy's classes, recipients, events and formulas in plain English."""

from __future__ import annotations

import re
from datetime import datetime

from attestations.escrow.structure import Branch
from attestations.policy.formula import After, AllOf, AnyOf, Duration, Event, Formula

CLASSES = {
    "C0": "the fact that the audit exists",
    "C1": "the commitments",
    "C2": "the overall figures and the analysis plan",
    "C3": "the figures by category",
    "C4": "the findings for remediation",
    "C5": "the tasks",
    "C6": "the targets and graders",
    "C7": "the transcripts",
    "C8": "the grading notes and provenance",
    "C9": "the hazardous fields",
    "C10": "the lab's confidential material",
}
_RECIPIENTS = {
    "PUBLIC": "the public",
    "REGULATOR": "the regulator",
    "LAB_SAFETY": "the lab's safety team",
    "LAB_ALL": "the whole lab",
    "PEER_AUDITOR": "peer auditors",
}
_EVENTS = {
    "ADJUDICATED": "a dispute has been decided",
    "ALREADY_PUBLIC": "it is shown to be public already",
    "AUDITOR_CONSENT": "the auditor has consented",
    "DELIVERED": "the sealed packages have been delivered",
    "EMERGENCY": "an emergency release has been signed with two keys",
    "LAB_CONSENT": "the lab has consented",
    "MARKET_PLACEMENT": "the model has been placed on the market",
    "NO_RESPONSE": "a request has stayed without an answer",
    "ORDER": "the regulator has ordered it",
    "REGISTERED": "the hidden suite has been registered",
    "REMEDIATION_CONFIRMED": "the auditor has confirmed remediation",
    "RUN_CLOSED": "the run has closed",
    "STAGE_DONE": "an earlier stage is done",
}
_NAMED = re.compile(r"(CLEARED|ESCROW)\(([a-z0-9-]+)\)")
_HOUR, _MINUTE, _DAY = 3600, 60, 86_400


def class_words(name: str) -> str:
    """Return what a class is, e.g. `the tasks (C5)`."""
    return f"{CLASSES[name]} ({name})"


def recipient_words(name: str) -> str:
    """Return who a recipient is."""
    named = _NAMED.fullmatch(name)
    if named is None:
        return _RECIPIENTS[name]
    return f"cleared people of the group {named[2]}" if named[1] == "CLEARED" else f"the escrow holder {named[2]}"


def actor_words(name: str) -> str:
    """Return who may raise an emergency or turn one of its keys."""
    return {"AUDITOR": "the auditor", "LAB_SAFETY": "the lab's safety team", "REGULATOR": "the regulator"}[name]


def branch_words(branch: Branch) -> str:
    """Return who together can open, e.g. `office.example and any 2 of t1, t2, t3 (trustees), 1 day late`."""
    groups = " and ".join(
        ", ".join(group.of) if group.need == len(group.of) else f"any {group.need} of {', '.join(group.of)}"
        for group in branch.groups
    )
    grounds = {"overdue": "once it is overdue", "order": "on a regulator's order"}
    when = " or ".join(grounds[ground] for ground in branch.opens)
    grace = f" for {_count(branch.grace_days, 'day')}" if branch.grace_days and "overdue" in branch.opens else ""
    return f"{groups} together ({branch.id}), {when}{grace}"


def event_words(event: Event) -> str:
    """Return an event as a clause, e.g. `the run has closed`."""
    words = _EVENTS[event.name]
    if event.argument in (None, "*") or event.name in ("LAB_CONSENT", "AUDITOR_CONSENT"):
        about = event.argument if event.name.endswith("_CONSENT") and event.argument != "*" else None
        return words if about is None else f"{words} for {about}"
    return f"{words} ({event.argument})"


def duration_words(duration: Duration) -> str:
    """Return a span, e.g. `20 business days`; empty for none."""
    if duration.business_days:
        return _count(duration.business_days, "business day")
    if duration.days:
        return _count(duration.days, "day")
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute"), (1, "second")):
        if duration.seconds and duration.seconds % unit == 0:
            return _count(duration.seconds // unit, name)
    return ""


def instant_words(moment: datetime) -> str:
    """Return an instant, e.g. `31 January 2027, 12:00 UTC`."""
    return f"{moment.day} {moment:%B %Y}, {moment:%H:%M} UTC"


def formula_words(formula: Formula, anchor: str, *, depth: int = 0) -> str:
    """Return when a formula holds, as words that follow `when`."""
    match formula:
        case Event():
            return event_words(formula)
        case After(base, duration, hold):
            return _after_words(base or Event(anchor, None), duration_words(duration), hold=hold)
        case AllOf(parts) | AnyOf(parts):
            told = list(dict.fromkeys(formula_words(part, anchor, depth=depth + 1) for part in parts))
            if len(told) == 1:
                return told[0]
            every = isinstance(formula, AllOf)
            words = (" and " if every else " or ").join(told)
            if depth > 1:
                return f"({words})"
            if depth == 0 and every:
                return ", and ".join(told)
            return f"{'all of ' if every else 'either '}{words}"


def _after_words(base: Event | datetime, span: str, *, hold: bool) -> str:
    held = span + (" and any holds" if span else "any holds") if hold else span
    if isinstance(base, datetime):
        return f"{held} have passed since {instant_words(base)}" if held else f"{instant_words(base)} has come"
    if not held:
        return event_words(base)
    since = event_words(base).replace(" has been ", " was ").replace(" have been ", " were ").replace(" has ", " ")
    have = "has" if span.startswith("1 ") and not hold else "have"
    return f"{held} {have} passed since {since}"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' if number != 1 else ''}"
