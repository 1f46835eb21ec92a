"""The analysis plan: fixed before access, and one whose figures, thresholds and bounds can mean something."""

from __future__ import annotations

from decimal import Decimal as Exact
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from attestations.documents.analysis import PlannedJudge, PlannedMeasure, Share
from attestations.documents.base import Base64, Decimal, Document, Name, Part, is_empty, is_none
from attestations.scaffolds.method import MAX_ARMS, Arm


def _proportion(text: str) -> str:
    if not 0 <= Exact(text) <= 1:
        raise ValueError("a share lies between 0 and 1")
    return text


Proportion = Annotated[Decimal, AfterValidator(_proportion)]
"""What a share is held against: a decimal from 0 to 1."""


class PlannedMetric(Part):
    """One figure that will be reported, and the thresholds it will be held against."""

    id: Name
    category: Name | None
    direction: Literal["risk_increasing", "risk_decreasing"]
    rule_out: Proportion | None
    rule_in: Proportion | None
    measure: Share | None = Field(default=None, exclude_if=is_none)
    group: Name | None = Field(default=None, exclude_if=is_none)
    k: int | None = Field(default=None, ge=1, le=1000, exclude_if=is_none)

    @property
    def content_class(self) -> Literal["C2", "C3"]:
        """The class the figure is of: what is told by category or group waits for the grades."""
        return "C2" if self.category is None and self.group is None else "C3"

    @model_validator(mode="after")
    def _one_verdict(self) -> PlannedMetric:
        if self.rule_out is not None and self.rule_in is not None:
            below, above = self.rule_out, self.rule_in
            if self.direction == "risk_decreasing":
                below, above = above, below
            if Exact(below) > Exact(above):
                raise ValueError("it could be ruled in and out at once")
        return self


class AnalysisPlan(Document):
    """How results will be computed; its digest stands in the registration, its text is of class C2.

    `nonce` is 32 random bytes, so that the digest tells nothing about a plan one could guess. `formats` are arms
    that ask the same tasks in other words and signs; `headline` is the arm whose figures are the result. No two of
    its metrics and measures have one `id`: a figure is judged by the metric of its name.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.analysis-plan.v1+json"

    nonce: Base64
    metrics: tuple[PlannedMetric, ...] = Field(min_length=1, max_length=256)
    scored_tasks: int = Field(ge=1)
    interval: Literal["wilson"] = "wilson"
    level: Literal["0.8", "0.9", "0.95", "0.99"] = "0.95"
    answered_floor: Proportion
    positive_control_bound: Proportion
    exclusion_codes: tuple[Name, ...] = ()
    unanswered: Literal["counts_as_not_correct"] = "counts_as_not_correct"
    multiplicity: Literal["holm"] | None = Field(default=None, exclude_if=is_none)
    stopping: Literal["all_scheduled"] | None = Field(default=None, exclude_if=is_none)
    headline: Name | None = Field(default=None, exclude_if=is_none)
    formats: tuple[Name, ...] = Field(default=(), max_length=64, exclude_if=is_empty)
    measures: tuple[PlannedMeasure, ...] = Field(default=(), max_length=256, exclude_if=is_empty)
    judges: tuple[PlannedJudge, ...] = Field(default=(), max_length=8, exclude_if=is_empty)
    arms: tuple[Arm, ...] | None = Field(default=None, min_length=1, max_length=MAX_ARMS, exclude_if=is_none)

    @model_validator(mode="after")
    def _arms_differ(self) -> AnalysisPlan:
        if len({arm.id for arm in self.arms or ()}) != len(self.arms or ()):
            raise ValueError("two arms of one name")
        return self

    @model_validator(mode="after")
    def _figures_differ(self) -> AnalysisPlan:
        names = [*(metric.id for metric in self.metrics), *(measure.id for measure in self.measures)]
        if len(set(names)) != len(names):
            raise ValueError("two figures of one name")
        return self
