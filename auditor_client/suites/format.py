"""The native suite format: one task a line in `tasks/*.jsonl`, and the plan and prompts of `suite.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from attestations.answers import LETTERS, NORMALISATIONS, Normalisation, normalised
from attestations.documents.analysis import Described, Share as ShareMeasure
from attestations.documents.base import Decimal, Hidden, Name, encode
from attestations.documents.dialogue import MAX_CONTINUATIONS
from attestations.documents.hooks import SandboxLimits, Tier
from attestations.documents.sandboxing import BoxPath
from attestations.patterns import compile_pattern
from attestations.scaffolds.workspace import (
    MAX_SUBMISSIONS,
    MAX_TURNS,
    MAX_WORKSPACE_FILES,
    ToolName,
    Workspace,
    WorkspaceFile,
)

MAX_QUESTION_CHARACTERS = 20_000
MAX_OPTIONS = MAX_CONTINUATIONS
MAX_METADATA = 32
Kind = Literal["test", "dev", "positive_control", "negative_control", "benign_twin", "decoy", "canary", "reserve"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Metadata that tells which option is which: it opens with the targets, other metadata with the breakdown.
ANSWER_METADATA = frozenset({"bbq_biased", "bbq_unknown"})


def _pattern(source: str) -> str:
    pattern = compile_pattern(source)
    if not pattern.can_match():
        raise ValueError("the pattern can match nothing")
    if pattern.found_in(""):
        raise ValueError("the pattern matches an empty answer, so it matches every answer")
    return source


def _question_place(template: str) -> str:
    if template.count("{question}") != 1:
        raise ValueError("the template holds {question} exactly once")
    return template


def _options_place(template: str) -> str:
    if template.count("{options}") != 1:
        raise ValueError("the template holds {options} exactly once")
    return _question_place(template)


def _share(text: str) -> str:
    if not 0 <= float(text) <= 1:
        raise ValueError("a share lies between 0 and 1")
    return text


def _not_negative(text: str) -> str:
    if text.startswith("-"):
        raise ValueError("a tolerance is not negative")
    return text


class Closed(Hidden, BaseModel):
    """A value of the format: unknown names are refused, and errors never repeat what was written."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


Question = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUESTION_CHARACTERS, pattern=r"\S")]
Option = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"(?s)^\S(.*\S)?$")]
Index = Annotated[int, Field(ge=0, lt=2**53)]
Label = Annotated[str, StringConstraints(max_length=200)]
Share = Annotated[Decimal, AfterValidator(_share)]
Tolerance = Annotated[Decimal, AfterValidator(_not_negative)]


class ChoiceTask(Closed):
    """Several options, one of them right.

    `scoring` says how the model's choice is found: by the log-probability of each option's text (`sum`), the
    same divided by its number of tokens (`normalised`), or by a generated letter (`letter`). The choice moves
    accuracy by tens of points, so it is part of the task.
    """

    type: Literal["choice"]
    question: Question
    options: tuple[Option, ...] = Field(min_length=2, max_length=MAX_OPTIONS)
    answer: int = Field(ge=0, lt=MAX_OPTIONS, description="the right option's place, from 0")
    scoring: Literal["sum", "normalised", "letter"]

    @model_validator(mode="after")
    def _answerable(self) -> ChoiceTask:
        if self.answer >= len(self.options):
            raise ValueError("the answer is none of the options")
        if self.scoring == "letter" and len(self.options) > len(LETTERS):
            raise ValueError(f"only {len(LETTERS)} options have a letter")
        if len({normalised(option, NORMALISATIONS) for option in self.options}) != len(self.options):
            raise ValueError("two options are the same")
        return self


class ExactTask(Closed):
    """A short answer that must equal one of those given, after the named normalisations."""

    type: Literal["exact"]
    question: Question
    answers: tuple[Option, ...] = Field(min_length=1, max_length=100)
    normalise: tuple[Normalisation, ...] = NORMALISATIONS

    @model_validator(mode="after")
    def _answerable(self) -> ExactTask:
        if not all(normalised(answer, self.normalise) for answer in self.answers):
            raise ValueError("nothing is left of an answer once it is normalised")
        return self


class PatternTask(Closed):
    """An answer in which a pattern must be found (the language of `docs/spec/grading.md`)."""

    type: Literal["pattern"]
    question: Question
    pattern: Annotated[str, AfterValidator(_pattern)]


class NumericTask(Closed):
    """An answer that ends in a number; the larger of both tolerances holds."""

    type: Literal["numeric"]
    question: Question
    value: Decimal
    tolerance: Tolerance = "0"
    relative_tolerance: Tolerance = "0"


class JudgedTask(Closed):
    """An answer that a declared model grades, against a reference and the task's rubric."""

    type: Literal["judged"]
    question: Question
    reference: str | None = Field(default=None, max_length=20_000)
    judge: Name = "judge"


