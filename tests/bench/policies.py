"""How long a policy takes to lint and to evaluate: the templates, and the largest formulas a policy usually holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from attestations.policy.evaluate import Bounds, Seen, evaluate
from attestations.policy.lint import lint_policy
from attestations.policy.model import Policy
from attestations.templates.catalogue import TEMPLATES

_AT = Bounds(datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
_NOW = Bounds(datetime(2027, 1, 4, tzinfo=UTC), datetime(2027, 1, 4, tzinfo=UTC))
_LOG = [Seen(name, None, _AT) for name in ("REGISTERED", "RUN_CLOSED", "DELIVERED")] + [Seen("HOLD", "5", _AT)]
_TIMES = 20


def run() -> list[tuple[str, float]]:
    """Return what was measured and the mean seconds of one call."""
    found = []
    for template in TEMPLATES:
        policy = template.terms(("trustee-a", "trustee-b")).policy
        found += [
            (f"lint {template.name}", _mean(lint_policy, policy)),
            (f"evaluate {template.name}", _mean(lambda given: evaluate(given, _LOG, _NOW), policy)),
        ]
    return found


def _mean(call: Callable[[Policy], object], policy: Policy) -> float:
    started = time.perf_counter()
    for _ in range(_TIMES):
        call(policy)
    return (time.perf_counter() - started) / _TIMES
