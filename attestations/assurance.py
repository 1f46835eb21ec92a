"""Which assurance levels the evidence gives: derived from facts a verifier has checked, never from what is claimed.

Each level is the best that the given facts support and every fact can only raise it, so that removing
evidence never raises a level. `docs/spec/assurance.md` explains the ladders (protocol study 6.1) and which
of their upper rungs this version can never reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from attestations.elicitation.course import Established
from attestations.elicitation.levels import elicitation_level
from attestations.predicate import AssuranceClaim

_SECRECY = {"RA0": "TS1", "RA1": "TS1", "RA2": "TS2", "RA3": "TS3", "RA4": "TS4"}


@dataclass(frozen=True)
class Facts:
    """What has been established; False or None stands for "not shown"."""

    runtime_level: str | None = None  # of the runtime evidence that verified, the lowest over the run
    records_signed: bool = False  # every Record is signed by the lab and has its Promise
    reconciled: bool = False  # dense, closed by both sides, counts and meter equal to the log
    registered_first: bool = False  # the registration stands in the log before the first Promise
    elicited: Established = field(default_factory=Established)  # what was done to draw out what the model can do
    graders_registered: bool = False  # every grader was fixed in the registration
    judges_calibrated: bool = False  # models grade, and the plan says how each did on answers graded before
    regraded: bool = False  # every grade was given again from its transcript, none of them by a model
    policy_signed: bool = False
    delivered: bool = False  # the lab signed for the sealed packages before any aggregate was released
    escrow_verified: bool = False  # every class key that is owed is in escrow, and every holder proved its shares


def derive(facts: Facts) -> AssuranceClaim:
    """Return the levels that `facts` give."""
    completeness = "CO0"
    if facts.records_signed:
        completeness = "CO2" if facts.reconciled else "CO1"
    secrecy = _SECRECY.get(facts.runtime_level or "", "TS0")
    # A measured model needs RA3 evidence; everything below it is the lab's word.
    identity = "MI3" if facts.runtime_level in ("RA3", "RA4") else "MI0"
    grader = "GI0"
    if facts.graders_registered and (facts.regraded or facts.judges_calibrated):
        grader = "GI3" if facts.regraded else "GI1"
    disclosure = "DE0"
    if facts.delivered and facts.policy_signed:
        disclosure = "DE2" if facts.escrow_verified else "DE1"
    return AssuranceClaim.model_validate(
        {
            "taskSecrecy": secrecy,
            "modelIdentity": identity,
            "completeness": completeness,
            "preRegistration": "PR1" if facts.registered_first else "PR0",
            "elicitation": elicitation_level(facts.elicited),
            "graderIntegrity": grader,
            "disclosure": disclosure,
        }
    )


def overclaimed(claimed: AssuranceClaim, derived: AssuranceClaim) -> dict[str, tuple[str, str]]:
    """Return the levels claimed above what was derived, as {ladder: (claimed, derived)}."""
    pairs = {name: (getattr(claimed, name), getattr(derived, name)) for name in type(claimed).model_fields}
    return {name: pair for name, pair in pairs.items() if pair[0] > pair[1]}
