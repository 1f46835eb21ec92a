"""An audit whose lab runs scaffolds, and agents that ask the model they find."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from auditor_client.committing import Draft
from auditor_client.suites.drafting import analysis_plan, drafts
from auditor_client.suites.load import Suite
from lab_server.hook_settings import HooksSettings, SandboxHookSettings
from lab_server.worker.hooking import make_hooks
from tests.support.audit_world import design, suite
from tests.support.real_audit import RealAudit, real_audit

HOOK = """
[hooks.sandbox]
state = "on"
degraded = true
memory_mb = 384
idle_seconds = 60
"""
# What any program may do with the standard library alone: ask the model it finds, as often as it is told.
AGENT = """
import json, os, sys, urllib.request

def ask(text, **more):
    body = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": text}], **more}
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(),
        {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))

for number in range(int(os.environ.get("CALLS", "3"))):
    answer = ask("canary-agent %d" % number, max_tokens=8)
    print(number, answer["choices"][0]["message"]["content"])
open("result.txt", "w").write("canary-result done")
"""


async def why_no_sandbox(**settings: Any) -> str | None:
    """Return why this machine cannot isolate, or None where it can."""
    hooks = await make_hooks(HooksSettings(sandbox=SandboxHookSettings(state="on", degraded=True, **settings)))
    for hook in hooks.handlers.values():
        await hook.close()
    return hooks.declined.get("sandbox")


async def require_sandbox(**settings: Any) -> None:
    """Skip where this machine cannot isolate."""
    why = await why_no_sandbox(**settings)
    if why is not None:
        pytest.skip(why)


@asynccontextmanager
async def scaffolding(
    folder: Path,
    *,
    script: Mapping[str, Any] | None = None,
    hook: str = HOOK,
    grant: str = "",
    written: Suite | None = None,
    **settings: Any,
) -> AsyncIterator[RealAudit]:
    """Give an audit with an agreement in force that names the hook; the lab serves until the end."""
    await require_sandbox()
    if written is None:
        tasks, plan = [Draft(task.fields, task.question) for task in suite().tasks], design().plan
    else:
        tasks, plan = list(drafts(written)), analysis_plan(written, nonce=bytes(32))
    audit = real_audit(folder, tasks, plan, script=dict(script or {"otherwise": "yes"}), **settings)
    with audit.lab.home.settings.open("a") as file:
        file.write('operations = ["chat", "score", "count", "sandbox"]\n' + grant + hook)
    (folder / "agent").mkdir()
    (folder / "agent" / "main.py").write_text(AGENT)
    await audit.lab.start()
    try:
        await audit.must("propose")
        yield audit
    finally:
        await audit.lab.stop()
