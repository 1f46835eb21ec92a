"""What the Records of one log say about fine-tuning: jobs, what they cost, and the variants they have made.

Lab, auditor and verifier read a log through this one ledger, so none of them can take a variant for granted that
the others would not.
"""

from __future__ import annotations

from collections.abc import Mapping

from attestations.documents.agreement import Agreement, Variant
from attestations.documents.exchange import Intent, Record
from attestations.documents.finetuning import (
    ENDED,
    TrainingStatement,
    derived_manifest,
    derived_variant,
    job_name,
)
from attestations.errors import BudgetExhausted, ScopeExceeded, UsageMeterMismatch, VariantMismatch

_SAME = ("base", "base_manifest", "demonstrations", "count", "recipe", "planned_steps", "planned_tokens")


class TrainingLedger:
    """Grows with the Records of one engagement."""

    def __init__(self) -> None:
        self.jobs: dict[str, TrainingStatement] = {}
        self.variants: dict[str, Variant] = {}

    @property
    def tokens(self) -> int:
        """How many tokens the jobs so far were planned to train on; a job is charged in full when it starts."""
        return sum(int(job.planned_tokens) for job in self.jobs.values())

    def variant(self, agreement: Agreement, name: str) -> Variant | None:
        """Return a variant the agreement names or a job has made; both are given by name alone."""
        return agreement.variant(name) or self.variants.get(name)

    def check_start(self, agreement: Agreement, intent: Intent, waiting: Mapping[tuple[str, int], int]) -> None:
        """Refuse an Intent that could start a job for which there is no room.

        An Intent of the operation `fine_tune` starts a job exactly if its budget names input tokens. `waiting` holds
        the tokens of such Intents that have no Record yet, by their places.

        Raises:
            ScopeExceeded, BudgetExhausted: with the fact `rule`.
        """
        wanted = intent.budget_max.input_tokens
        if intent.operation != "fine_tune" or not wanted:
            return
        granted = agreement.fine_tuning
        if granted is None:
            raise ScopeExceeded("the agreement grants no fine-tuning", rule="fine_tuning")
        if len(self.jobs) + len(waiting) >= granted.max_jobs:
            raise BudgetExhausted("as many jobs were begun as were agreed", rule="max_jobs")
        if self.tokens + sum(waiting.values()) + wanted > int(granted.max_train_tokens):
            raise BudgetExhausted("too few training tokens are left", rule="max_train_tokens")

    def take(self, agreement: Agreement, base: Variant | None, intent: Intent, record: Record) -> None:
        """Take a Record into account; one without a statement about training changes nothing.

        Raises:
            VariantMismatch: the statement contradicts its Intent, or an earlier statement about the job.
            UsageMeterMismatch: more was trained than was agreed, or the job was charged otherwise than planned.
        """
        statement = record.hook
        if not isinstance(statement, TrainingStatement):
            return
        place = {"session": record.session, "seq": str(record.seq)}
        if base is None or (intent.operation, statement.base, statement.base_manifest) != (
            "fine_tune",
            base.id,
            base.manifest,
        ):
            raise VariantMismatch("a training statement names another model than its Intent", **place)
        before = self.jobs.get(statement.job)
        if before is None:
            self._begun(agreement, intent, record, statement)
        elif not _follows(before, statement):
            raise VariantMismatch("a training statement contradicts an earlier one about its job", **place)
        if statement.adapter is not None:
            if statement.manifest != derived_manifest(statement.base_manifest, statement.adapter):
                raise VariantMismatch("a trained model is not its base under its adapter", **place)
            made = derived_variant(base, statement)
            self.variants[made.id] = made
        self.jobs[statement.job] = statement

    def _begun(self, agreement: Agreement, intent: Intent, record: Record, statement: TrainingStatement) -> None:
        place = {"session": record.session, "seq": str(record.seq)}
        granted = agreement.fine_tuning
        if statement.job != job_name(intent.plaintext_commit):
            raise VariantMismatch("a training statement is about a job that was never started", **place)
        if record.usage.input_tokens != int(statement.planned_tokens):
            raise UsageMeterMismatch("a job was charged otherwise than it was planned", **place)
        if (
            granted is None
            or len(self.jobs) >= granted.max_jobs
            or self.tokens + int(statement.planned_tokens) > int(granted.max_train_tokens)
        ):
            raise UsageMeterMismatch("more was trained than was agreed", **place)


def _follows(before: TrainingStatement, now: TrainingStatement) -> bool:
    if any(getattr(before, field) != getattr(now, field) for field in _SAME):
        return False
    if before.state in ENDED:
        return before == now
    return now.resumed > before.resumed or (now.steps >= before.steps and int(now.tokens) >= int(before.tokens))
