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
    TrainingStatement,
    derived_manifest,
    derived_variant,
    job_name,
    variant_name,
)
from attestations.documents.hooks import HookStatement
from attestations.errors import BudgetExhausted, ScopeExceeded, UsageMeterMismatch, VariantMismatch
from attestations.training_history import JobHistory


class Made(NamedTuple):
    """A variant that a job has made, by the digests of its file and of the model under it."""

    variant: str
    job: str
    adapter: str
    manifest: str


class Asked(NamedTuple):
    """What was asked, and the log indices of its Promise and of its Record."""

    intent: Intent
    promised: int
    recorded: int


class TrainingLedger:
    """Grows with the Records of one engagement."""

    def __init__(self) -> None:
        self._histories: dict[str, JobHistory] = {}
        self.variants: dict[str, Variant] = {}

    @property
    def jobs(self) -> dict[str, TrainingStatement]:
        """How each job stands, as far as it was ever stated."""
        return {name: history.furthest for name, history in self._histories.items()}

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
        if len(self._histories) + len(waiting) >= granted.max_jobs:
            raise BudgetExhausted("as many jobs were begun as were agreed", rule="max_jobs")
        if self.tokens + sum(waiting.values()) + wanted > int(granted.max_train_tokens):
            raise BudgetExhausted("too few training tokens are left", rule="max_train_tokens")

    def check(self, agreement: Agreement, asked: Asked, hook: HookStatement | None, *, charged: int) -> None:
        """Refuse a statement about training that cannot stand in the Record of this Intent.

        Args:
            agreement: the one in force.
            asked: what was asked, and where its Promise and Record stand in the log.
            hook: what the Record states; anything but a training statement passes.
            charged: the Record's input tokens.

        Raises:
            VariantMismatch: it contradicts its Intent, or an earlier statement about the job.
            UsageMeterMismatch: more was trained than was agreed, or the job was charged otherwise than planned.
        """
        if not isinstance(hook, TrainingStatement):
            return
        intent = asked.intent
        place = {"session": intent.session, "seq": str(intent.seq)}
        base = agreement.variant(intent.variant)
        if base is None or (intent.operation, hook.base, hook.base_manifest) != ("fine_tune", base.id, base.manifest):
            raise VariantMismatch("a training statement names another model than its Intent", **place)
        history = self._histories.get(hook.job)
        if history is not None:
            if not history.fits(hook, promised=asked.promised, recorded=asked.recorded):
                raise VariantMismatch("a training statement contradicts an earlier one about its job", **place)
            if charged != (int(hook.planned_tokens) if asked.recorded == history.started else 0):
                raise UsageMeterMismatch("a job is charged once, when it starts", **place)
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

    def take(self, agreement: Agreement, intent: Intent, record: Record, *, promised: int) -> None:
        """Take a Record into account; one without a statement about training changes nothing.

        Records may come in any order in which each job's start comes first: an auditor's sessions read theirs when
        they can. `promised` is the log index of the Record's Promise.

        Raises:
            VariantMismatch, UsageMeterMismatch: as `check`.
        """
        hook = record.hook
        if not isinstance(hook, TrainingStatement):
            return
        recorded = int(record.log_index)
        self.check(agreement, Asked(intent, promised, recorded), hook, charged=record.usage.input_tokens)
        base = agreement.variant(intent.variant)
        if base is not None and hook.manifest is not None:
            made = derived_variant(base, hook)
            self.variants[made.id] = made
        history = self._histories.setdefault(hook.job, JobHistory(hook, started=recorded))
        history.take(hook, promised=promised, recorded=recorded)

    def _room(self, agreement: Agreement, tokens: int) -> bool:
        granted = agreement.fine_tuning
        if granted is None or len(self._histories) >= granted.max_jobs:
            return False
        return self.tokens + tokens <= int(granted.max_train_tokens)
