"""What elicitation allows to be claimed: the EL ladder, and how far sandbagging was assessed."""

from __future__ import annotations

from typing import Literal

from attestations.documents.engagement import PreRegistration
from attestations.elicitation.claims import ElicitationClaim
from attestations.elicitation.course import Established
from attestations.elicitation.figures import trained_to_effect

Sandbagging = Literal["notAssessed", "promptOnly", "sft", "sft+whitebox"]
SANDBAGGING: tuple[Sandbagging, ...] = ("notAssessed", "promptOnly", "sft", "sft+whitebox")
AUDITOR_BEST = "auditor_best"


def elicitation_level(done: Established) -> str:
    """Return the level of the EL ladder; each rung needs those below it.

    EL4 also needs white-box access, which no operation of this version gives, so it is never reached.
    """
    if AUDITOR_BEST not in done.arms:
        return "EL0"
    if not done.asked:
        return "EL1"
    return "EL3" if done.fine_tuned else "EL2"


def highest_sandbagging(done: Established) -> Sandbagging:
    """Return the most that may be claimed: what prompts alone draw out says little of a model that holds back."""
    if done.fine_tuned:
        return "sft"
    return "promptOnly" if done.asked and AUDITOR_BEST in done.arms else "notAssessed"


def sandbagging_level(done: Established, claim: ElicitationClaim | None, registration: PreRegistration) -> Sandbagging:
    """Return what an honest auditor claims: fine-tuning counts only where it shows on DEV."""
    highest = highest_sandbagging(done)
    if highest != "sft" or (claim is not None and trained_to_effect(claim, registration)):
        return highest
    return "promptOnly" if done.asked and AUDITOR_BEST in done.arms else "notAssessed"
