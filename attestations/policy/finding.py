"""What the linter says: which rule is broken, why, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attestations.errors import PolicyUnsatisfiable

RULES = {
    "L1": "whatever is owed is permitted, whatever happens and whatever is held",
    "L2": "whatever is owed has holders in escrow who can release it",
    "L3": "nobody can block a release for ever by withholding consent or a statement",
    "L4": "hazardous fields go neither to the public nor to the whole lab",
    "L5": "the auditor may always warn the regulator and the lab's safety team, and is safe when it does",
    "L6": "holds are counted in business days, up to a bound",
    "L7": "what stays sealed for over a year is sealed to hybrid post-quantum keys",
    "L8": "under the EU Code of Practice profile the lab delays no publication by more than 30 business days",
    "L9": "figures are not public before the commitments they rest on",
    "L10": "a review has an end, and an objection is published, not a veto",
    "L11": "whatever waits for an emergency can be reached by one, with the keys that were agreed",
    "L12": "nothing is owed that nobody can release",
}


@dataclass(frozen=True)
class Finding:
    """One breach: the linter's rule, the reason in one sentence, and the policy's rule if it lies in one."""

    rule: str
    reason: str
    policy_rule: str | None = None

    def error(self) -> PolicyUnsatisfiable:
        """Return this breach as the error of the protocol."""
        where = {} if self.policy_rule is None else {"policy_rule": self.policy_rule}
        return PolicyUnsatisfiable(f"{self.reason} ({self.rule})", rule=self.rule, **where)


def refuse(findings: Sequence[Finding]) -> None:
    """Raise the first finding.

    Raises:
        PolicyUnsatisfiable: there is one; the facts name the rule.
    """
    if findings:
        raise findings[0].error()
