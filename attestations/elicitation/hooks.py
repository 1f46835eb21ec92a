"""What signed documents in the log say of the lab's elicitation hooks: refused, or carried out and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from attestations.documents.exchange import Intent, Record, Refusal
from attestations.documents.finetuning import ENDED, TrainingStatement, variant_name
from attestations.documents.hooks import SandboxStatement
from attestations.elicitation.claims import HookClaim

Hook = Literal["fineTune", "sandbox"]
HOOKS: dict[str, Hook] = {"fine_tune": "fineTune", "sandbox": "sandbox"}
REFUSED = "HOOK_REFUSED"
DECLINED = (REFUSED, "VARIANT_NOT_TRAINABLE", "SANDBOX_UNAVAILABLE", "SANDBOX_DEGRADED")
"""The codes (`docs/spec/hooks.md`) with which a lab's worker says that it will not do what was agreed."""
NOT_THE_LABS = (
    *("OPERATION_MISMATCH", "PLAINTEXT_COMMIT_MISMATCH", "SEALED_OPEN_FAILED", "WEAK_SALT", "WORKER_KEY_STALE"),
    *("INPUT_BUDGET_EXCEEDED", "TOO_MANY_TOKENS", "DEMONSTRATION_TOO_LONG", "JOB_UNKNOWN"),
)
"""The codes that follow from what was asked, which an auditor could bring about: they say nothing of the hook."""


class HooksSoFar(NamedTuple):
    """Which hooks the lab has refused, and which have come to nothing, by operation."""

    refused: frozenset[str]
    failed: frozenset[str]


@dataclass
class HookBook:
    """Grows with the log; `trained` are the variants that signed training records report.

    Of fine-tuning only what could start a job counts: who will not say how a job stands has not refused to train.
    A job that begins takes back a refusal, and one that succeeds a failure: what counts is the last of them.
    """

    refused: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    trained: set[str] = field(default_factory=set)
    asked: dict[str, str] = field(default_factory=dict)  # the hook that an open Promise is about, by its digest
    _claims: dict[str, HookClaim] = field(default_factory=dict)
    _ends: set[tuple[str, str]] = field(default_factory=set)  # job and state; who asks again hears nothing new

    def promised(self, intent: Intent, promise: str) -> None:
        """Take an Intent that was promised, by the digest of the Promise."""
        if _begins(intent):
            self.asked[promise] = intent.operation

    def refusal(self, intent: Intent, refusal: Refusal, digest: str) -> None:
        """Take a refusal, which may be one of a hook."""
        if refusal.reason == REFUSED and refusal.rule == intent.operation and _begins(intent):
            self.refused.add(intent.operation)
            self._note(intent.operation, "REFUSED", digest)

    def record(self, record: Record, digest: str) -> None:
        """Take a Record, which may state what a hook did or that the lab's worker would not do it."""
        asked, statement = self.asked.pop(record.promise, None), record.hook
        if isinstance(statement, TrainingStatement):
            self._training(statement, digest)
        elif isinstance(statement, SandboxStatement):
            self._note("sandbox", statement.state, digest)
        if asked is None or record.status == "CANCELLED_BY_AUDITOR" or record.code in NOT_THE_LABS:
            return
        if record.status == "COMPLETED":
            self.refused.discard(asked)
        elif record.status == "REFUSED_POLICY" and (record.code or "").partition(":")[0] in DECLINED:
            self.refused.add(asked)
            self._note(asked, "REFUSED", digest)
        elif asked == "fine_tune":  # what one exchange of a sandbox came to says nothing of the hook
            self.failed.add(asked)
            self._note(asked, record.status, digest)

    def so_far(self) -> HooksSoFar:
        """Return how the hooks stand now."""
        return HooksSoFar(frozenset(self.refused), frozenset(self.failed))

    def claims(self) -> tuple[HookClaim, ...]:
        """Return one claim for each hook that was asked for; the last document about one is the one that is claimed."""
        return tuple(claim for _, claim in sorted(self._claims.items()))

    def _training(self, statement: TrainingStatement, digest: str) -> None:
        end = (statement.job, statement.state)
        if statement.state not in ENDED or end in self._ends:
            return
        self._ends.add(end)
        self._note("fine_tune", statement.state, digest)
        if statement.state in ("FAILED", "ABORTED_CRASH") and statement.code not in NOT_THE_LABS:
            self.failed.add("fine_tune")
        elif statement.state == "SUCCEEDED":
            self.failed.discard("fine_tune")
            self.trained.add(variant_name(statement.base, statement.job))

    def _note(self, operation: str, status: str, digest: str) -> None:
        self._claims[operation] = HookClaim(hook=HOOKS[operation], status=status, document=digest)


def _begins(intent: Intent) -> bool:
    # What fine-tunes starts a job exactly if its budget names input tokens (`docs/spec/finetuning.md` rule 10).
    return intent.operation == "sandbox" or (intent.operation == "fine_tune" and intent.budget_max.input_tokens > 0)
