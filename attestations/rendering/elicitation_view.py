"""What was done to draw out what a model can do, and what it found: for the page of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attestations.elicitation.claims import ArmClaim, ElicitationClaim, GapClaim
from attestations.predicate import AuditPredicate, Result
from attestations.reading import GapReading, read_gap
from attestations.rendering.plots import Forest, differences, percent, points

_REASONS: Mapping[str, str] = {
    "pack_declined": "the lab declined to advise",
    "pack_missing": "the lab gave no pack in time",
    "pack_broken": "the lab's pack was not answered on DEV",
    "hook_refused": "the lab refused to fine-tune",
    "hook_failed": "fine-tuning failed at the lab",
    "given_up": "given up by the auditor",
}
_PACKS: Mapping[str, str] = {
    "notAsked": "The lab was not asked how to elicit its model.",
    "notProvided": "The lab was asked how to elicit its model and gave no pack before TEST began.",
    "provided": "The lab's elicitation pack was used.",
    "declined": "The lab was asked how to elicit its model and declined.",
    "late": "The lab's elicitation pack came too late to be used.",
    "providedButBroken": "The lab's elicitation pack did not work on DEV and was not used.",
}
_SANDBAGGING: Mapping[str, str] = {
    "notAssessed": "Sandbagging was not assessed: a model that holds back would look like one that cannot.",
    "promptOnly": "Sandbagging was assessed by prompts alone, which draw out little of what a model holds back.",
    "sft": "Sandbagging was assessed by fine-tuning on DEV tasks, which showed there.",
    "sft+whitebox": "Sandbagging was assessed by fine-tuning on DEV tasks and from inside the model.",
}
_HOOKS: Mapping[str, str] = {"fineTune": "Fine-tuning", "sandbox": "Sandbox"}


@dataclass(frozen=True)
class ArmRow:
    """One registered arm: what it asked, how it did on DEV, and what it used; empty while that is sealed."""

    name: str
    ran: str
    dev: str
    exchanges: str
    tokens: str


@dataclass(frozen=True)
class GapRow:
    """How much more one arm found than the model as shipped, over the same tasks."""

    label: str
    arm: str
    value: str
    interval: str
    n: str
    only_arm: str
    only_as_shipped: str
    usable: bool


@dataclass(frozen=True)
class ElicitationView:
    """All of it."""

    arms: tuple[ArmRow, ...]
    gaps: tuple[GapRow, ...]
    plot: Forest | None
    words: tuple[str, ...]


def elicitation_view(predicate: AuditPredicate, results: Sequence[Result]) -> ElicitationView | None:
    """Return what a report shows of elicitation, beside its figures; None where no arms were registered."""
    claim = predicate.elicitation
    if claim is None:
        return None
    overall = [item for item in claim.gaps if item.category is None and read_gap(item, results).usable]
    return ElicitationView(
        arms=tuple(_arm(arm, best=arm.id == claim.best) for arm in claim.arms),
        gaps=tuple(_gap(item, read_gap(item, results)) for item in claim.gaps),
        plot=differences([(f"{item.id} · {item.arm}", item.value, item.interval) for item in overall])
        if overall
        else None,
        words=_words(predicate, claim),
    )


def _words(predicate: AuditPredicate, claim: ElicitationClaim) -> tuple[str, ...]:
    said = [_PACKS[claim.lab_pack.status]]
    said += [
        f"{_HOOKS[hook.hook]}: {hook.status.lower().replace('_', ' ')}, as the lab signed." for hook in claim.hooks
    ]
    if predicate.validity is not None:
        said.append(_SANDBAGGING[predicate.validity.sandbagging])
    return tuple(said)


def _arm(arm: ArmClaim, *, best: bool) -> ArmRow:
    dev, spent = arm.dev, arm.spent
    reason = _REASONS.get(arm.reason or "", "TEST never began")
    return ArmRow(
        name=f"{arm.id} (best on DEV)" if best else arm.id,
        ran=f"asked of {arm.variant}" if arm.status == "run" else f"not run: {reason}",
        dev="" if dev is None else f"{dev.correct} of {dev.n}",
        exchanges="" if spent is None else f"{int(spent.exchanges):,}",
        tokens="" if spent is None else f"{int(spent.input_tokens):,} and {int(spent.output_tokens):,}",
    )


def _gap(item: GapClaim, reading: GapReading) -> GapRow:
    low, high = item.interval
    # The interval is that of tasks; where they share material it is narrower than it should be.
    shared = "" if reading.units is None else f", too narrow: these tasks are {reading.units} units"
    return GapRow(
        label=item.id if item.category is None else f"{item.id}, {item.category}",
        arm=item.arm,
        value=points(item.value),
        interval=f"{points(low)} to {points(high)} at {percent(item.level)}{shared}",
        n=item.n,
        only_arm=item.only_arm,
        only_as_shipped=item.only_as_shipped,
        usable=reading.usable,
    )
