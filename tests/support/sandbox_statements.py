"""What a lab states of a sandbox, made up but for what a test is about."""

from __future__ import annotations

from typing import Any

from attestations.documents.hooks import SandboxLimits, SandboxStatement


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
