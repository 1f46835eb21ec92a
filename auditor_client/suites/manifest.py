"""`suite.yaml`: plan, prompts, and the arms and formats in which tasks are asked (`docs/guides/suites.md`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from attestations.documents.analysis import Described, Share
from attestations.documents.base import Decimal, Name
from attestations.documents.planning import Proportion
from attestations.formats import FORMATS
from attestations.scaffolds.method import (
    MAX_ARMS,
    MAX_SHOTS,
    Arm,
    BestOfN,
    Decoding,
    FormatName,
    Method,
    SelfConsistency,
    Thinking,
    ToolLoop,
)
from auditor_client.suites.tasks import Closed


def _question_place(template: str) -> str:
    if template.count("{question}") != 1:
        raise ValueError("the template holds {question} exactly once")
    return template


def _options_place(template: str) -> str:
    if template.count("{options}") != 1:
        raise ValueError("the template holds {options} exactly once")
    return _question_place(template)


class Metric(Closed):
    """One planned figure and the thresholds it is held against."""

    id: Name
    category: Name | None = None
    direction: Literal["risk_increasing", "risk_decreasing"] = "risk_increasing"
    rule_out: Proportion | None = None
    rule_in: Proportion | None = None
    measure: Share | None = Field(default=None, description="none of them: the share of correct answers")
    group: Name | None = None
    k: int | None = Field(default=None, ge=1, le=100, description="of pass_at_k")

    @model_validator(mode="after")
    def _holds_together(self) -> Metric:
        if (self.measure == "pass_at_k") != (self.k is not None):
            raise ValueError("exactly pass_at_k names k")
        return self


class DescribedMeasure(Closed):
    """Something the plan wants described; no threshold is held against it."""

    id: Name
    measure: Described
    category: Name | None = None
    group: Name | None = None
    versus: Name | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> DescribedMeasure:
        if (self.measure in ("difference", "exposure")) != (self.versus is not None):
            raise ValueError("exactly a difference and an exposure are versus something")
        if self.measure == "exposure" and self.group is None:
            raise ValueError("an exposure names the group that was exposed")
        return self


class Plan(Closed):
    """How results will be computed; committed to before access."""

    metrics: tuple[Metric, ...] = Field(min_length=1, max_length=64)
    level: Literal["0.8", "0.9", "0.95", "0.99"] = "0.95"
    answered_floor: Proportion = "0.5"
    positive_control_bound: Proportion = "0.7"
    epochs: int = Field(default=1, ge=1, le=100)
    max_attempts: int = Field(default=5, ge=1, le=100)
    exclusion_codes: tuple[Name, ...] = Field(default=(), max_length=32)
    multiplicity: Literal["holm", "none"] = "holm"
    headline: Name | None = Field(default=None, description="the arm whose figures are the result; else the first")
    formats: tuple[Name, ...] = Field(default=(), max_length=64, description="arms that only vary the format")
    measures: tuple[DescribedMeasure, ...] = Field(default=(), max_length=64)

    @property
    def measured(self) -> set[str | None]:
        """What figures and measures are planned; None for the plain share."""
        return {*(metric.measure for metric in self.metrics), *(measure.measure for measure in self.measures)}

    @model_validator(mode="after")
    def _holds_together(self) -> Plan:
        names = [*(metric.id for metric in self.metrics), *(measure.id for measure in self.measures)]
        if len(set(names)) != len(names):
            raise ValueError("two figures of one name")
        if any((metric.k or 1) > self.epochs for metric in self.metrics):
            raise ValueError("pass_at_k needs at least k epochs")
        return self


class PromptFormat(Closed):
    """How a task becomes a request; named, because the format moves figures."""

    name: Name = "plain"
    system: str | None = Field(default=None, max_length=20_000)
    scored: Annotated[str, AfterValidator(_question_place)] = "Question: {question}\nAnswer:"
    letter: Annotated[str, AfterValidator(_options_place)] = "{question}\n\n{options}\n\nAnswer with the letter only."
    chat: Annotated[str, AfterValidator(_question_place)] = "{question}"
    max_output_tokens: int = Field(default=24, ge=1, le=4096)
    temperature: Decimal = "0"
    top_p: Decimal = "1"


OVER_FORMATS = frozenset({"format_mean", "format_max", "format_swing"})


class ArmSpec(Closed):
    """One way in which the suite is asked; `shots` names DEV tasks that are shown with their answers first."""

    id: Name
    source: Literal["registered", "lab_pack", "fine_tuned"] = "registered"
    variant: Name | None = None
    epochs: int | None = Field(default=None, ge=1, le=100)
    system: str | None = Field(default=None, max_length=20_000)
    template: str | None = Field(default=None, max_length=20_000)
    decoding: Decoding | None = None
    shots: tuple[Name, ...] = Field(default=(), max_length=MAX_SHOTS)
    thinking: Thinking | None = None
    choosing: Annotated[SelfConsistency | BestOfN, Field(discriminator="by")] | None = None
    tools: ToolLoop | None = None
    format: FormatName | None = Field(default=None, description="how choices by letters are laid out")

    def arm(self, numbers: Mapping[str, int]) -> Arm:
        """Return the arm as it is committed to; `numbers` gives the index of each task."""
        method = Method(
            system=self.system,
            template=self.template,
            decoding=self.decoding,
            shots=tuple(numbers[name] for name in self.shots),
            thinking=self.thinking,
            choosing=self.choosing,
            tools=self.tools,
            format=self.format,
        )
        return Arm(id=self.id, source=self.source, variant=self.variant, method=method, epochs=self.epochs)

    @model_validator(mode="after")
    def _holds_together(self) -> ArmSpec:
        try:
            self.arm({name: number for number, name in enumerate(self.shots)})
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        return self


def _all(value: object) -> object:
    return tuple(FORMATS) if value == "all" else value


Formats = Annotated[
    tuple[FormatName, ...],
    BeforeValidator(_all),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"enum": list(FORMATS)}}]}),
]


class Manifest(Closed):
    """`suite.yaml`."""

    format: Literal["safeconduct-suite/v1"]
    id: Name
    title: str = Field(max_length=200)
    version: str = Field(max_length=40)
    description: str = Field(default="", max_length=5000)
    plan: Plan
    prompt: PromptFormat = PromptFormat()
    arms: tuple[ArmSpec, ...] = Field(default=(), max_length=MAX_ARMS)
    formats: Formats = Field(default=(), description="formats for short: an arm for each, and figures are over them")

    @model_validator(mode="after")
    def _holds_together(self) -> Manifest:
        if len({*self.formats}) != len(self.formats):
            raise ValueError("a format is named twice")
        if not (self.formats or self.plan.formats) and self.plan.measured & OVER_FORMATS:
            raise ValueError("a figure over formats needs formats")
        return self
