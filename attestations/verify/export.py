"""What a verified evidence file opens, as readable JSON lines: nothing is written from a file that does not hold."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from attestations.container import Container
from attestations.errors import CommitmentMismatch, ExitCode
from attestations.trust import Trust
from attestations.verify import opened, parties, transcript
from attestations.verify.engine import Request, verify_evidence


def export_opened(stream: BinaryIO, trust: Trust) -> dict[str, bytes]:
    """Return {file name: bytes} of everything the file's keys open.

    Raises:
        CommitmentMismatch: the file does not verify; nothing of it is shown as fact.
    """
    container = Container(stream)
    report = verify_evidence(container, trust, Request())
    if report.exit_code is not ExitCode.OK:
        raise CommitmentMismatch(
            f"the evidence file does not verify (exit code {int(report.exit_code)}); run `safeconduct verify` on it"
        )
    agreed = parties.open_agreement(container, trust)
    log = transcript.read_log(container.lines("log.jsonl"), agreed)
    content = opened.open_content(container, agreed, log)
    files: dict[str, bytes] = {"agreement.json": _pretty(agreed.agreement.json_value())}
    if content.plan is not None:
        files["plan.json"] = _pretty(content.plan.json_value())
    if report.predicate is not None:
        files["attestation.json"] = _pretty(report.predicate.model_dump(mode="json", by_alias=True))
    if content.rows is not None:
        files["grades.jsonl"] = _lines(
            {"task": row.task, "arm": row.arm, "epoch": row.epoch, "category": row.category, **row.value.json_value()}
            for row in content.rows
        )
    if content.kinds:
        files["tasks.jsonl"] = _lines(
            {
                "task": task,
                "kind": kind,
                "prompt": content.prompts.get(task),
                "target": content.targets.get(task),
                "grader": content.graders.get(task),
            }
            for task, kind in content.kinds.items()
        )
    if content.answered:
        files["transcripts.jsonl"] = _lines(
            {
                "promise": answered.promise,
                "request": answered.request.json_value(),
                "result": answered.result.json_value(),
            }
            for answered in content.answered
        )
    return files


def _pretty(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"


def _lines(values: Any) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)
