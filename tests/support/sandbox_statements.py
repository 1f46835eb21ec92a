"""What a lab states of a sandbox, made up but for what a test is about."""

from __future__ import annotations

from typing import Any

from attestations.documents.hooks import SandboxLimits, SandboxStatement
from lab_server.sandbox.port import Check, Evidence, Tier

MADE_UP = Evidence(
    provider="test",
    tier=Tier.PROCESS,
    versions={},
    image="00" * 32,
    policy_digest="00" * 32,
    self_test=(Check("all", held=True, found="held"),),
    enforced=(),
    degraded=(),
)
"""Of a sandbox that is none: for tests of what is said of sandboxes, never of what they hold."""


def sandbox_statement(**changes: Any) -> SandboxStatement:
    """Return the statement of an open sandbox of the weakest real tier."""
    plain: dict[str, Any] = {
        "sandbox": "b-0",
        "state": "OPEN",
        "tier": "process",
        "provider": "test",
        "version": "1",
        "image": "11" * 32,
        "policy": "22" * 32,
        "self_test": "33" * 32,
        "limits": SandboxLimits(),
    }
    return SandboxStatement(**plain | changes)
