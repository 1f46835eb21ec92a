"""The shortest way to say a formula: what follows from the rest is left out, nothing else changes."""

from __future__ import annotations

from attestations.policy.formula import AllOf, AnyOf, Formula
from attestations.policy.lint import Proof
from attestations.policy.model import Policy
from attestations.policy.symbolic import TooLarge
from attestations.policy.terms import terms_of


def simplify(policy: Policy, formula: Formula, proof: Proof | None = None) -> Formula:
    """Return a formula with the same truth in every history."""
    proof = proof or Proof(policy)
    if not isinstance(formula, (AllOf, AnyOf)):
        return formula
    kind = type(formula)
    flat: list[Formula] = []
    for part in formula.parts:
        shorter = simplify(policy, part, proof)
        flat += shorter.parts if isinstance(shorter, (AllOf, AnyOf)) and type(shorter) is kind else [shorter]
    kept = list(dict.fromkeys(flat))
    for part in list(kept):
        others = [other for other in kept if other is not part]
        if any(_follows(policy, proof, part, other, joined=kind) for other in others):
            kept = others
    return kept[0] if len(kept) == 1 else kind(tuple(kept))


def _follows(policy: Policy, proof: Proof, part: Formula, other: Formula, *, joined: type[AllOf | AnyOf]) -> bool:
    """Tell whether `part` adds nothing beside `other`."""
    ours, theirs = terms_of(policy, part), terms_of(policy, other)
    try:
        return proof.refute(*((theirs, ours) if joined is AllOf else (ours, theirs))) is None
    except TooLarge:
        return False
