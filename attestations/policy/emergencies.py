"""Rule L11: a section on emergencies that the rules of its own policy can use.

Both sides sign the section before they know what will happen. One that cannot work would be found out in the
emergency.
"""

from __future__ import annotations

from collections.abc import Iterator

from attestations.policy.finding import Finding
from attestations.policy.formula import Event, atoms
from attestations.policy.model import Policy, Rule

_TWO = 2


def dead_emergencies(policy: Policy) -> Iterator[Finding]:
    """Give every reason why an emergency could not do what the policy says."""
    agreed = policy.emergencies()
    if agreed.two_key and len(set(agreed.two_key)) < max(_TWO, len(agreed.two_key)):
        yield Finding("L11", "the two keys of a wider emergency release are one party's")
    for recipient in agreed.to:
        if not agreed.reaches(recipient) and recipient != "PUBLIC":  # which is L4
            yield Finding("L11", f"the emergency path names {recipient}, whom no emergency reaches")
    for rule in policy.rules:
        if waits_for_emergency(policy, rule) and not agreed.reaches(rule.to):
            yield Finding("L11", f"rule {rule.id} waits for an emergency, and none reaches {rule.to}", rule.id)
    if not agreed.two_key:
        for rule in wider_rules(policy):
            yield Finding("L11", f"rule {rule.id} waits for an emergency with two keys, and none are named", rule.id)


def wider_rules(policy: Policy) -> tuple[Rule, ...]:
    """Return the rules that wait for an emergency of two keys, as one alone may not show their class."""
    agreed = policy.emergencies()
    return tuple(
        rule
        for rule in policy.rules
        if waits_for_emergency(policy, rule)
        and agreed.reaches(rule.to)
        and not agreed.told_at_once(rule.content_class, rule.to)
    )


def waits_for_emergency(policy: Policy, rule: Rule) -> bool:
    """Tell whether an emergency is among what permits a rule."""
    return any(isinstance(atom, Event) and atom.name == "EMERGENCY" for atom in atoms(policy.permits(rule)))
