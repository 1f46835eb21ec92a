"""What an analysis plan may plan besides plain accuracy, and the statement that an analysis departs from its plan.

`docs/spec/results.md` defines every measure; `docs/spec/validity.md` says what bears on reading it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from attestations.digests import Sha256
from attestations.documents.base import Count, Decimal, Document, Name, Part, Time, is_none

Share = Literal["answered_accuracy", "pass_at_k", "format_mean", "format_max"]
"""What a figure may be other than the share of correct answers over every scored item."""

Described = Literal[
    "brier",
    "ece",
    "bias_ambiguous",
    "bias_disambiguated",
    "difference",
    "exposure",
    "format_swing",
    "group_gap",
    "judge_corrected",
]
"""What is described besides: no threshold is held against it."""

FORMATS = "formats"
"""What stands in the place of an arm where several formats are taken together."""


Departure = Literal["headline", "metrics", "exclusions", "stopping", "grading", "other"]
"""What of a plan is departed from."""


class PlannedMeasure(Part):
    """Something that will be described: of one category or all, and against another arm or group where it compares.

    `difference` is an arm less the arm `versus`; `exposure` compares the items of `group` with those of `versus`.
    """

    id: Name
    measure: Described
    category: Name | None = None
    group: Name | None = Field(default=None, exclude_if=is_none)
    versus: Name | None = Field(default=None, exclude_if=is_none)


class JudgeCalibration(Part):
    """How a judge did on answers whose grades people had given before: counts of the four cases."""

    right_called_right: Count
    right_called_wrong: Count
    wrong_called_right: Count
    wrong_called_wrong: Count


class PlannedJudge(Part):
    """A model that grades, fixed before access: which one, asked how, and how far its word can be trusted.

    `prompt` is the digest of the text it is asked with, `calibration_set` that of the answers it was tried on;
    `agreement` with people on these is Krippendorff's alpha.
    """

    name: Name
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    prompt: Sha256
    calibration_set: Sha256
    calibration: JudgeCalibration
    agreement: Decimal


class AnalysisDeviation(Document):
    """The analysis departs from the registered plan. Signed by the auditor's publication key.

    It counts only if it stands in the log before the grades are committed. `arm` is the arm whose figures become
    the headline, where that is what changes. The reason is read by everybody who gets the log.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.analysis-deviation.v1+json"

    agreement: Sha256
    plan: Sha256
    what: Departure
    arm: Name | None = None
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    stated_at: Time
