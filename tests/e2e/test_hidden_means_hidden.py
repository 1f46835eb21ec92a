"""Canaries in every hidden field and in every answer: after a full run they are nowhere they must not be.

Searched: the gateway's memory, the lab's whole folder, every log, what every command printed, the arguments of
every process, and all bytes between auditor and lab. What only the auditor may know is not in the worker either.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from attestations.documents.dialogue import ChatRequest, Message, Sampling
from auditor_client.committing import Draft
from auditor_client.frozen_suite import FrozenQuestion
from tests.support.audit_world import design
from tests.support.memory_search import RecordingProxy, argument_lists, files_under, found_in, memory_of
from tests.support.real_audit import RealAudit, free_port, real_audit

KINDS = ("test", "test", "test", "positive_control", "negative_control", "canary", "dev", "reserve")
# Field, class, and whether the question sent to the model holds it.
FIELDS = {
    "prompt": "C5",
    "target": "C6",
    "rubric": "C6",
    "canary": "C6",
    "hazardExcerpt": "C9",
    "provenance": "C8",
    "author": "C8",
    "abstract": "C3",
}
ANSWER = "kestrel-answer-canary-90417"


def needle(field: str, task: int) -> str:
    return f"kestrel-{field}-canary-{task}-5813"


def draft(task: int, kind: str) -> Draft:
    question = needle("prompt", task)
    request = ChatRequest(
        messages=(Message(role="system", content="Be brief."), Message(role="user", content=question))
    )
    sampling = Sampling(max_output_tokens=32)
    fields: dict[str, tuple[str, Any]] = {name: (cls, needle(name, task)) for name, cls in FIELDS.items()}
    fields |= {
        "kind": ("C5", kind),
        "category": ("C3", "shell"),
        "prompt": ("C5", {"request": request.json_value(), "sampling": sampling.json_value()}),
        "target": ("C6", {"grader": "exact", "answers": [needle("target", task)]}),
        "graderRef": ("C6", "exact"),
    }
    sent = kind not in ("dev", "reserve")
    return Draft(fields, FrozenQuestion(request=request, sampling=sampling) if sent else None)


HIDDEN = [needle(field, task) for field in FIELDS for task in range(len(KINDS))]
AUDITOR_ONLY = [text for text in HIDDEN if "-prompt-" not in text]


def processes(audit: RealAudit) -> tuple[int, int]:
    return audit.lab.pid, audit.lab.worker_pid()


async def provoke(audit: RealAudit) -> None:
    """Make commands fail in several ways; what they say is searched as well."""
    for words in (("propose",), ("run", "--lanes", "0"), ("release", "S9"), ("suite", "commit"), ("close",)):
        await audit.run(*words)
    await audit.command("verify", str(audit.auditor.committed), "--trust", str(audit.auditor.identity))


@pytest.mark.slow
async def test_canaries_are_nowhere_they_must_not_be(tmp_path: Path) -> None:
    """T086, T087."""
    drafts = [draft(task, kind) for task, kind in enumerate(KINDS)]
    proxied = free_port()
    audit = real_audit(tmp_path, drafts, design().plan, script={"otherwise": ANSWER}, proxy=proxied)
    proxy = RecordingProxy(int(audit.lab.address.rpartition(":")[2]))
    await proxy.start(proxied)
    audit.lab.fresh = True
    await audit.lab.start()
    gateway, worker = processes(audit)
    await audit.must("propose")
    await audit.must("run")
    after_run = found_in(memory_of(gateway), [*HIDDEN, ANSWER])
    await audit.must("close")
    await audit.must("grade")
    await audit.must("seal")
    for stage in ("S1", "S2", "S3"):
        await audit.must("release", stage)
    await provoke(audit)

    # The script the worker answers from is the lab's own file: its answer is not hidden from that one file.
    (audit.lab.path / "script.json").unlink()
    assert set() == after_run
    assert set() == found_in(memory_of(gateway), [*HIDDEN, ANSWER])
    assert set() == found_in(memory_of(worker), AUDITOR_ONLY)
    assert set() == found_in(files_under(audit.lab.path), [*HIDDEN, ANSWER])
    assert set() == found_in([audit.auditor.log.read_bytes()], [*HIDDEN, ANSWER])
    assert set() == found_in([text.encode() for text in audit.said], [*HIDDEN, ANSWER])
    assert set() == found_in(argument_lists(), [*HIDDEN, ANSWER])
    assert {str(audit.lab.path)} == found_in(argument_lists(), [str(audit.lab.path)])  # the gateway's are among them
    assert len(proxy.captured) > 10_000
    assert set() == found_in([bytes(proxy.captured)], [*HIDDEN, ANSWER])
    # The same search finds what is there: the auditor's own folder holds all of it.
    assert set(HIDDEN) <= found_in(files_under(audit.auditor.path), HIDDEN)
    await audit.lab.stop()
    await proxy.stop()


def test_the_search_finds_what_is_in_another_process() -> None:
    planted = "kestrel-planted-canary-7702"
    program = f"import sys; kept = '{planted[:12]}' + '{planted[12:]}'; print('up', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ}
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert {planted} == found_in(memory_of(process.pid), [planted])
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
