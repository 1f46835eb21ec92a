"""What a policy means, in sentences a person can agree to: who may and must get what, who can delay, who can cure."""

from __future__ import annotations

from dataclasses import dataclass

from attestations.escrow.dealing import SEALED, branches_for
from attestations.escrow.structure import Escrow
from attestations.policy.formula import CERTAIN_EVENTS, EVENTS, AllOf, AnyOf, Event, Formula, atoms, parse_duration
from attestations.policy.model import FLOOR_CLASSES, UNSEALED, Emergency, Policy, Rule
from attestations.policy.simplify import simplify
from attestations.policy.words import (
    CLASSES,
    actor_words,
    branch_words,
    class_words,
    duration_words,
    event_words,
    formula_words,
    recipient_words,
)

PROTECTABLE = {
    "nogag": "the no-gag clause",
    "safeharbor": "the safe-harbour clause",
}
_LABS = ("LAB_CONSENT", "MARKET_PLACEMENT")
_AUDITORS = ("AUDITOR_CONSENT", "REMEDIATION_CONFIRMED")


@dataclass(frozen=True)
class RuleText:
    """One rule: when, what if the lab is silent or slow, what if the auditor is silent."""

    id: str
    content_class: str
    to: str
    may_when: str
    must_when: str
    may: str
    must: str
    delay: str
    silence: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """Everything there is to say about the rule, in order."""
        return tuple(text for text in (self.may, self.must, self.delay, self.silence) if text)


@dataclass(frozen=True)
class Explanation:
    """The whole policy."""

    general: tuple[str, ...]
    rules: tuple[RuleText, ...]
    emergency: tuple[str, ...]


def explain(policy: Policy, escrow: Escrow | None = None, *, agreed: bool = False) -> Explanation:
    """Return the policy in sentences.

    Args:
        policy: what is explained.
        escrow: the access structure of the agreement it stands in. It says who can open what is owed; what the
            policy says of having nobody in escrow is then moot.
        agreed: whether it stands in an agreement: then without an access structure nothing is in escrow.
    """
    return Explanation(
        general=_general(policy, escrow),
        rules=tuple(_rule(policy, rule, escrow, agreed=agreed) for rule in policy.rules),
        emergency=_emergency(policy.emergencies()),
    )


def _general(policy: Policy, escrow: Escrow | None) -> tuple[str, ...]:
    anchor = event_words(Event(policy.anchor, None))
    lines = [
        f"Times count from when {anchor}. Without a rule nobody is given anything.",
        "That the audit exists, and what was committed to, everyone may learn once the run has closed.",
        "What is once permitted stays permitted, and what is released cannot be called back.",
    ]
    if not any(rule.content_class in FLOOR_CLASSES and rule.oblige is not None for rule in policy.rules):
        lines.insert(2, "Nobody must be told that, though: an engagement that is given up may never be heard of.")
    hold = parse_duration(policy.max_hold).business_days
    lines.append(
        f"The lab can hold releases back by at most {duration_words(parse_duration(policy.max_hold))} in all, only "
        "where a rule says so, and not once its time has come."
        if hold
        else "Nobody can hold a release back."
    )
    if policy.min_review is not None:
        lines.append(
            f"The lab has {duration_words(parse_duration(policy.min_review))} to read and object before anything but "
            "commitments is public, unless it consents earlier. An objection is published beside the finding; it is "
            "not a veto."
        )
    if policy.profile == "eu-gpai-cop":
        lines.append(
            "The policy follows the EU General-Purpose AI Code of Practice, Measure 3.5(5): the lab cannot delay or "
            "block the publication of findings for more than 30 business days from notice."
        )
    if escrow is not None:
        held = "; or ".join(branch_words(branch) for branch in escrow.branches)
        lines.append(f"The keys of what is owed are held in escrow. Without the auditor it can be opened by {held}.")
    elif policy.escrow == "none":
        lines.append(
            f"No keys are held in escrow, so withholding cannot be cured. Reason given: {policy.escrow_reason}"
        )
    if policy.calendar.holidays:
        lines.append(
            "Business days are Monday to Friday in UTC, less these holidays: " + ", ".join(policy.calendar.holidays)
        )
    else:
        lines.append("Business days are Monday to Friday in UTC; no holidays are listed.")
    if policy.protected:
        lines.append(f"Not to be changed without those they protect: {_protected(policy)}.")
    return tuple(lines)


def _protected(policy: Policy) -> str:
    ids = {rule.id for rule in policy.rules}
    return ", ".join(
        f"rule {name}" if name in ids else PROTECTABLE.get(name, f"{name} (nothing here has this name)")
        for name in policy.protected
    )


