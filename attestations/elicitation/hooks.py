"""What signed documents in the log say of the lab's elicitation hooks: refused, or carried out and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from attestations.documents.exchange import Record, Refusal
from attestations.documents.finetuning import ENDED, TrainingStatement, variant_name
from attestations.elicitation.claims import HookClaim

Hook = Literal["fineTune", "sandbox"]
HOOKS: dict[str, Hook] = {"fine_tune": "fineTune", "sandbox": "sandbox"}
REFUSED = "HOOK_REFUSED"


@dataclass
class HookBook:
    """Grows with the log; `trained` are the variants that signed training records report."""

    refused: set[str] = field(default_factory=set)
    trained: set[str] = field(default_factory=set)
    _claims: dict[str, HookClaim] = field(default_factory=dict)

    def refusal(self, refusal: Refusal, digest: str) -> None:
        """Take a refusal, which may be one of a hook."""
        if refusal.reason == REFUSED and refusal.rule in HOOKS:
            self.refused.add(refusal.rule)
            self.note(refusal.rule, "REFUSED", digest)

    def record(self, record: Record, digest: str) -> None:
        """Take a Record, which may state how a fine-tune job ended."""
        statement = record.hook
        if isinstance(statement, TrainingStatement):
            if statement.state in ENDED:
                self.note("fine_tune", statement.state, digest)
            if statement.state == "SUCCEEDED":
                self.trained.add(variant_name(statement.base, statement.job))

    def note(self, operation: str, status: str, digest: str) -> None:
        """Note how a hook ended; the last document about one is the one that is claimed."""
        self._claims[operation] = HookClaim(hook=HOOKS[operation], status=status, document=digest)

    def claims(self) -> tuple[HookClaim, ...]:
        """Return one claim for each hook that was asked for."""
        return tuple(claim for _, claim in sorted(self._claims.items()))
