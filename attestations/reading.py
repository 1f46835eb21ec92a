"""How a figure is to be read: what its number does not say by itself, in words, from the figure alone."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from attestations.elicitation.claims import GapClaim
from attestations.intervals import ratio, wilson
from attestations.predicate import Measure, Result
from attestations.scaffolds.method import AS_SHIPPED

CEILING, FLOOR = Decimal("0.95"), Decimal("0.05")
WIDE = Decimal("0.2")
FEW = 20
NO_SWING = "uninterpretable: too little was answered, or in one format only, so the shares cannot be compared"
_FORMAT, _ANSWERED = "format/", "answered/"  # and an arm: its share, and what of it was answered where not all was
VERDICTS = {
    "ruledOut": "ruled out",
    "ruledIn": "ruled in",
    "inconclusive": "inconclusive",
    "uninterpretable": "uninterpretable",
}
MEANINGS = {
    None: "share of correct answers, unanswered ones counted as wrong",
    "answered_accuracy": "share of correct answers among those that were given",
    "pass_at_k": "chance that at least one of k attempts is correct",
    "format_mean": "share of correct answers over every format",
    "format_max": "share of correct answers in the best format",
}
MEASURES = {
    "brier": "Brier score",
    "ece": "Expected calibration error",
    "bias_ambiguous": "Bias in ambiguous contexts",
    "bias_disambiguated": "Bias in disambiguated contexts",
    "difference": "Difference between arms",
    "exposure": "Randomised exposure",
    "format_swing": "Swing over formats",
    "group_gap": "Gap between groups",
    "judge_corrected": "Correct, less the judge's known errors",
}


class Reading(NamedTuple):
    """A figure in words: what it is a share of, what was claimed of it, and what to mind."""

    meaning: str
    claim: str
    notes: tuple[str, ...]


class GapReading(NamedTuple):
    """Whether a gap means anything, and of how many units it is where its interval counts more tasks than that."""

    usable: bool
    units: int | None


class FormatShare(NamedTuple):
    """What a format came to: the share of correct answers, and that of answers that named an option at all."""

    name: str
    correct: str
    answered: str


class Swing(NamedTuple):
    """A swing over formats: each format's share, the largest first, and whether they mean anything."""

    measure: Measure
    shares: tuple[FormatShare, ...]

    @property
    def usable(self) -> bool:
        """Whether enough was answered, in two formats or more, for the shares to be compared."""
        return self.measure.interpretable

    @property
    def name(self) -> str:
        """The measure's name, and its category where it has one."""
        return ", ".join(part for part in (self.measure.id, self.measure.category) if part)


def read_swings(measures: Iterable[Measure]) -> list[Swing]:
    """Return the swings among published measures, in the plan's order."""
    found = []
    for measure in measures:
        if measure.measure == "format_swing":
            parts = measure.parts
            names = [name.removeprefix(_FORMAT) for name in parts if name.startswith(_FORMAT)]
            shares = [FormatShare(name, parts[_FORMAT + name], parts.get(_ANSWERED + name, "1.0000")) for name in names]
            found.append(Swing(measure, tuple(sorted(shares, key=lambda item: (-Decimal(item.correct), item.name)))))
    return found


def read_figure(result: Result) -> Reading:
    """Return a figure in words."""
    return Reading(MEANINGS.get(result.measure, result.measure or ""), _claim(result), tuple(_notes(result)))


def read_gap(gap: GapClaim, results: Iterable[Result]) -> GapReading:
    """Return whether a gap between arms means anything, and whether its interval takes for independent what is not.

    A gap of arms of which one tells nothing tells nothing: none found is not none there.
    """
    sides = [item for item in results if item.id == gap.id and item.arm in (gap.arm, AS_SHIPPED)]
    units = [int(item.units) for item in sides if item.units is not None]
    fewest = min(units, default=int(gap.n))
    return GapReading(
        usable=int(gap.n) > 0 and all(item.verdict != "uninterpretable" for item in sides),
        units=fewest if fewest < int(gap.n) else None,
    )


def among_answered(result: Result) -> tuple[str, tuple[str, str]]:
    """Return the share of correct answers among those given, and its interval: the figure without those missing."""
    right, wrong = int(result.outcomes.correct), int(result.outcomes.incorrect)
    answered = right + wrong
    return ratio(right, answered), wilson(right, answered, level=result.level)


def _claim(result: Result) -> str:
    risky = result.direction == "riskIncreasing"
    low, high = result.interval
    match result.verdict:
        case "ruledOut" if risky:
            return f"ruled out: the interval ends at {high}, below the registered {result.rule_out}"
        case "ruledOut":
            return f"ruled out: the interval begins at {low}, above the registered {result.rule_out}"
        case "ruledIn" if risky:
            return f"ruled in: the interval begins at {low}, above the registered {result.rule_in}"
        case "ruledIn":
            return f"ruled in: the interval ends at {high}, below the registered {result.rule_in}"
        case "uninterpretable":
            return "uninterpretable: controls failed or too little was answered, so the number says nothing"
        case _ if result.rule_out is None and result.rule_in is None:
            return "no threshold was registered for it"
        case _:
            return "inconclusive: the interval does not clear a registered threshold"


def _notes(result: Result) -> list[str]:
    notes = []
    low, high = (Decimal(bound) for bound in result.interval)
    value, n = Decimal(result.value), int(result.n)
    if not n:
        return ["Nothing was scored."]
    if result.verdict == "uninterpretable":
        return []  # nothing is known: neither weakness nor strength
    if result.outcomes.correct == "0":
        notes.append(f"No success in {n} is not zero: shares up to {result.interval[1]} are consistent with it.")
    elif value >= CEILING:
        notes.append("Saturated: at the ceiling, stronger models cannot be told apart; use harder tasks.")
    elif value <= FLOOR:
        notes.append("At the floor: weak models cannot be told apart here, and small gains would not show.")
    if high - low > WIDE:
        notes.append(f"A wide interval: {result.n} items leave much open.")
    if result.design_effect is not None and result.units is not None:
        notes.append(
            f"Items share material or tasks: {n} answers count as {result.units} units "
            f"(design effect {result.design_effect})."
        )
        if int(result.units) < FEW:
            notes.append("Few units show little of how units differ: the interval is wide for that (Student's t).")
    if result.adjusted_p is not None and result.verdict == "inconclusive" and _clears_alone(result, low, high):
        notes.append("Alone it would clear its threshold; together with the other planned figures it does not.")
    return notes


def _clears_alone(result: Result, low: Decimal, high: Decimal) -> bool:
    risky = result.direction == "riskIncreasing"
    out, in_ = result.rule_out, result.rule_in
    below, above = (out, in_) if risky else (in_, out)
    return (below is not None and high < Decimal(below)) or (above is not None and low > Decimal(above))
