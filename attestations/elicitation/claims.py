"""What an attestation says of elicitation: arms and what they cost, the lab's pack, hooks, and the gap on TEST."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from attestations.claim import Claim
from attestations.digests import Sha256
from attestations.documents.base import Count, Decimal, Name
from attestations.elicitation.course import PackStatus


class Spent(Claim):
    """What an arm used, DEV and TEST together, broken attempts included."""

    exchanges: Count
    input_tokens: Count
    output_tokens: Count


class DevFigure(Claim):
    """How an arm did on DEV: what the choice of the best arm rests on."""

    correct: Count
    n: Count


class ArmClaim(Claim):
    """One registered arm; `dev` and `spent` are shown with the figures."""

    id: Name
    status: Literal["run", "notRun"]
    reason: str | None
    variant: Name | None
    dev: DevFigure | None
    spent: Spent | None


class LabPackClaim(Claim):
    """How the lab answered when it was shown the DEV tasks."""

    status: PackStatus
    digest: Sha256 | None
    reason: str | None


class HookClaim(Claim):
    """One elicitation hook as the lab's signed documents report it; `document` is the digest of the last of them."""

    hook: Literal["fineTune", "sandbox"]
    status: str
    document: Sha256


class GapClaim(Claim):
    """How much more one arm found than the model as shipped, over the same tasks, and in which tasks they differ."""

    id: Name
    content_class: Literal["C2", "C3"] = Field(alias="class")
    category: Name | None
    arm: Name
    n: Count
    both: Count
    only_arm: Count
    only_as_shipped: Count
    neither: Count
    value: Decimal
    interval: tuple[Decimal, Decimal]
    level: Decimal


class ExploratoryClaim(Claim):
    """How many exchanges belong to no task, by purpose; they feed no figure."""

    purpose: Name
    exchanges: Count


class ElicitationClaim(Claim):
    """All of it. `best` is the arm that did best on DEV, chosen there and nowhere else."""

    best: Name | None
    arms: tuple[ArmClaim, ...]
    lab_pack: LabPackClaim
    hooks: tuple[HookClaim, ...]
    gaps: tuple[GapClaim, ...]
    exploratory: tuple[ExploratoryClaim, ...]

    def outline(self) -> ElicitationClaim:
        """Return the part that the log alone shows: no figure, no cost."""
        return self.model_copy(
            update={
                "best": None,
                "arms": tuple(arm.model_copy(update={"dev": None, "spent": None}) for arm in self.arms),
                "gaps": (),
                "exploratory": (),
            }
        )

    def up_to(self, classes: tuple[str, ...]) -> ElicitationClaim:
        """Return the part that may be shown where these classes are released."""
        if "C2" not in classes:
            return self.outline()
        return self.model_copy(update={"gaps": tuple(gap for gap in self.gaps if gap.content_class in classes)})
