"""What an arm does with a task, as signed data: prompts, demonstrations, decoding, and the scaffold around them.

`docs/spec/arms.md` is the normative page.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from attestations.documents.base import Decimal, Hidden, Name, Part, is_none
from attestations.documents.dialogue import Text
from attestations.formats import FORMATS, Format

MAX_SAMPLES = 16
MAX_JUDGED = 10  # candidates are named by letters
MAX_TURNS = 16
MAX_SHOTS = 32
MAX_ARMS = 32  # every format, and the arms that raise a level
AS_SHIPPED = "as_shipped"
INSTRUCTION = 'Think step by step. Then give the final answer on a line of its own that begins with "Answer:".'
MARKER = "Answer:"
FORMAT_ARM = "format-"  # and a format's name: an arm that says by its own name how it lays choices out


def _known(name: str) -> str:
    if name not in FORMATS:
        raise ValueError("no format has this name")
    return name


FormatName = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(FORMATS)})]
Line = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^\S(.*\S)?$")]


class Decoding(Part):
    """How answers are drawn, where it is not as committed with the task."""

    max_output_tokens: int = Field(ge=1, le=1_048_576)
    temperature: Decimal = "0"
    top_p: Decimal = "1"

    @model_validator(mode="after")
    def _is_a_distribution(self) -> Decoding:
        if float(self.temperature) < 0 or not 0 < float(self.top_p) <= 1:
            raise ValueError("a temperature is not negative, and top_p lies above 0 and at most at 1")
        return self


class Thinking(Hidden, Part):
    """Chain of thought: asks for working first; the answer is what follows the last marker."""

    instruction: Annotated[str, StringConstraints(min_length=1, max_length=4000)] = INSTRUCTION
    marker: Line = MARKER


class SelfConsistency(Part):
    """Asks several times; the answer most samples agree on is submitted (Wang et al. 2022)."""

    by: Literal["majority"] = "majority"
    samples: int = Field(ge=2, le=MAX_SAMPLES)


class BestOfN(Part):
    """Asks several times and submits one: the likeliest a token, or the one the model itself prefers."""

    by: Literal["likelihood", "judge"]
    samples: int = Field(ge=2, le=MAX_SAMPLES)

    @model_validator(mode="after")
    def _can_be_named(self) -> BestOfN:
        if self.by == "judge" and self.samples > MAX_JUDGED:
            raise ValueError(f"a judge chooses among at most {MAX_JUDGED}")
        return self


class ToolLoop(Part):
    """ReAct: the model thinks, names a tool, is shown what the tool gives, and so on (Yao et al. 2022)."""

    tools: tuple[Literal["calculator"], ...] = Field(min_length=1, max_length=8)
    turns: int = Field(default=6, ge=1, le=MAX_TURNS)


class Method(Hidden, Part):
    """All that an arm does; with nothing in it, the task is asked exactly as committed.

    Attributes:
        system: replaces the committed system prompt.
        template: around the committed text, which stands at its `{prompt}`.
        decoding: how answers are drawn; None as committed.
        shots: DEV tasks shown with their right answers first, by their index.
        format: how a choice that is answered in words is laid out (`attestations.formats`); None as committed.
    """

    system: Text | None = None
    template: Text | None = None
    decoding: Decoding | None = None
    shots: tuple[Annotated[int, Field(ge=0, le=1_048_575)], ...] = Field(default=(), max_length=MAX_SHOTS)
    thinking: Thinking | None = None
    choosing: Annotated[SelfConsistency | BestOfN, Field(discriminator="by")] | None = None
    tools: ToolLoop | None = None
    format: FormatName | None = Field(default=None, exclude_if=is_none)

    @model_validator(mode="after")
    def _holds_together(self) -> Method:
        if self.template is not None and self.template.count("{prompt}") != 1:
            raise ValueError("the template holds {prompt} exactly once")
        if len(set(self.shots)) != len(self.shots):
            raise ValueError("a task is shown twice")
        if self.tools is not None and (self.thinking is not None or self.choosing is not None):
            raise ValueError("a tool loop is neither combined with a chain of thought nor with choosing")
        if self.choosing is not None and (self.decoding is None or not float(self.decoding.temperature)):
            raise ValueError("samples differ only at a temperature above 0")
        return self

    @property
    def plain(self) -> bool:
        """Whether tasks are asked exactly as committed."""
        return self == Method()

    @property
    def talks(self) -> bool:
        """Whether the model writes before it answers."""
        return self.thinking is not None or self.tools is not None

    @property
    def form(self) -> Format | None:
        """How choices are laid out; None as committed."""
        return None if self.format is None else FORMATS[self.format]


class Arm(Hidden, Part):
    """One way in which the whole suite is asked; committed to in the analysis plan.

    `source` says whether the method stands here, in the lab's elicitation pack, or here but for a variant that was
    fine-tuned on DEV. A variant of None is the one the registration names for every arm.
    """

    id: Name
    source: Literal["registered", "lab_pack", "fine_tuned"] = "registered"
    variant: Name | None = None
    method: Method = Method()
    epochs: int | None = Field(default=None, ge=1, le=100, exclude_if=is_none)

    @property
    def misnamed(self) -> bool:
        """Whether its name says that it asks in a format in which it does not ask."""
        name, written = self.id.removeprefix(FORMAT_ARM), self.method.format
        says = name != self.id and (name in FORMATS or written is not None)
        return says and name != written

    @model_validator(mode="after")
    def _holds_together(self) -> Arm:
        if self.id == AS_SHIPPED and (self.source != "registered" or not self.method.plain):
            raise ValueError(f"{AS_SHIPPED} asks every task exactly as committed")
        if self.source == "lab_pack" and not self.method.plain:
            raise ValueError("the method of an arm from the lab's pack stands in the pack")
        if self.source == "fine_tuned" and self.variant is not None:
            raise ValueError("the variant of a fine-tuned arm is not known before it is trained")
        return self