def _rule(policy: Policy, rule: Rule, escrow: Escrow | None, *, agreed: bool) -> RuleText:
    who, what = recipient_words(rule.to), class_words(rule.content_class)
    may_when = _when(policy, policy.permits(rule))
    may = f"{_capital(who)} may be given {what} when {may_when}."
    if rule.redact:
        left_out = " and ".join(class_words(name) for name in rule.redact)
        may += f" In it {left_out} stay closed, each shown as a hole with its reason."
    obliges = rule.obliges()
    must_when = "" if obliges is None else _when(policy, obliges)
    must = f"The auditor must give it at the latest when {must_when}." if must_when else ""
    return RuleText(
        id=rule.id,
        content_class=rule.content_class,
        to=rule.to,
        may_when=may_when,
        must_when=must_when,
        may=may,
        must=must,
        delay=_delay(policy, rule),
        silence=_silence(policy, rule, escrow, agreed=agreed),
    )


def _delay(policy: Policy, rule: Rule) -> str:
    permits = simplify(policy, policy.permits(rule))
    names = {atom.name for atom in atoms(permits) if isinstance(atom, Event)}
    lines = []
    if _without(permits, tuple(EVENTS - CERTAIN_EVENTS)) is None and not names & set(_LABS):
        lines.append("Unless that happens it stays sealed.")
    if names & set(_LABS):
        without = _without(permits, _LABS)
        lines.append(
            "If the lab stays silent, nothing comes of it: it waits for ever."
            if without is None
            else f"If the lab stays silent or refuses, it may be given when {_when(policy, without)}."
        )
    if names & set(_AUDITORS):
        without = _without(permits, _AUDITORS)
        if without is not None:
            lines.append(f"If the auditor does not confirm, it may be given when {_when(policy, without)}.")
    hold = parse_duration(policy.max_hold)
    if hold.business_days and _can_be_held(permits):
        lines.append(f"Holds by the lab can move this by at most {duration_words(hold)} in all.")
    if rule.exceptional is not None:
        lines.append(f"This delay is declared exceptional: {rule.exceptional}")
    return " ".join(lines)


def _silence(policy: Policy, rule: Rule, escrow: Escrow | None, *, agreed: bool) -> str:
    if rule.oblige is None or rule.content_class in FLOOR_CLASSES:
        return ""
    if rule.content_class in UNSEALED:
        return "If the auditor does not, that is evident, but nobody can in its place: what is found is in no package."
    if escrow is not None:
        return _opened_by(rule, escrow)
    if rule.escrow and agreed:
        named = ", ".join(rule.escrow)
        return (
            f"If the auditor does not, nobody can release it in its place: {named} are named, but nothing agreed "
            "puts a key in escrow."
        )
    if rule.escrow:
        return f"If the auditor does not, the holders in escrow can: {', '.join(rule.escrow)}."
    if policy.escrow == "none":
        return "If the auditor does not, that is evident, but nobody can release it in its place."
    return "If the auditor does not, nobody named here can release it in its place."


def _opened_by(rule: Rule, escrow: Escrow) -> str:
    serving = [branch for branch in branches_for(escrow, rule) if "overdue" in branch.opens]
    if rule.content_class not in SEALED or not serving:
        return "If the auditor does not, that is evident, but nobody in escrow holds the key of it."
    who = " or ".join(branch.id for branch in serving)
    return f"If the auditor does not, holders in escrow can ({who})."


def _emergency(emergency: Emergency) -> tuple[str, ...]:
    raisers = " or ".join(actor_words(name) for name in emergency.initiators)
    told = " and ".join(recipient_words(name) for name in emergency.to)
    keys = " and ".join(actor_words(name) for name in emergency.two_key)
    everything = {name.partition(":")[0] for name in emergency.classes} == set(CLASSES)
    classes = "a few items of any class" if everything else ", ".join(_part(name) for name in emergency.classes)
    lines = [f"In an emergency {raisers} may tell {told} at once and without anyone's consent, and show {classes}."]
    lines.append(
        f"More than that, or others than these, only with the keys of {keys} together, named items and an end, where a "
        "rule above waits for an emergency; the public never so."
        if keys
        else "More than that is shown in no emergency, and to nobody else."
    )
    review = duration_words(parse_duration(emergency.review))
    lines.append(f"Each use is reviewed within {review}; an unjustified one is a breach.")
    return tuple(lines)


def _part(name: str) -> str:
    content_class, _, subset = name.partition(":")
    return f"the smallest necessary part of {class_words(content_class)}" if subset else class_words(content_class)


def _can_be_held(formula: Formula) -> bool:
    if isinstance(formula, (AllOf, AnyOf)):
        return any(_can_be_held(part) for part in formula.parts)
    return not isinstance(formula, Event) and formula.hold


def _without(formula: Formula, names: tuple[str, ...]) -> Formula | None:
    """Return the formula when these events never happen; None when it then never holds."""
    if isinstance(formula, (AllOf, AnyOf)):
        parts = [_without(part, names) for part in formula.parts]
        left = tuple(part for part in parts if part is not None)
        if isinstance(formula, AllOf):
            return AllOf(left) if len(left) == len(parts) else None
        return (left[0] if len(left) == 1 else AnyOf(left)) if left else None
    base = formula if isinstance(formula, Event) else formula.base
    return None if isinstance(base, Event) and base.name in names else formula


def _when(policy: Policy, formula: Formula) -> str:
    return formula_words(simplify(policy, formula), policy.anchor)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