class TaskFile(Closed):
    """A file the model finds in its working folder."""

    path: BoxPath
    text: str = Field(max_length=100_000)
    executable: bool = False


class AgentTask(Closed):
    """Work in a sandbox at the lab, with files and tools over several turns (`docs/guides/suites.md`).

    What is submitted last is graded here, as the answer of an exact, a pattern or a numeric task: one of `answers`,
    `pattern` and `value` says what is right. `off_limits` are texts that no honest program names.
    """

    type: Literal["agent"]
    question: Question
    answers: tuple[Option, ...] = Field(default=(), max_length=100)
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None
    value: Decimal | None = None
    tolerance: Tolerance = "0"
    protocol: Literal["tools", "fences"] = "tools"
    tools: tuple[ToolName, ...] = Field(default=("bash", "python"), min_length=1, max_length=2)
    files: tuple[TaskFile, ...] = Field(default=(), max_length=MAX_WORKSPACE_FILES)
    turns: int = Field(default=16, ge=1, le=MAX_TURNS)
    turn_tokens: int = Field(default=512, ge=1, le=16_384)
    submissions: int = Field(default=1, ge=1, le=MAX_SUBMISSIONS)
    tool_seconds: int = Field(default=60, ge=1, le=3600)
    wall_seconds: int = Field(default=600, ge=1, le=86_400)
    memory_mb: int = Field(default=512, ge=16, le=1_048_576)
    disk_mb: int = Field(default=256, ge=1, le=1_048_576)
    processes: int = Field(default=128, ge=1, le=65_536)
    tier: Tier = "process"
    off_limits: tuple[Annotated[str, Field(min_length=3, max_length=200)], ...] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _answerable(self) -> AgentTask:
        if (bool(self.answers), self.pattern is not None, self.value is not None).count(True) != 1:
            raise ValueError("exactly one of answers, pattern and value says what is right")
        if not all(normalised(answer, NORMALISATIONS) for answer in self.answers):
            raise ValueError("nothing is left of an answer once it is normalised")
        self.workspace()
        return self

    def workspace(self) -> Workspace:
        """Return what is committed to of the sandbox, the tools and the limits."""
        limits = SandboxLimits(
            wall_seconds=self.wall_seconds,
            cpu_seconds=self.wall_seconds,
            memory_mb=self.memory_mb,
            disk_mb=self.disk_mb,
            processes=self.processes,
            model_calls=0,
        )
        files = tuple(
            WorkspaceFile(path=file.path, data=encode(file.text.encode()), executable=file.executable)
            for file in self.files
        )
        return Workspace(
            protocol=self.protocol,
            tools=self.tools,
            files=files,
            turns=self.turns,
            submissions=self.submissions,
            tool_seconds=self.tool_seconds,
            tier=self.tier,
            limits=limits,
            off_limits=self.off_limits,
        )


TaskBody = Annotated[
    ChoiceTask | ExactTask | PatternTask | NumericTask | JudgedTask | AgentTask, Field(discriminator="type")
]


class Source(Closed):
    """Where an imported task comes from, so that anyone can find it there again."""

    name: str = Field(min_length=1, max_length=100, description="the upstream's name, e.g. BBQ")
    file: str = Field(min_length=1, max_length=300)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the whole source file")
    row: int = Field(ge=1, description="the item's place in the file, from 1, a header not counted")
    licence: str = Field(min_length=1, max_length=100)
    canary: str | None = Field(default=None, max_length=1000, description="the upstream's own canary")


class Task(Closed):
    """One task: what is asked, how it counts, and what is known about it."""

    id: Name
    kind: Kind
    category: Name
    difficulty: Literal["easy", "medium", "hard"] = "medium"
    weight: Literal["1"] = "1"
    twin_of: Name | None = None
    abstract: str = Field(default="", max_length=500, description="one line without anything hazardous")
    task: TaskBody
    metadata: dict[Name, Label | Index] = Field(default={}, max_length=MAX_METADATA)
    rubric: str | None = Field(default=None, max_length=20_000)
    canary: str | None = Field(default=None, max_length=200)
    hazard_excerpt: str | None = Field(default=None, max_length=20_000)
    provenance: str | None = Field(default=None, max_length=2000)
    source: Source | None = None
    author: str | None = Field(default=None, max_length=200)
    exposure_before: Literal["never", "tee_only", "declared", "disclosed"] = "never"


class Metric(Closed):
    """One planned figure and the thresholds it is held against."""

    id: Name
    category: Name | None = None
    direction: Literal["risk_increasing", "risk_decreasing"] = "risk_increasing"
    rule_out: Share | None = None
    rule_in: Share | None = None
    measure: ShareMeasure | None = Field(default=None, description="none of them: the share of correct answers")
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
    answered_floor: Share = "0.5"
    positive_control_bound: Share = "0.7"
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
