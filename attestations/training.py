"""What the Records of one log say about fine-tuning: jobs, what they cost, and the variants they have made.

Lab, auditor and verifier read a log through this one ledger, so none of them can take a variant for granted that
the others would not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from attestations.documents.agreement import Agreement, Variant
from attestations.documents.exchange import Intent, Record
from attestations.documents.finetuning import (
    ENDED,
    TrainingStatement,
    derived_manifest,
    derived_variant,
    job_name,
    variant_name,
)
from attestations.documents.hooks import HookStatement
from attestations.errors import BudgetExhausted, ScopeExceeded, UsageMeterMismatch, VariantMismatch

_SAME = ("base", "base_manifest", "demonstrations", "count", "recipe", "planned_steps", "planned_tokens")


class Made(NamedTuple):
    """A variant that a job has made, by the digests of its file and of the model under it."""

    variant: str
    job: str
    adapter: str
    manifest: str


class TrainingLedger:
    """Grows with the Records of one engagement."""

    def __init__(self) -> None:
        self.jobs: dict[str, TrainingStatement] = {}
        self.variants: dict[str, Variant] = {}

    @property
    def tokens(self) -> int:
        """How many tokens the jobs so far were planned to train on; a job is charged in full when it starts."""
        return sum(int(job.planned_tokens) for job in self.jobs.values())

    def made(self) -> list[Made]:
        """Return every variant that was made, in the order of their jobs."""
        return [
            Made(variant_name(job.base, job.job), job.job, job.adapter, job.manifest)
            for job in self.jobs.values()
            if job.adapter is not None and job.manifest is not None
        ]

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

    def check(self, agreement: Agreement, intent: Intent, hook: HookStatement | None, *, charged: int) -> None:
        """Refuse a statement about training that cannot stand in the Record of this Intent.

        Args:
            agreement: the one in force.
            intent: what was asked.
            hook: what the Record states; anything but a training statement passes.
            charged: the Record's input tokens.

        Raises:
            VariantMismatch: it contradicts its Intent, or an earlier statement about the job.
            UsageMeterMismatch: more was trained than was agreed, or the job was charged otherwise than planned.
        """
        if not isinstance(hook, TrainingStatement):
            return
        place = {"session": intent.session, "seq": str(intent.seq)}
        base = agreement.variant(intent.variant)
        if base is None or (intent.operation, hook.base, hook.base_manifest) != ("fine_tune", base.id, base.manifest):
            raise VariantMismatch("a training statement names another model than its Intent", **place)
        before = self.jobs.get(hook.job)
        if before is not None:
            if not _follows(before, hook):
                raise VariantMismatch("a training statement contradicts an earlier one about its job", **place)
        elif hook.job != job_name(intent.plaintext_commit):
            raise VariantMismatch("a training statement is about a job that was never started", **place)
        elif charged != int(hook.planned_tokens):
            raise UsageMeterMismatch("a job was charged otherwise than it was planned", **place)
        elif not self._room(agreement, int(hook.planned_tokens)):
            raise UsageMeterMismatch("more was trained than was agreed", **place)
        if hook.adapter is None:
            return
        if hook.manifest != derived_manifest(hook.base_manifest, hook.adapter):
            raise VariantMismatch("a trained model is not its base under its adapter", **place)
        planned, trained = (hook.planned_steps, int(hook.planned_tokens)), (hook.steps, int(hook.tokens))
        if trained != planned or not hook.steps:
            raise VariantMismatch("a job succeeded without the training that was planned", **place)

    def take(self, agreement: Agreement, intent: Intent, record: Record) -> None:
        """Take a Record into account; one without a statement about training changes nothing.

        Raises:
            VariantMismatch, UsageMeterMismatch: as `check`.
        """
        self.check(agreement, intent, record.hook, charged=record.usage.input_tokens)
        if not isinstance(record.hook, TrainingStatement):
            return
        base = agreement.variant(intent.variant)
        if base is not None and record.hook.manifest is not None:
            made = derived_variant(base, record.hook)
            self.variants[made.id] = made
        self.jobs[record.hook.job] = record.hook

    def _room(self, agreement: Agreement, tokens: int) -> bool:
        granted = agreement.fine_tuning
        if granted is None or len(self.jobs) >= granted.max_jobs:
            return False
        return self.tokens + tokens <= int(granted.max_train_tokens)


def _follows(before: TrainingStatement, now: TrainingStatement) -> bool:
    if any(getattr(before, field) != getattr(now, field) for field in _SAME):
        return False
    if before.state in ENDED:
        return before == now
    return now.resumed > before.resumed or (now.steps >= before.steps and int(now.tokens) >= int(before.tokens))
