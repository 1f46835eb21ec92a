"""What the log says of fine-tuned variants after the run: destroyed, each with the lab's signed word, or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from attestations.documents.finetuning import VariantDestroyed
from attestations.errors import AttributionFailed, PhaseViolation
from attestations.training import Made, TrainingLedger


@dataclass
class Destructions:
    """The variants whose destruction stands in the log."""

    documents: dict[str, VariantDestroyed] = field(default_factory=dict)

    def take(self, document: VariantDestroyed, training: TrainingLedger, *, closed: bool) -> None:
        """Take a receipt of destruction into account.

        Raises:
            PhaseViolation: the run goes on, so the variant may still be asked.
            AttributionFailed: no job made this variant, or it was destroyed before.
        """
        if not closed:
            raise PhaseViolation("a variant is said to be destroyed while the run goes on", variant=document.variant)
        said = Made(document.variant, document.job, document.adapter, document.manifest)
        if said not in training.made() or document.variant in self.documents:
            raise AttributionFailed("the destruction of a variant that no job made", variant=document.variant)
        self.documents[document.variant] = document

    def left(self, training: TrainingLedger) -> list[str]:
        """Return the variants that were made and of whose destruction nothing is said."""
        return [made.variant for made in training.made() if made.variant not in self.documents]


def told(training: TrainingLedger, destructions: Destructions, declined: dict[str, str]) -> Iterator[str]:
    """Give the sentences a reader of the report must know about fine-tuning."""
    if "fine_tune" in declined:
        yield f"The lab declined to fine-tune: {declined['fine_tune']}"
    if training.jobs:
        made = len(training.made())
        yield f"{made} of {len(training.jobs)} fine-tune jobs made a variant; that it was trained so is the lab's word."
        if reused := made - len({variant.adapter for variant in training.made()}):
            # A job's seed is its own and decides its adapter's first values.
            yield f"{reused} of them have an adapter that another job made before: two seeds cannot."
    if left := destructions.left(training):
        yield f"The lab has not said that it destroyed {len(left)} of the variants it made."
