"""Hooks at the lab's edge: a hook that is declined leaves a signed refusal with the lab's reason."""

from __future__ import annotations

from pathlib import Path

from attestations.documents.exchange import Refusal
from attestations.documents.sandboxing import Open, SandboxRequest
from tests.integration.gateway import audited

OPEN = SandboxRequest(action=Open())
DECLINED = """operations = ["chat", "sandbox"]
[hooks.sandbox]
state = "refused"
reason = "safety"
"""


async def test_a_declined_hook_is_on_record_with_the_labs_reason(tmp_path: Path) -> None:
    """T079 (first half): HookRefused, signed and logged; the lane goes on."""
    async with audited(tmp_path, grant=DECLINED) as (_, auditor):
        lane = await auditor.open_session("lane-1")
        _, ended = await auditor.ask(lane, asked=OPEN)
        assert ended.refusal is not None
        refusal = Refusal.parse(ended.refusal.payload)
        assert (refusal.reason, refusal.rule, refusal.why) == ("HOOK_REFUSED", "sandbox", "safety")
        assert (await auditor.ask(lane))[1].status == "COMPLETED"
        await auditor.cosign()


async def test_a_hook_that_was_not_agreed_is_out_of_scope(tmp_path: Path) -> None:
    async with audited(tmp_path) as (_, auditor):
        lane = await auditor.open_session("lane-1")
        assert (await auditor.ask(lane, asked=OPEN))[1].status == "REFUSED SCOPE_EXCEEDED"
