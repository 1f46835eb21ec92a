"""`suite.yaml`: plan, prompts, and the arms and formats in which tasks are asked (`docs/guides/suites.md`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from attestations.documents.base import Name
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
from auditor_client.suites.format import Closed, Plan, PromptFormat

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
