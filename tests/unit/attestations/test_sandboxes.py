"""What Records say of sandboxes: of the hook that was asked, in every Record of it, and never in two ways."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.documents.exchange import Intent, Record
from attestations.documents.hooks import SandboxLimits, SandboxStatement
from attestations.errors import AttributionFailed
from attestations.sandboxes import SandboxLedger
from tests.support.sandbox_statements import sandbox_statement

STATED = sandbox_statement(limits=SandboxLimits(model_calls=3), model_calls=1)


def take(
    ledger: SandboxLedger, hook: SandboxStatement | None, *, operation: str = "sandbox", status: str = "COMPLETED"
) -> None:
    asked: dict[str, Any] = {"operation": operation, "session": "s", "seq": 0}
    told: dict[str, Any] = {"status": status, "hook": hook}
    ledger.take(Intent.model_construct(None, **asked), Record.model_construct(None, **told))


def changed(**changes: Any) -> SandboxStatement:
    return STATED.model_copy(update=changes)


def test_a_record_states_the_hook_that_was_asked_and_no_other() -> None:
    for operation in ("chat", "fine_tune"):
        with pytest.raises(AttributionFailed):
            take(SandboxLedger(), STATED, operation=operation)
    for operation in ("sandbox", "fine_tune"):
        with pytest.raises(AttributionFailed):
            take(SandboxLedger(), None, operation=operation)
        take(SandboxLedger(), None, operation=operation, status="ABORTED_CRASH")
    take(SandboxLedger(), None, operation="chat")


@pytest.mark.parametrize(
    "change",
    [
        {"tier": "vm"},
        {"provider": "kubernetes"},
        {"version": "2"},
        {"image": "44" * 32},
        {"policy": "44" * 32},
        {"self_test": "44" * 32},
        {"limits": SandboxLimits(model_calls=9)},
        {"degraded": ("memory_mb",)},
        {"model_calls": 0},
        {"model_calls": 4},
    ],
)
def test_a_sandbox_does_not_change_on_its_way(change: dict[str, Any]) -> None:
    ledger = SandboxLedger()
    take(ledger, STATED)
    with pytest.raises(AttributionFailed):
        take(ledger, changed(**change))


def test_a_sandbox_that_has_ended_does_not_open_again() -> None:
    ledger = SandboxLedger()
    take(ledger, STATED)
    take(ledger, changed(state="LOST", model_calls=2), status="ERROR")
    with pytest.raises(AttributionFailed):
        take(ledger, changed(model_calls=2))
    take(ledger, changed(state="CLOSED", model_calls=2))
    with pytest.raises(AttributionFailed):
        take(ledger, changed(state="CLOSED", model_calls=2))
    take(ledger, changed(sandbox="b-9"))
