"""What an attestation says: the `ai-audit` predicate, a summary that points at signed evidence and claims little.

Every assurance is a positive claim that must be present: leaving something out can only weaken the
statement (in-toto's monotonic principle), so unknown fields are ignored and nothing negative carries
weight. `docs/spec/attestation.md` is the normative page.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from attestations.claim import Claim
from attestations.digests import Sha256
from attestations.documents.base import Count, Decimal, Name, Time, is_empty, is_none
from attestations.elicitation.claims import ElicitationClaim

PREDICATE_TYPE = "https://safeconduct.dev/attestation/ai-audit/v0.1"
SUBJECT_MANIFEST = "safeconductModelManifestV1"
SUBJECT_VARIANT = "safeconductVariantV1"


class AgreementClaim(Claim):
    """Under which agreement."""

    digest: Sha256
    policy: Sha256
    publication_control: Literal["none", "review", "approval"]


class RegistrationClaim(Claim):
    """What was fixed before the first Promise."""

    digest: Sha256
    suite_root: Sha256
    tasks: int
    log_index: Count


class RuntimeClaim(Claim):
    """What is known about where the model ran."""

    level: Literal["RA0", "RA1", "RA2", "RA3", "RA4"]
    evidence: tuple[Sha256, ...]


class TranscriptCounts(Claim):
    """How the Promises ended."""

    promised: Count
    completed: Count
    refused_policy: Count
    error: Count
    timeout: Count
    cancelled: Count
    aborted_crash: Count
    refusals: Count


class TranscriptUsage(Claim):
    """What the meter stood at when the run closed."""

    requests: Count
    input_tokens: Count
    output_tokens: Count


class TranscriptClaim(Claim):
    """Which log, and what it amounts to. `tree_size` and `root` are those of the close statement."""

    origin: Name
    tree_size: Count
    root: Sha256
    close: Sha256
    counts: TranscriptCounts
    usage: TranscriptUsage
    effective_access_business_days: Count


class Outcomes(Claim):
    """How the scored items ended; they add up to `n` of the result."""

    correct: Count
    incorrect: Count
    refused: Count
    invalid: Count
    empty: Count
    truncated: Count
    error: Count


class Result(Claim):
    """One figure, its interval and the verdict against the registered thresholds.

    `value` is correct / n over every scored item, answered or not, unless `measure` says otherwise; `answered` is the
    share that was answered at all. A share of 0 answered tells nothing about a capability. `units` is how many items
    are independent of each other and `design_effect` by how much that widens the interval. `by_task` counts the tasks
    with 0, 1, 2 ... correct answers, `by_format` the correct answers in each format. `adjusted_p` is one-sided.
    """

    id: Name
    content_class: Literal["C2", "C3"] = Field(alias="class")
    category: Name | None
    arm: Name
    direction: Literal["riskIncreasing", "riskDecreasing"]
    n: Count
    outcomes: Outcomes
    answered: Decimal
    value: Decimal
    interval: tuple[Decimal, Decimal]
    level: Decimal
    rule_out: Decimal | None
    rule_in: Decimal | None
    verdict: Literal["ruledOut", "ruledIn", "inconclusive", "uninterpretable"]
    measure: Name | None = Field(default=None, exclude_if=is_none)
    group: Name | None = Field(default=None, exclude_if=is_none)
    units: Count | None = Field(default=None, exclude_if=is_none)
    design_effect: Decimal | None = Field(default=None, exclude_if=is_none)
    by_task: tuple[Count, ...] | None = Field(default=None, max_length=1001, exclude_if=is_none)
    by_format: tuple[Count, ...] | None = Field(default=None, max_length=64, exclude_if=is_none)
    adjusted_p: Decimal | None = Field(default=None, exclude_if=is_none)


class Measure(Claim):
    """Something that was planned to be described; nothing is held against it.

    `interpretable` is false where too little was answered for the value to mean anything. `parts` are what it is
    computed from.
    """

    id: Name
    measure: Name
    content_class: Literal["C2", "C3"] = Field(alias="class")
    category: Name | None
    arm: Name
    versus: Name | None
    n: Count
    value: Decimal
    interval: tuple[Decimal, Decimal] | None
    level: Decimal
    p: Decimal | None
    interpretable: bool
    parts: dict[str, Decimal]


class Controls(Claim):
    """Whether the run could have shown what it looked for."""

    positive_passed: Count
    positive_n: Count
    positive_bound: Decimal
    positive_ok: bool
    negative_passed: Count
    negative_n: Count


class Validity(Claim):
    """What bears on reading the figures."""

    controls: Controls
    sandbagging: Literal["notAssessed", "promptOnly", "sft", "sft+whitebox"] = "notAssessed"
    canary: Literal["notProbed", "pass", "fail"]
    deviations: tuple[Sha256, ...] = ()
    judged: Count | None = Field(default=None, exclude_if=is_none)  # grades that a model gave: nobody can repeat them


class PolicyState(Claim):
    """The policy's state for one class and recipient when the attestation was issued."""

    content_class: str = Field(alias="class")
    to: str
    state: Literal["FORBIDDEN", "INDETERMINATE", "PERMITTED", "OVERDUE", "RELEASED"]


class DisclosureClaim(Claim):
    """How far disclosure has come."""

    stage: Literal["S1", "S2", "S3", "S4", "S5"]
    recipient: str
    manifest: Sha256 | None  # None where the engagement was given up before anything was sealed
    states: tuple[PolicyState, ...]


class AssuranceClaim(Claim):
    """The levels the auditor claims; a verifier derives its own and refuses more than that."""

    task_secrecy: Literal["TS0", "TS1", "TS2", "TS3", "TS4"]
    model_identity: Literal["MI0", "MI1", "MI2", "MI3", "MI4"]
    completeness: Literal["CO0", "CO1", "CO2", "CO3", "CO4"]
    pre_registration: Literal["PR0", "PR1", "PR2", "PR3"]
    elicitation: Literal["EL0", "EL1", "EL2", "EL3", "EL4"]
    grader_integrity: Literal["GI0", "GI1", "GI2", "GI3"]
    disclosure: Literal["DE0", "DE1", "DE2", "DE3"]


class AuditPredicate(Claim):
    """The predicate of `ai-audit/v0.1`."""

    agreement: AgreementClaim
    pre_registration: RegistrationClaim
    arms: tuple[Name, ...]
    runtime: RuntimeClaim
    transcript: TranscriptClaim
    results: tuple[Result, ...]
    validity: Validity | None
    measures: tuple[Measure, ...] = Field(default=(), exclude_if=is_empty)
    headline: Name | None = Field(default=None, exclude_if=is_none)
    disclosure: DisclosureClaim
    elicitation: ElicitationClaim | None = Field(default=None, exclude_if=is_none)
    assurance: AssuranceClaim
    limitations_text: str
    issued_at: Time
    supersedes: Sha256 | None
