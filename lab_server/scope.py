"""Whether an Intent asks for what the agreement grants. Pure; each refusal names the rule."""

from __future__ import annotations

from datetime import datetime

from attestations.documents.agreement import Agreement, Variant
from attestations.documents.base import parse_time
from attestations.documents.exchange import Intent
from attestations.errors import ScopeExceeded


def check_scope(agreement: Agreement, intent: Intent, variant: Variant | None, *, now: datetime) -> None:
    """Refuse what lies outside the agreement; `variant` is the one the Intent names, agreed or made by fine-tuning.

    Raises:
        ScopeExceeded: with the fact `rule`: access, not_after, variant, template, operation, tools, top_logprobs
            or output_tokens.
    """
    scope, access = agreement.scope, agreement.access
    if not parse_time(access.not_before) <= now <= parse_time(access.not_after):
        raise ScopeExceeded("outside the agreed dates of access", rule="access")
    if now > parse_time(intent.not_after):
        raise ScopeExceeded("the Intent's own time has passed", rule="not_after")
    if variant is None or (variant.parent if variant.id not in scope.variants else variant.id) not in scope.variants:
        raise ScopeExceeded("a variant that was not agreed", rule="variant")
    if intent.template != variant.template:
        raise ScopeExceeded("another chat template than agreed", rule="template")
    if intent.operation not in scope.operations:
        raise ScopeExceeded("an operation that was not agreed", rule="operation")
    if intent.tools and not scope.tools:
        raise ScopeExceeded("tools were not agreed", rule="tools")
    if intent.sampling.top_logprobs > scope.max_top_logprobs:
        raise ScopeExceeded("more log-probabilities than agreed", rule="top_logprobs")
    if intent.budget_max.output_tokens > scope.max_output_tokens:
        raise ScopeExceeded("a longer answer than agreed", rule="output_tokens")
    if intent.operation == "chat" and intent.sampling.max_output_tokens > intent.budget_max.output_tokens:
        raise ScopeExceeded("a longer answer than the Intent's own budget", rule="output_tokens")
