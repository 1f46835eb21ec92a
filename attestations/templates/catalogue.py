"""The templates by name: what each is for, and the terms it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from attestations.documents.agreement import Clauses, Retention
from attestations.documents.base import validated
from attestations.errors import ConfigurationInvalid
from attestations.policy.model import Policy
from attestations.templates import rules
from attestations.templates.terms_file import ScopeHints, TermsFile
from attestations.templates.wording import standard_wording

PREFIX = "template:"
_PROTECTING = Clauses(no_gag=True, safe_harbor=True, no_training=True)
_YEAR = 365


@dataclass(frozen=True)
class Template:
    """One kind of engagement."""

    name: str
    title: str
    summary: str
    clauses: Clauses
    scope: ScopeHints
    policy: Callable[[Sequence[str]], dict[str, Any]]

    def terms(self, escrow: Sequence[str] = ()) -> TermsFile:
        """Return the whole terms; `escrow` are the names of the parties who hold keys in escrow."""
        clauses = self.clauses.model_copy(update={"wording": standard_wording(self.clauses)})
        return TermsFile(
            template=self.name,
            title=self.title,
            policy=validated(Policy, self.policy(escrow)),
            clauses=clauses,
            scope=self.scope,
        )


def find(name: str) -> Template:
    """Return the template of this name.

    Raises:
        ConfigurationInvalid: there is none; the message names those there are.
    """
    for template in TEMPLATES:
        if template.name == name:
            return template
    known = ", ".join(template.name for template in TEMPLATES)
    raise ConfigurationInvalid(f"there is no template {name[:40]}; there are {known}", field="template")


def _black_box(escrow: Sequence[str]) -> dict[str, Any]:
    given = [*rules.commitments(), *rules.results(), *rules.findings(), *rules.material("C5", "C6", "C7", "C8")]
    return rules.policy(given, escrow=escrow, emergency_classes=["C4", "C7:subset"])


def _grey_box(escrow: Sequence[str]) -> dict[str, Any]:
    given = [
        *rules.commitments(),
        *rules.results(),
        *rules.findings(),
        *rules.material("C5", "C6", "C7", "C8"),
        rules.rule("C5", "PUBLIC", "TIME(anchor+P365D+hold)", redact=["C9"]),
        rules.rule("C6", "PUBLIC", "TIME(anchor+P365D+hold)", redact=["C9"]),
        rules.rule("C10", "REGULATOR", "ORDER(*)"),
    ]
    return rules.policy(given, escrow=escrow, emergency_classes=["C4", "C7:subset"])


def _joint_red_team(escrow: Sequence[str]) -> dict[str, Any]:
    later = {"and": ["TIME(anchor+P180D+hold)", {"or": ["REMEDIATION_CONFIRMED(*)", "TIME(anchor+P365D+hold)"]}]}
    given = [
        *rules.commitments(),
        *rules.results(),
        *rules.findings(),
        rules.rule("C7", "LAB_SAFETY", "RUN_CLOSED"),
        *rules.material("C5", "C6", "C7", "C8"),
        rules.rule("C5", "PUBLIC", later, redact=["C9"]),
        rules.rule("C9", "CLEARED(red-team)", {"or": ["ORDER(*)", "EMERGENCY(*)"]}),
        rules.rule("C10", "REGULATOR", "ORDER(*)"),
    ]
    return rules.policy(given, escrow=escrow, emergency_classes=["C4", "C7:subset", "C9:subset"])


TEMPLATES: tuple[Template, ...] = (
    Template(
        name="black-box",
        title="Black-box evaluation of a deployed model",
        summary="The auditor asks the model as users can; tasks stay hidden, the public learns figures after review.",
        clauses=_PROTECTING.model_copy(update={"retention": Retention(lab_days=0, auditor_days=2 * _YEAR)}),
        scope=ScopeHints(operations=("chat",), variants=("deployed",), tools=False, max_top_logprobs=0),
        policy=_black_box,
    ),
    Template(
        name="grey-box",
        title="Grey-box evaluation with fine-tuning",
        summary="Log-probabilities, a helpful-only variant and training runs at the lab; its packs go to nobody else.",
        clauses=_PROTECTING.model_copy(
            update={
                "retention": Retention(lab_days=30, auditor_days=2 * _YEAR),
                "fine_tuning": "lab_operated",
            }
        ),
        scope=ScopeHints(
            operations=("chat", "score", "count"),
            variants=("deployed", "helpful_only", "custom"),
            tools=True,
            max_top_logprobs=20,
        ),
        policy=_grey_box,
    ),
    Template(
        name="joint-red-team",
        title="Joint red team",
        summary="Lab and auditor probe together; the safety team sees transcripts at once, cleared people hazards.",
        clauses=_PROTECTING.model_copy(
            update={"retention": Retention(lab_days=90, auditor_days=_YEAR), "authorship": "joint"}
        ),
        scope=ScopeHints(
            operations=("chat", "count"), variants=("deployed", "safeguards_off"), tools=True, max_top_logprobs=5
        ),
        policy=_joint_red_team,
    ),
)
